"""Who is next: three classes of priority, fair shares between tenants, and no one for ever."""

import heapq
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from server.engine.sequence import Sequence


@dataclass(slots=True, eq=False)
class _Place:
    """A sequence in the queue; `share` is its place in the order of fair shares."""

    sequence: Sequence
    share: float
    arrival: int


class FairQueue:
    """Start-time fair queueing (Goyal, Vin and Cheng 1996) within classes that waiting moves upwards.

    A tenant's requests are spaced by the tokens they may cost, so whoever asks for more comes later, and who
    asks seldom comes at once. Every `aging_s` seconds in the queue raise a request by one class.
    """

    def __init__(self, *, aging_s: float) -> None:
        self._aging_s = aging_s
        self._places: dict[int, _Place] = {}
        self._finish: dict[str, float] = {}
        self._served: dict[str, float] = {}
        self._now = 0.0
        self._arrivals = itertools.count()

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Sequence]:
        return (place.sequence for place in self._places.values())

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        share = max(self._now, self._finish.get(sequence.tenant, 0.0))
        self._finish[sequence.tenant] = share + sequence.prompt_length + sequence.max_tokens
        self._places[sequence.id] = _Place(sequence, share, next(self._arrivals))

    def take(self, request_id: int) -> Sequence | None:
        """Take a request out, if it is here."""
        place = self._places.pop(request_id, None)
        self._forget()
        return place.sequence if place else None

    def admit(self, sequence: Sequence) -> None:
        """Take out a sequence that gets a slot now: the shares of those after it begin here."""
        place = self._places.pop(sequence.id)
        self._now = max(self._now, place.share)
        self._served[sequence.tenant] = sequence.started_s or 0.0
        self._forget()

    def ordered(self, now_s: float) -> Iterator[Sequence]:
        """Every sequence, the one to serve first first."""
        heap = [
            (self._rank(place, now_s), place.share, place.arrival, place) for place in self._places.values()
        ]
        heapq.heapify(heap)
        while heap:
            yield heapq.heappop(heap)[3].sequence

    def _rank(self, place: _Place, now_s: float) -> int:
        since_s = max(place.sequence.submitted_s, self._served.get(place.sequence.tenant, -math.inf))
        return place.sequence.priority - int(max(0.0, now_s - since_s) / self._aging_s)

    def _forget(self) -> None:
        """Where nobody waits nobody owes; of those who do not wait no more is known than their share."""
        if not self._places:
            self._finish.clear()
            self._served.clear()
        self._finish = {tenant: end for tenant, end in self._finish.items() if end > self._now}
