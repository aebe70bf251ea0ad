"""A repetition as it was recorded: who asked, when, and the bytes that came back."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Arrival(NamedTuple):
    """Bytes, and when they came (seconds of `perf_counter`)."""

    at_s: float
    data: bytes


class Exchange(NamedTuple):
    """One request's start (seconds of `perf_counter`), and what came until it ended or was cut off."""

    started_s: float
    arrivals: Sequence[Arrival]


@dataclass(frozen=True)
class Recording:
    """Of each client its exchanges, in order; and the late one's, where the load has one."""

    clients: Sequence[Sequence[Exchange]]
    late: Exchange | None = None
