"""The identifiers in the texts of one request, and which of them are the same."""

import re
from collections.abc import Iterator, Sequence

from server.privacy.analyzer import find_identifiers
from server.privacy.findings import Finding, Findings
from server.privacy.mentions import mentions
from server.privacy.people import People
from server.privacy.repeats import Repeats
from server.privacy.roles import is_professional
from server.privacy.spans import Kind, Span, resolve


def analyze(texts: Sequence[str]) -> Findings:
    """The identifiers of each text, ascending and disjoint; identities hold over all `texts`."""
    found = [find_identifiers(text) for text in texts]
    people = _people(texts, found)
    repeats = Repeats(_written(texts, found))
    numbers: dict[tuple[str, ...], int] = {}
    findings: Findings = []
    for text, spans in zip(texts, found, strict=True):
        everywhere = resolve(text, [*spans, *mentions(text, people), *repeats.find(text)])
        keys = [(span.kind, *_identity(text, span, people)) for span in everywhere]
        findings.append(
            [
                Finding(span.start, span.end, span.kind, numbers.setdefault(key, len(numbers)))
                for span, key in zip(everywhere, keys, strict=True)
            ]
        )
    return findings


def _people(texts: Sequence[str], found: list[list[Span]]) -> People:
    names = [name for kind, name in _written(texts, found) if kind == "NAME"]
    professionals = [
        text[span.start : span.end]
        for text, spans in zip(texts, found, strict=True)
        for span in spans
        if span.kind == "NAME" and is_professional(text, span.start, span.end)
    ]
    return People(names, professionals)


def _written(texts: Sequence[str], found: list[list[Span]]) -> Iterator[tuple[Kind, str]]:
    for text, spans in zip(texts, found, strict=True):
        yield from ((span.kind, text[span.start : span.end]) for span in spans)


def _identity(text: str, span: Span, people: People) -> tuple[str, ...]:
    """What is equal for two ways to write one identifier."""
    written = text[span.start : span.end]
    match span.kind:
        case "NAME":
            return people.identity(written, professional=is_professional(text, span.start, span.end))
        case "PHONE":
            return (re.sub(r"\D", "", written).removeprefix("1"),)
        case "SSN" | "MRN":
            return (re.sub(r"[\W_]", "", written).casefold(),)
        case "DATE" | "ADDRESS":
            return (" ".join(re.sub(r"[,.]", " ", written).split()).casefold(),)
        case "EMAIL" | "URL":
            return (written.casefold(),)
