"""Reads calls out of what the weights write, piece by piece, while a grammar holds them to their syntax."""

import functools
from collections.abc import Callable
from dataclasses import dataclass

from server.errors import GenerationFailed
from server.grammar.tool_calls import CallSyntax
from server.inference.conformity import Conformity
from server.inference.text import TextStage, overlap


@dataclass(frozen=True, slots=True)
class CallDelta:
    """A part of the call `index` of an answer: its name, or arguments; `ended` with the last of them."""

    index: int
    name: str | None = None
    arguments: str = ""
    ended: bool = False


class JsonObject:
    """Finds where the JSON object ends that a stream of valid JSON begins with."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = self._escaped = False

    def end(self, text: str) -> int | None:
        """How many characters of further `text` belong to the object, None where all do and more will."""
        for position, sign in enumerate(text):
            if self._escaped:
                self._escaped = False
            elif self._in_string:
                self._escaped = sign == "\\"
                self._in_string = sign != '"'
            elif sign == '"':
                self._in_string = True
            elif sign in "{[":
                self._depth += 1
            elif sign in "}]":
                self._depth -= 1
                if self._depth == 0:
                    return position + 1
        return None


class CallReader:
    """Tells content from calls. Only what may still turn out to be the syntax of a call is held back.

    Blanks between content and a call belong to neither. A call's arguments appear with their identities
    restored, by a stage of their own.
    """

    def __init__(
        self,
        syntax: CallSyntax,
        restorer: Callable[[], TextStage],
        check: Callable[[str, str], None],
    ) -> None:
        """`restorer` makes a stage for the JSON of one call.

        `check` takes a tool's name and restored arguments, and raises InvalidOutput where these do not fit.
        """
        self._syntax = syntax
        self._restorer = restorer
        self._check = check
        self._held = ""
        self._read: Callable[[], bool] = self._read_content
        self._content: list[str] = []
        self._deltas: list[CallDelta] = []
        self._object = JsonObject()
        self._stage = restorer()
        self._begun: list[Conformity] = []
        self._ended = 0

    @property
    def calls(self) -> int:
        """How many calls were begun."""
        return len(self._begun)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing from what was begun."""
        ends = (self._read_content, self._read_to_the_end, self._read_separator)
        return self._read in ends and not self._held

    def feed(self, text: str) -> str:
        """Take more text, return what of it is content; raises GenerationFailed on a broken syntax."""
        self._held += text
        while self._read():
            pass
        content, self._content = "".join(self._content), []
        return content

    def flush(self) -> str:
        """The stream is over: return content that was held back; arguments that were are a last delta."""
        if self._read == self._read_arguments:
            self._tell("", self._stage.flush())
        if self._read != self._read_content:
            return ""
        content, self._held = self._held, ""
        return content

    async def verify(self) -> None:
        """Raise InvalidOutput where a whole call's arguments, with identities restored, fit no more."""
        for conformity in self._begun[: self._ended]:
            await conformity.verify()

    def take(self) -> tuple[CallDelta, ...]:
        """The deltas since they were last taken."""
        deltas, self._deltas = tuple(self._deltas), []
        return deltas

    def _read_content(self) -> bool:
        marker = self._syntax.marker
        if not marker:
            return self._read_only_content_or_call()
        at = self._held.find(marker)
        if at < 0:
            self._release(len(self._held) - overlap(self._held, marker))
            return False
        self._release(at)
        self._held = self._held.lstrip()
        self._read = self._read_opening
        return True

    def _read_only_content_or_call(self) -> bool:
        """Without a marker the first sign decides."""
        if not self._held:
            return False
        called = self._held.startswith(self._syntax.opening[0])
        self._read = self._read_opening if called else self._read_to_the_end
        return True

    def _read_to_the_end(self) -> bool:
        self._content.append(self._held)
        self._held = ""
        return False

    def _release(self, end: int) -> None:
        """What is held becomes content up to `end`, but for the blanks before it."""
        shown = self._held[:end].rstrip()
        self._content.append(shown)
        self._held = self._held[len(shown) :]

    def _read_opening(self) -> bool:
        if not self._passes(self._syntax.opening):
            return False
        self._read = self._read_name
        return True

    def _read_name(self) -> bool:
        name, middle, rest = self._held.partition(self._syntax.middle)
        if not middle:
            return False
        self._deltas.append(CallDelta(self.calls, name=name))
        self._begun.append(Conformity(functools.partial(self._check, name)))
        self._held, self._object, self._stage = rest, JsonObject(), self._restorer()
        self._read = self._read_arguments
        return True

    def _read_arguments(self) -> bool:
        end = self._object.end(self._held)
        text, self._held = self._held[:end], "" if end is None else self._held[end:]
        shown = self._stage.feed(text)
        if end is None:
            self._tell(text, shown)
            return False
        self._tell(text, shown + self._stage.flush(), ended=True)
        self._ended += 1
        self._read = self._read_closing
        return True

    def _tell(self, written: str, arguments: str, *, ended: bool = False) -> None:
        self._begun[-1].add(written, arguments)
        if arguments or ended:
            self._deltas.append(CallDelta(self.calls - 1, arguments=arguments, ended=ended))

    def _read_closing(self) -> bool:
        if not self._passes(self._syntax.closing):
            return False
        self._read = self._read_separator
        return True

    def _read_separator(self) -> bool:
        if not self._held or not self._passes(self._syntax.separator or "\0"):
            return False
        self._read = self._read_opening
        return True

    def _passes(self, expected: str) -> bool:
        """Take `expected` from what is held; not yet where it is not all there."""
        if self._held.startswith(expected):
            self._held = self._held[len(expected) :]
            return True
        if not expected.startswith(self._held):
            raise GenerationFailed("the engine could not finish the answer: a call broke off its syntax")
        return False
