"""Invented clinical prose: seeded, without identifiers, no two prompts alike from their first words on."""

import json
import re
from collections.abc import Callable
from itertools import count, product
from pathlib import Path
from random import Random

# Of this prose, for the tokenizer of SmolLM2; others differ, and the answers' `usage` says by how much.
_TOKENS_PER_WORD = 1.39
_NOTE_WORDS = 70
_VOCABULARY = Path(__file__).with_name("clinical_prose.json")
_SLOT = re.compile(r"{(\w+)}")
_TASK = (
    "Write a long, detailed discharge letter about this admission in continuous prose of at least two "
    "thousand words. Go through the history, the examination, every result, each medicine with its dose and "
    "reason, the course on the ward and the plan, one after the other, and leave nothing out."
)
_NUMBERS: dict[str, Callable[[Random], str]] = {
    "days": lambda random: str(random.randint(4, 19)),
    "dose": lambda random: str(random.choice((5, 10, 20, 25, 40, 50, 75))),
    "pulse": lambda random: str(random.randint(58, 118)),
    "temperature": lambda random: f"{random.uniform(36.2, 39.4):.1f}",
    "low": lambda random: f"{random.uniform(2, 9):.1f}",
    "high": lambda random: str(random.randint(11, 240)),
}


class PromptWriter:
    """Writes conversations. The same seed gives the same ones in the same order."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._serial = count()
        self._vocabulary: dict[str, list[str]] = json.loads(_VOCABULARY.read_text())
        self._openings = list(product(*(self._vocabulary[name] for name in ("person", "ward", "complaint"))))
        Random(seed).shuffle(self._openings)

    def chat(self, tokens: int) -> list[dict[str, str]]:
        """Messages that ask for a long text, about `tokens` tokens together with the chat template.

        They begin with a system message of their own, since the template may put a shared one there.
        """
        (person, ward, complaint), random = self._fresh()
        system = f"{ward.capitalize()} ward, {person}, {complaint}: you write this record in full sentences."
        words = round(tokens / _TOKENS_PER_WORD) - len(f"{system} {_TASK}".split())
        note = self._note(random, words)
        return [{"role": "system", "content": system}, {"role": "user", "content": f"{note}\n\n{_TASK}"}]

    def note(self) -> str:
        """A short note, unlike any other."""
        (person, ward, complaint), random = self._fresh()
        text = self._note(random, _NOTE_WORDS)
        return f"A {person} came to the {ward} ward with {complaint}. {text}"

    def shared_chats(self, count: int, tokens: int) -> list[list[dict[str, str]]]:
        """Conversations below one system message of about `tokens` tokens, each with its own question."""
        (person, ward, complaint), random = self._fresh()
        opening = f"{ward.capitalize()} ward, {person}, {complaint}: answer questions about this record."
        words = round(tokens / _TOKENS_PER_WORD) - len(opening.split())
        system = {"role": "system", "content": f"{opening} {self._note(random, words)}"}
        return [[system, {"role": "user", "content": self._question(random)}] for _ in range(count)]

    def _fresh(self) -> tuple[tuple[str, ...], Random]:
        """An opening that no text has begun with, and the source of all its other words."""
        serial = next(self._serial)
        return self._openings[serial % len(self._openings)], Random(f"{self._seed} {serial}")

    def _question(self, random: Random) -> str:
        return f"{self._sentence(random)} What does the record say about this?"

    def _note(self, random: Random, words: int) -> str:
        """Sentences of about `words` words."""
        note = ""
        while (missing := words - len(note.split())) > 0:
            sentence = self._sentence(random)
            # The last sentence is taken or left, whichever comes nearer.
            if note and len(sentence.split()) > 2 * missing:
                break
            note = f"{note} {sentence}".lstrip()
        return note

    def _sentence(self, random: Random) -> str:
        def fill(slot: re.Match[str]) -> str:
            number = _NUMBERS.get(slot[1])
            return number(random) if number else random.choice(self._vocabulary[slot[1]])

        return _SLOT.sub(fill, random.choice(self._vocabulary["sentence"]))
