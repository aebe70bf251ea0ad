"""Render: messages to token ids, through the GGUF's own chat template."""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from server.engine.llama.vocabulary import Vocabulary
from server.engine.lookup import common_length
from server.errors import InvalidRequest, StartupError
from server.grammar.tool_calls import HERMES
from server.inference.call_syntax import detect, takes_system, to_json, with_tokens
from server.inference.leaves import mapped, strings
from server.inference.request import Message
from server.inference.turns import Turn, native_turns, plain_turns

_FIRST_PRIVATE_USE = 0xE000
_PROBES = ("a", "1")
_FAULTS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
_FALLBACK_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class ChatTemplate:
    """A GGUF's Jinja chat template in a sandbox: the file is not trusted to run code.

    What callers write is never read as a control token: a text such as `<|im_end|>` in a message stays text.
    `calls` is the syntax in which the weights call tools: the template's own where it has one that is known.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._vocabulary = vocabulary
        source = vocabulary.chat_template or _FALLBACK_TEMPLATE
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.globals["raise_exception"] = _refuse
        environment.filters["tojson"] = to_json
        environment.globals["strftime_now"] = lambda style: datetime.now(UTC).strftime(style)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise StartupError(f"the weights' chat template cannot be read: {error}") from error
        self._preambles: dict[tuple[Message, ...], list[int]] = {}  # as many as there are tasks
        syntax = detect(self._probed)
        self._native = syntax is not None
        self._system = takes_system(self._probed)
        self.calls = with_tokens(syntax or HERMES, vocabulary, native=self._native)
        self._control = re.compile("|".join(map(re.escape, vocabulary.control_texts)) or r"(?!)")

    def render(self, messages: Sequence[Message], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Token ids of the conversation up to where the answer begins, with `tools` in OpenAI's shape."""
        if self._native:
            turns, listed = native_turns(messages), list(tools)
        else:
            turns, listed = plain_turns(messages, tools, self.calls, system=self._system), []
        fences = self._fences(set(strings([turns, listed])))

        def fenced(leaf: Any) -> Any:
            if not isinstance(leaf, str):
                return leaf
            return self._control.sub(lambda match: fences[match.group()], leaf)

        text = self._rendered(mapped(turns, fenced), mapped(listed, fenced))
        tokens = self._vocabulary.tokenize("", control=False, begin=self._vocabulary.adds_begin)
        text = text.removeprefix(self._vocabulary.begin_text) if tokens else text
        quoted = {fence: control for control, fence in fences.items()}
        for piece in re.split(f"([{''.join(quoted)}])", text) if quoted else [text]:
            tokens += self._vocabulary.tokenize(quoted.get(piece, piece), control=piece not in quoted)
        return tokens

    def preamble(self, messages: Sequence[Message]) -> list[int]:
        """Tokens that all conversations have in common which begin with these `messages` of the operators."""
        one, other = (self.render((*messages, Message("user", probe))) for probe in _PROBES)
        return one[: common_length(one, other)]

    def shared(self, messages: Sequence[Message], tokens: list[int]) -> int:
        """How many of the rendered `tokens` the operators alone determine, whoever asks."""
        key = tuple(itertools.takewhile(lambda each: not each.from_caller, messages))
        if not key:
            return 0
        if key not in self._preambles:
            self._preambles[key] = self.preamble(key)
        return common_length(self._preambles[key], tokens)

    def _fences(self, texts: Collection[str]) -> dict[str, str]:
        """For each control text in `texts` a character that stands for it while the template runs.

        Templates may drop or repeat a message, so a fence says which text it stands for, not its place.
        """
        found = {control for text in texts for control in self._control.findall(text)}
        return dict(zip(sorted(found), _unused_characters(texts), strict=False))

    def _rendered(self, turns: Sequence[Turn], tools: Sequence[Mapping[str, Any]]) -> str:
        try:
            return self._probed(turns, tools)
        except ValueError as error:
            raise InvalidRequest(
                f"the weights' chat template refuses these messages: {error}", param="messages"
            ) from error

    def _probed(self, turns: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]]) -> str:
        try:
            return self._template.render(
                messages=turns,
                tools=tools or None,
                add_generation_prompt=True,
                bos_token=self._vocabulary.begin_text,
                eos_token=self._vocabulary.end_text,
            )
        except TemplateError as error:
            raise ValueError(str(error)) from error
        except _FAULTS as error:  # what they say may repeat a message
            raise ValueError("it cannot render them") from error


def _unused_characters(texts: Collection[str]) -> Iterator[str]:
    used = set().union(*texts)
    return (sign for sign in map(chr, itertools.count(_FIRST_PRIVATE_USE)) if sign not in used)


def _refuse(message: str) -> Any:
    raise TemplateError(message)
