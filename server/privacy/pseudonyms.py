"""Texts with pseudonyms for the model, and the vault that takes them back.

A pseudonym is `[KIND_number]`. The bracket closes it, so none is the beginning of another, and JSON escapes
none of its characters.
"""

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from server.privacy.findings import Finding, Findings
from server.privacy.restorer import PSEUDONYM, Restorer, restore
from server.privacy.spans import Kind

__all__ = ["Deidentified", "PseudonymizedText", "Restorer", "Vault", "pseudonymize"]


class PseudonymizedText:
    """One text of a request, before and after. Offsets are code points."""

    __slots__ = ("_originals", "atoms", "original", "text")

    def __init__(self, original: str, findings: Sequence[Finding], pseudonyms: Mapping[int, str]) -> None:
        """`findings` are disjoint and ascending; `pseudonyms` maps their identities."""
        pieces: list[str] = []
        atoms: list[tuple[int, int]] = []
        position = length = 0
        for finding in findings:
            pseudonym = pseudonyms[finding.identity]
            pieces += (original[position : finding.start], pseudonym)
            length += finding.start - position
            atoms.append((length, length + len(pseudonym)))
            length += len(pseudonym)
            position = finding.end
        self.original = original
        self.text = "".join((*pieces, original[position:]))
        self.atoms = tuple(atoms)
        self._originals = tuple((finding.start, finding.end) for finding in findings)

    def __repr__(self) -> str:
        return f"<PseudonymizedText of {len(self.original)} code points with {len(self.atoms)} pseudonyms>"

    def original_span(self, start: int, end: int) -> tuple[int, int]:
        """The span of `original` that text[start:end] stands for.

        Raises ValueError where a bound lies inside a pseudonym or outside the text, or the span is reversed.
        """
        if not 0 <= start <= end <= len(self.text):
            raise ValueError("not a span of the pseudonymized text")
        return self._original_start(start), self._original_end(end)

    def _original_start(self, position: int) -> int:
        """A span that starts where a pseudonym starts holds it, so only those that ended lie before."""
        ended = bisect_right(self.atoms, position, key=lambda atom: atom[1])
        if ended < len(self.atoms) and self.atoms[ended][0] < position:
            raise ValueError("a bound lies inside a pseudonym")
        return self._after(ended, position)

    def _original_end(self, position: int) -> int:
        begun = bisect_left(self.atoms, position, key=lambda atom: atom[0])
        if begun and self.atoms[begun - 1][1] > position:
            raise ValueError("a bound lies inside a pseudonym")
        return self._after(begun, position)

    def _after(self, passed: int, position: int) -> int:
        """`position` behind `passed` pseudonyms, in the original."""
        if not passed:
            return position
        return self._originals[passed - 1][1] + position - self.atoms[passed - 1][1]


class Vault:
    """What stands behind the pseudonyms of one request; kept in memory, for that request only."""

    __slots__ = ("_originals", "counts")

    def __init__(self, originals: Mapping[str, str]) -> None:
        """`originals` maps pseudonyms to identities as first written."""
        self._originals = dict(originals)
        self.counts: Mapping[str, int] = MappingProxyType(
            Counter(pseudonym[1:].partition("_")[0] for pseudonym in originals)
        )

    def __repr__(self) -> str:
        return f"<Vault of {len(self._originals)} identities>"

    def restore(self, text: str) -> str:
        """`text` with every known pseudonym replaced by its identity as first written in the request."""
        return restore(text, self._originals)

    def restorer(self, *, json: bool = False) -> Restorer:
        """A restorer for one stream; `json` where the pseudonyms stand inside JSON string literals."""
        return Restorer(self._originals, json=json)


@dataclass(frozen=True, slots=True)
class Deidentified:
    """The texts of a request in their order, with one vault over all of them."""

    texts: tuple[PseudonymizedText, ...]
    vault: Vault


def pseudonymize(texts: Sequence[str], findings: Findings) -> Deidentified:
    """`texts` with each identity of `findings` replaced; each kind is numbered by first appearance."""
    reserved = {match[0] for text in texts for match in PSEUDONYM.finditer(text)}
    series: dict[Kind, Iterator[str]] = {}
    pseudonyms: dict[int, str] = {}
    originals: dict[str, str] = {}
    for text, found in zip(texts, findings, strict=True):
        for start, end, kind, identity in found:
            if identity not in pseudonyms:
                pseudonyms[identity] = next(series.setdefault(kind, _series(kind, reserved)))
                originals[pseudonyms[identity]] = text[start:end]
    pairs = zip(texts, findings, strict=True)
    return Deidentified(
        texts=tuple(PseudonymizedText(text, found, pseudonyms) for text, found in pairs),
        vault=Vault(originals),
    )


def _series(kind: Kind, reserved: set[str]) -> Iterator[str]:
    """`[KIND_1]`, `[KIND_2]`, ... without those that a caller wrote."""
    number = 0
    while number := number + 1:
        if (pseudonym := f"[{kind}_{number}]") not in reserved:
            yield pseudonym
