"""The identifiers in the texts of one request, and which of them are the same."""

import re
from collections.abc import Iterator, Sequence

from server.privacy.analyzer import find_identifiers
from server.privacy.findings import Finding, Findings
from server.privacy.mentions import mentions
from server.privacy.people import People
from server.privacy.spans import Span, resolve


def analyze(texts: Sequence[str]) -> Findings:
    """The identifiers of each text, ascending and disjoint; identities hold over all `texts`."""
    found = [find_identifiers(text) for text in texts]
    people = People(_names(texts, found))
    numbers: dict[tuple[str, ...], int] = {}
    findings: Findings = []
    for text, spans in zip(texts, found, strict=True):
        everywhere = resolve(text, [*spans, *mentions(text, people)])
        keys = [(span.kind, *_identity(span, text[span.start : span.end], people)) for span in everywhere]
        findings.append(
            [
                Finding(span.start, span.end, span.kind, numbers.setdefault(key, len(numbers)))
                for span, key in zip(everywhere, keys, strict=True)
            ]
        )
    return findings


def _names(texts: Sequence[str], found: list[list[Span]]) -> Iterator[str]:
    for text, spans in zip(texts, found, strict=True):
        yield from (text[span.start : span.end] for span in spans if span.kind == "NAME")


def _identity(span: Span, written: str, people: People) -> tuple[str, ...]:
    """What is equal for two ways to write one identifier."""
    match span.kind:
        case "NAME":
            return people.identity(written)
        case "PHONE":
            return (re.sub(r"\D", "", written).removeprefix("1"),)
        case "SSN" | "MRN":
            return (re.sub(r"[\W_]", "", written).casefold(),)
        case "DATE" | "ADDRESS":
            return (" ".join(re.sub(r"[,.]", " ", written).split()).casefold(),)
        case "EMAIL":
            return (written.casefold(),)
        case "URL":
            return (written,)
