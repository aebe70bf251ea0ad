"""Spans of identifiers in a text, and which of them hold where they overlap."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

Kind = Literal["NAME", "DATE", "PHONE", "EMAIL", "MRN", "SSN", "ADDRESS", "URL"]


class Span(NamedTuple):
    """An identifier at code points [start, end) of one text; `score` is a confidence in (0, 1]."""

    start: int
    end: int
    kind: Kind
    score: float


def resolve(text: str, spans: Iterable[Span]) -> list[Span]:
    """Disjoint spans in ascending order that cover everything `spans` covered, but for punctuation.

    The highest score holds, then the longest, then the earliest. What a loser covers outside the winners
    stays a span of its own: an identifier is never half shown because another one overlapped it.
    """
    kept: list[Span] = []
    for span in sorted(spans, key=lambda span: (-span.score, span.start - span.end, span.start)):
        for rest in list(_outside(span, kept)):
            if trimmed := _trimmed(text, rest):
                kept.insert(bisect_right(kept, trimmed), trimmed)
    return kept


def _outside(span: Span, kept: list[Span]) -> Iterator[Span]:
    """The parts of `span` that no kept span covers; `kept` is ascending and disjoint."""
    position = span.start
    index = max(0, bisect_right(kept, (span.start,)) - 1)
    while index < len(kept) and kept[index].start < span.end:
        if kept[index].start > position:
            yield span._replace(start=position, end=kept[index].start)
        position = max(position, kept[index].end)
        index += 1
    if position < span.end:
        yield span._replace(start=position)


def _trimmed(text: str, span: Span) -> Span | None:
    """`span` without the punctuation that a cut left at its bounds, None where nothing is left."""
    start, end = span.start, span.end
    while start < end and text[start] in " \t\r\n,;":
        start += 1
    while end > start and text[end - 1] in " \t\r\n,;":
        end -= 1
    return span._replace(start=start, end=end) if end > start else None
