"""What quoting from a note costs: writing and compiling its grammar, and the masks of answers."""

import json
from collections.abc import Callable, Iterator, Sequence
from random import Random
from statistics import median, quantiles
from time import thread_time
from typing import Any, NamedTuple

import click
from llguidance import LLTokenizer
from prompts import PromptWriter

from server.engine.llama.vocabulary import Vocabulary
from server.engine.mask import Mask
from server.engine.matcher import Matcher
from server.grammar.compiler import Grammar
from server.grammar.spans import SourceText
from server.inference.constraint import SchemaConstraint
from server.inference.weights import weights_file
from server.privacy.pseudonyms import PseudonymizedText

COMPILE_LIMIT_MS, MASK_LIMIT_MS = 50, 1
LONGEST_ANSWER = 600
PROBLEMS = 12
CLOSING = frozenset(b'"],}')
PATIENCE = 0.9
CERTAINTIES = ["certain", "likely", "unclear"]
PROBLEM = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "x-quote-of": "text", "x-max-words": 6},
        "evidence": {"type": "string", "x-quote-of": "text"},
        "certainty": {"enum": CERTAINTIES},
    },
    "required": ["name", "evidence", "certainty"],
    "additionalProperties": False,
}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"problems": {"type": "array", "maxItems": 20, "items": PROBLEM}},
    "required": ["problems"],
    "additionalProperties": False,
}

NextToken = Callable[[int, Mask], int | None]


class Measured(NamedTuple):
    """Milliseconds of processor time: of the API process, of the engine, of each mask in two answers."""

    writing: float
    compiling: float
    copying: list[float]
    wandering: list[float]


def measure(vocabulary: Vocabulary, tokenizer: LLTokenizer, note: str, seed: int) -> Measured:
    """Two answers over `note`: one copies whole quotes, one takes any allowed token."""
    started = thread_time()
    grammar = written(note)
    wrote = thread_time()
    matcher = Matcher(tokenizer, grammar.text)
    compiled = thread_time()
    random = Random(seed)
    answer = vocabulary.tokenize(answer_of(SourceText(note), random), control=False)
    return Measured(
        writing=(wrote - started) * 1000,
        compiling=(compiled - wrote) * 1000,
        copying=list(masks(matcher.fork(), along(answer))),
        wandering=list(masks(matcher.fork(), wandering(random, vocabulary.piece))),
    )


def written(note: str) -> Grammar:
    constraint = SchemaConstraint(SCHEMA)
    texts = [PseudonymizedText(text, [], {}) for text in constraint.texts]
    return constraint.compile(texts, [PseudonymizedText(note, [], {})])


def answer_of(note: SourceText, random: Random) -> str:
    """A document of quotes from places all over the note."""
    problems = [
        {
            "name": quote(note, random, 5),
            "evidence": quote(note, random, 31),
            "certainty": random.choice(CERTAINTIES),
        }
        for _ in range(PROBLEMS)
    ]
    return json.dumps({"problems": problems}, ensure_ascii=False, separators=(",", ":"))


def quote(note: SourceText, random: Random, longest: int) -> str:
    """Some chunks from a word on, as many as one word holds and more."""
    chunks = note.chunks()
    while True:
        first = random.randrange(len(chunks))
        last = min(first + random.randrange(longest), len(chunks) - 1)
        text = note.text[chunks[first][0] : chunks[last][1]]
        if text == text.strip() and any(map(str.isalnum, text.split()[0])):
            return text


def masks(matcher: Matcher, next_token: NextToken) -> Iterator[float]:
    """Milliseconds of processor time for each mask; who else keeps the machine busy does not count."""
    for position in range(LONGEST_ANSWER):
        if matcher.finished:
            return
        started = thread_time()
        allowed = matcher.allowed()
        yield (thread_time() - started) * 1000
        token = next_token(position, allowed)
        if token is None:
            return
        matcher.accept(token)


def along(tokens: Sequence[int]) -> NextToken:
    return lambda position, _: tokens[position] if position < len(tokens) else None


def wandering(random: Random, piece: Callable[[int], bytes]) -> NextToken:
    """Any allowed token, mostly one that goes on."""

    def draw(_: int, allowed: Mask) -> int:
        ids = allowed.ids.tolist()
        going_on = [each for each in ids if CLOSING.isdisjoint(piece(each))]
        return random.choice(going_on if going_on and random.random() < PATIENCE else ids)

    return draw


@click.command()
@click.option(
    "--tokens", multiple=True, default=(1_000, 8_000, 32_000), show_default=True, help="Note lengths."
)
@click.option("--repeat", default=5, type=click.IntRange(1), show_default=True, help="Notes of each length.")
def main(tokens: tuple[int, ...], repeat: int) -> None:
    """Print milliseconds for notes of several lengths; the limits are those for 8000 tokens."""
    vocabulary = Vocabulary.load(weights_file(None))
    tokenizer = vocabulary.guidance_tokenizer()
    click.echo(f"limits: compiling {COMPILE_LIMIT_MS} ms, 99 % of the masks {MASK_LIMIT_MS} ms")
    click.echo("tokens   words  writing  compiling  masks of      number    p50    p99     max")
    for count in tokens:
        writer = PromptWriter(count)
        notes = [writer.chat(count)[-1]["content"] for _ in range(repeat)]
        found = [measure(vocabulary, tokenizer, note, seed) for seed, note in enumerate(notes)]
        words = SourceText(notes[0]).count_words()
        for kind in ("copying", "wandering"):
            taken = [each for run in found for each in getattr(run, kind)]
            percentiles = quantiles(taken, n=100)
            click.echo(
                f"{count:6d} {words:7d} {median(run.writing for run in found):8.1f} "
                f"{median(run.compiling for run in found):10.1f}  {kind:12} {len(taken):7d} "
                f"{percentiles[49]:6.3f} {percentiles[98]:6.3f} {max(taken):7.2f}"
            )


if __name__ == "__main__":
    main()
