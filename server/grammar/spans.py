"""Verbatim spans of a text as a terminal of a Lark grammar, inside a JSON string.

The automaton walks the text in chunks (words, runs of blanks, single signs), so a span never cuts a word,
a number or an atom: `0.5` is never quoted as `5`. All expressions are over the *escaped* text, the one the
model writes: there a line break is the two characters `\\n`.
Source of `substring_chunks`: llguidance's syntax reference.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

SpanKind = Literal["quote", "value"]

_DIGIT = r"[\d¼-¾⅐-⅞]"
_NUMBER = rf"\.?{_DIGIT}+(?:[.,/-]?{_DIGIT}+)*"
_CHUNKS = {
    # 25mg is one word of a quote, but a dose and its unit to a value.
    "quote": re.compile(rf"(?:{_NUMBER})?\w+(?:['’.,/-]\w+)*|{_NUMBER}|\s+|[^\w\s]"),
    "value": re.compile(rf"{_NUMBER}|[^\W\d]\w*(?:['’-]\w+)*|\s+|\w+|[^\w\s]"),
}

_INK = r"([^\s\\]|\\[\"\\\/]|\\u[0-9a-f]{4})"
_BLANK = r"(\s|\\[nrtbf])"


@dataclass(frozen=True, slots=True)
class SourceText:
    """A text that spans are taken from; `atoms` are [start, end) ranges that no span may cut."""

    text: str
    atoms: tuple[tuple[int, int], ...] = ()

    @property
    def has_words(self) -> bool:
        """Whether there is anything to quote."""
        return re.search(r"\w", self.text) is not None

    def chunks(self, kind: SpanKind) -> Iterator[tuple[int, int]]:
        """[start, end) of each chunk, in order, together the whole text."""
        position = 0
        for start, end in (*self.atoms, (len(self.text), len(self.text))):
            for match in _CHUNKS[kind].finditer(self.text, position, start):
                yield match.span()
            if start < end:
                yield start, end
            position = end

    def occurrences(self, span: str) -> Iterator[int]:
        """Starts of the quote `span` in the text, ascending; both its ends lie on chunk boundaries."""
        bounds = {0, *(end for _, end in self.chunks("quote"))}
        start = self.text.find(span)
        while start >= 0:
            if start in bounds and start + len(span) in bounds:
                yield start
            start = self.text.find(span, start + 1)


def escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def substring_terminal(name: str, source: SourceText, kind: SpanKind) -> str:
    """Lark terminal for any run of chunks of `source`, the empty one included."""
    chunks = [escaped(source.text[start:end]) for start, end in source.chunks(kind)]
    return f"{name}: %regex {json.dumps({'substring_chunks': chunks}, ensure_ascii=False)}"


def span_terminal(name: str, substring: str, max_words: int) -> str:
    """Lark terminal for a span: a run of chunks that begins and ends in ink and holds a word."""
    more = rf"({_BLANK}+{_INK}+){{0,{max_words - 1}}}"
    return rf"{name}: {substring} & /{_INK}+{more}/ & /({_INK}|{_BLANK})*\w({_INK}|{_BLANK})*/"
