"""Every other place where a known number or address is written, where no label gives it away."""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Final

from server.privacy.spans import Kind, Span

REPEATED: Final[frozenset[Kind]] = frozenset({"MRN", "SSN", "PHONE", "EMAIL", "URL", "ADDRESS"})
SHORTEST, FEWEST_DIGITS = 5, 4
LONGEST = 300  # keeps the search linear; only a URL is longer, and its scheme gives it away every time
RANGE = re.compile(r"\d{1,2}-\d{1,2}|(?:19|20)\d{2}-\d{1,2}")  # doses, or a month: `10-20`, `2024-03`
WORD = re.compile(r"\w+")
WORD_END = re.compile(r"(?!\w)")
SCORE = 0.5


class Repeats:
    """The known texts of one request. They are found in any case, at word bounds."""

    def __init__(self, known: Iterable[tuple[Kind, str]]) -> None:
        """`known` holds identifiers as written; those too short to be told from other text are left out."""
        self._kinds: dict[str, Kind] = {}
        shapes: dict[str, set[tuple[int, int]]] = defaultdict(set)
        for kind, written in known:
            text = written.rstrip(".,")
            first = WORD.search(text)
            if first and kind in REPEATED and _is_telling(kind, text):
                self._kinds.setdefault(text.casefold(), kind)
                shapes[first[0].casefold()].add((first.start(), len(text)))
        self._shapes = {word: sorted(found, key=_longest_first) for word, found in shapes.items()}

    def find(self, text: str) -> Iterator[Span]:
        """Spans of known texts in `text`, at each word the longest; they may overlap."""
        for word in WORD.finditer(text):
            for before, length in self._shapes.get(word[0].casefold(), ()):
                start = word.start() - before
                end = start + length
                if start < 0 or end > len(text) or not WORD_END.match(text, end):
                    continue
                if kind := self._kinds.get(text[start:end].casefold()):
                    yield Span(start, end, kind, SCORE)
                    break


def _longest_first(shape: tuple[int, int]) -> tuple[int, int]:
    before, length = shape
    return (before - length, before)


def _is_telling(kind: Kind, text: str) -> bool:
    """Whether `text` means this identifier wherever it stands, and not a dose, a range or a date."""
    if not SHORTEST <= len(text) <= LONGEST:
        return False
    if kind in ("EMAIL", "URL"):
        return True
    digits = sum(map(str.isdigit, text))
    if kind == "ADDRESS" and any(map(str.isalpha, text)):
        return digits > 0
    return digits >= FEWEST_DIGITS and not RANGE.fullmatch(text)
