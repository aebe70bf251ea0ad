"""What a worker answers: offsets and identities, no text."""

from dataclasses import dataclass
from typing import NamedTuple

from server.privacy.spans import Kind


class Finding(NamedTuple):
    """An identifier at code points [start, end) of a text; equal `identity` in one answer is one identity."""

    start: int
    end: int
    kind: Kind
    identity: int


Findings = list[list[Finding]]
"""For each text its findings, ascending and disjoint."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An analysis that failed; the class of the exception is told, never its message."""

    error: str
