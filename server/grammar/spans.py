"""Verbatim spans of a text as a terminal of a Lark grammar, inside a JSON string.

The automaton walks the text in chunks (words, runs of blanks, single signs), so a span never cuts a word,
a number or an atom: `0.5` is never quoted as `5`. All expressions are over the *escaped* text, the one the
model writes: there a line break is the two characters `\\n`.
Source of `substring_chunks`: llguidance's syntax reference.
"""

import json
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from json.encoder import encode_basestring

LONGEST_CHUNK = 1000
"""Characters of the longest word that can be quoted: 100 000 in a row exhaust what llguidance may spend."""

_DIGIT = r"[\d¼-¾⅐-⅞]"
_NUMBER = rf"\.?{_DIGIT}+(?:[.,/-]?{_DIGIT}+)*"
_CHUNK = rf"(?:{_NUMBER})?WORD+(?:['’.,/-]WORD+)*|{_NUMBER}|\s+|SIGN"

_SENTENCE_END = re.compile(r"(?:(?<=[;!?])|(?<=[^.\s]{2}\.))\s+|[\r\n]+")  # not after the full stops of p.o.

_INK = r"([^\s\\\x00-\x1f]|\\[\"\\\/]|\\u[0-9a-f]{4})"
_BLANK = r"(\s|\\[nrtbf])"
_BARRIER = "\x00"  # JSON escapes it, so no text holds it, and no span may
# Unassigned planes. Vocabularies of bytes lack those that only they need: no model could write such a sign.
_UNWRITABLE = "[\U00040000-\U000bffff]"
_LETTER_OR_DIGIT = re.compile(r"\w")
_LETTER = r"[\p{L}\p{N}_]"  # Python's \w; that of Rust expressions has marks and lacks signs such as ½
_SIGN = r"([^\s\\\x00-\x1f\p{L}\p{N}_]|\\[\"\\\/]|\\u[0-9a-f]{4})"  # ink that is no letter


@dataclass(frozen=True)
class SourceText:
    """A text that spans are taken from; `atoms` are [start, end) ranges that no span may cut."""

    text: str
    atoms: tuple[tuple[int, int], ...] = ()

    def count_words(self, without: str | None = None) -> int:
        """How many words there are to quote that touch nothing `without` finds."""
        return sum(
            chunk is not None and _LETTER_OR_DIGIT.search(chunk) is not None
            for chunk in self.quotable(without)
        )

    def quotable(self, without: str | None = None) -> list[str | None]:
        """Each chunk in order, None for one that cannot be written, or touches what `without` finds."""
        covered = bytearray(len(self.text))
        for pattern in filter(None, (without, _UNWRITABLE)):
            for match in re.finditer(pattern, self.text):
                covered[match.start() : match.end()] = b"\1" * (match.end() - match.start())
        return [
            None if end - start > LONGEST_CHUNK or 1 in covered[start:end] else self.text[start:end]
            for start, end in self.chunks()
        ]

    def sentence(self, start: int, end: int) -> "SourceText":
        """The sentence or sentences, or the line or lines, that [start, end) touches; without atoms."""
        first = max((match.end() for match in _SENTENCE_END.finditer(self.text, 0, start)), default=0)
        last = _SENTENCE_END.search(self.text, max(end - 1, start))
        return SourceText(self.text[first : last.start() if last else len(self.text)])

    @cached_property
    def _quote_bounds(self) -> frozenset[int]:
        return frozenset((0, *(end for _, end in self.chunks())))

    def chunks(self) -> Sequence[tuple[int, int]]:
        """[start, end) of each chunk, in order, together the whole text."""
        return self._chunks

    @cached_property
    def _chunks(self) -> tuple[tuple[int, int], ...]:
        return tuple(self._cut())

    def _cut(self) -> Iterator[tuple[int, int]]:
        pattern = _chunk_pattern(self.text)
        position = 0
        for start, end in self._gaps():
            for match in pattern.finditer(self.text, position, start):
                yield match.span()
            if start < end:
                yield start, end
            position = end

    def matches(self, pattern: str) -> list[str]:
        """The different texts that `pattern` finds outside the atoms, in order of appearance."""
        expression = re.compile(pattern)
        found: dict[str, None] = {}
        position = 0
        for start, end in self._gaps():
            found |= dict.fromkeys(match.group() for match in expression.finditer(self.text, position, start))
            position = end
        return [text for text in found if text and not re.search(_UNWRITABLE, text)]

    def _gaps(self) -> Iterator[tuple[int, int]]:
        """The atoms, and an empty one at the end of the text."""
        yield from self.atoms
        yield len(self.text), len(self.text)

    def occurrences(self, span: str) -> Iterator[int]:
        """Starts of the quote `span` in the text, ascending; both its ends lie on chunk boundaries."""
        start = self.text.find(span)
        while start >= 0:
            if {start, start + len(span)} <= self._quote_bounds:
                yield start
            start = self.text.find(span, start + 1)


def _chunk_pattern(text: str) -> re.Pattern[str]:
    """The chunks of `text`. Python's `\\w` knows no combining marks: those in the text are named."""
    marks = "".join(sorted(sign for sign in set(text) if unicodedata.category(sign).startswith("M")))
    word, sign = (rf"[\w{marks}]", rf"[^\w\s][{marks}]*") if marks else (r"\w", r"[^\w\s]")
    return re.compile(_CHUNK.replace("WORD", word).replace("SIGN", sign))


def escaped(text: str) -> str:
    """`text` as it stands inside a JSON string."""
    return encode_basestring(text)[1:-1]


def substring_terminal(name: str, source: SourceText, without: str | None) -> str:
    """Lark terminal for any run of chunks of `source`, also of none, that touches nothing `without` finds."""
    chunks = [_BARRIER if chunk is None else escaped(chunk) for chunk in source.quotable(without)]
    return f"{name}: %regex {json.dumps({'substring_chunks': chunks}, ensure_ascii=False)}"


def span_terminal(name: str, substring: str, max_words: int) -> str:
    """Lark terminal for a span: a run of chunks from a word with a letter or a digit to the end of one.

    One regex says all of it: with a second one, masks took twice as long.
    """
    first = rf"{_SIGN}*{_LETTER}{_INK}*"
    return rf"{name}: {substring} & /{first}({_BLANK}+{_INK}+){{0,{max_words - 1}}}/"
