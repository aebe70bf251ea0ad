"""Texts with pseudonyms for the model, and the vault that takes them back.

A pseudonym is `[KIND_number]`, or `[KIND_number_spelling]` where an identity must come back as one text
spells it, not as it was first written. The bracket closes it, so none is the beginning of another, and JSON
escapes none of its characters.
"""

import itertools
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from server.privacy.findings import Finding, Findings
from server.privacy.restorer import PSEUDONYM, Restorer, restore

__all__ = ["Deidentified", "PseudonymizedText", "Restorer", "Vault", "pseudonymize"]

Atoms = tuple[tuple[int, int], ...]
Spellings = Mapping[tuple[int, str], str]


class PseudonymizedText:
    """One text of a request, before and after. Offsets are code points.

    `text` has one pseudonym for an identity however it is spelled, `spelled` one for each spelling: what is
    restored from `spelled` is `original` to the letter. `atoms` and `spelled_atoms` are where they stand.
    """

    __slots__ = ("_originals", "atoms", "original", "spelled", "spelled_atoms", "text")

    def __init__(
        self,
        original: str,
        findings: Sequence[Finding],
        pseudonyms: Mapping[int, str],
        spellings: Spellings = MappingProxyType({}),
    ) -> None:
        """`findings` are disjoint and ascending; `pseudonyms` maps their identities.

        `spellings` maps (identity, spelling) where that is not the one that `pseudonyms` restores.
        """
        plain = [pseudonyms[finding.identity] for finding in findings]
        own = [
            spellings.get((each.identity, original[each.start : each.end]), name)
            for each, name in zip(findings, plain, strict=True)
        ]
        self.original = original
        self.text, self.atoms = _replaced(original, findings, plain)
        self.spelled, self.spelled_atoms = _replaced(original, findings, own)
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

    def __init__(
        self, originals: Mapping[str, str], spellings: Mapping[str, str] = MappingProxyType({})
    ) -> None:
        """`originals` maps pseudonyms to identities as first written, `spellings` to how else they are."""
        self._originals = {**originals, **spellings}
        self.counts: Mapping[str, int] = MappingProxyType(
            Counter(pseudonym[1:].partition("_")[0] for pseudonym in originals)
        )

    def __repr__(self) -> str:
        return f"<Vault of {sum(self.counts.values())} identities>"

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
    series: dict[str, Iterator[str]] = {}
    pseudonyms: dict[int, str] = {}
    originals: dict[str, str] = {}
    spellings: dict[tuple[int, str], str] = {}
    for text, found in zip(texts, findings, strict=True):
        for start, end, kind, identity in found:
            written = text[start:end]
            if identity not in pseudonyms:
                name = pseudonyms[identity] = next(series.setdefault(kind, _series(kind, 1, reserved)))
                originals[name] = written
            elif written != originals[name := pseudonyms[identity]] and (identity, written) not in spellings:
                others = series.setdefault(name, _series(name[1:-1], 2, reserved))
                spellings[identity, written] = next(others)
    pairs = zip(texts, findings, strict=True)
    return Deidentified(
        texts=tuple(PseudonymizedText(text, found, pseudonyms, spellings) for text, found in pairs),
        vault=Vault(originals, {name: written for (_, written), name in spellings.items()}),
    )


def _replaced(original: str, findings: Sequence[Finding], names: Sequence[str]) -> tuple[str, Atoms]:
    """`original` with the names in place of the findings, and where they stand then."""
    pieces: list[str] = []
    atoms: list[tuple[int, int]] = []
    position = length = 0
    for finding, name in zip(findings, names, strict=True):
        pieces += (original[position : finding.start], name)
        length += finding.start - position
        atoms.append((length, length + len(name)))
        length += len(name)
        position = finding.end
    return "".join((*pieces, original[position:])), tuple(atoms)


def _series(beginning: str, number: int, reserved: set[str]) -> Iterator[str]:
    """`[beginning_number]` and those that follow, without those that a caller wrote."""
    for following in itertools.count(number):
        if (pseudonym := f"[{beginning}_{following}]") not in reserved:
            yield pseudonym
