"""The identifiers in the texts of one request, and which of them are the same."""

import re
from collections.abc import Sequence

from server.privacy.analyzer import find_identifiers
from server.privacy.findings import Finding, Findings
from server.privacy.mentions import mentions
from server.privacy.people import People
from server.privacy.spans import Span, resolve


def analyze(texts: Sequence[str]) -> Findings:
    """The identifiers of each text, ascending and disjoint; identities hold over all `texts`."""
    found = [find_identifiers(text) for text in texts]
    people = People(
        text[span.start : span.end]
        for text, spans in zip(texts, found, strict=True)
        for span in spans
        if span.kind == "NAME"
    )
    identities: dict[tuple[str, ...], int] = {}
    return [
        [
            Finding(span.start, span.end, span.kind, identities.setdefault(key, len(identities)))
            for span in resolve(text, [*spans, *mentions(text, people)])
            for key in [(span.kind, *_identity(span, text[span.start : span.end], people))]
        ]
        for text, spans in zip(texts, found, strict=True)
    ]


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
