"""Decides which tokens of which sequences the next decode step carries. Pure Python, no llama.cpp."""

import heapq
from collections import deque
from collections.abc import Iterable

from server.engine.sequence import Sequence


class Scheduler:
    """First come, first served into a fixed number of slots, under a token budget a step.

    Sequences that already answer go first, so a long prompt is prefilled in what the step has left.
    """

    def __init__(self, *, slots: int, budget: int) -> None:
        self._free = list(range(slots))
        self._budget = budget
        self.waiting: deque[Sequence] = deque()
        self.running: list[Sequence] = []

    def add(self, sequence: Sequence) -> None:
        """Queue a new sequence."""
        self.waiting.append(sequence)

    def schedule(self) -> list[tuple[Sequence, int]]:
        """Choose (sequence, number of its pending tokens) for one step; together at most the budget.

        In the order of their slots: llama.cpp computes neighbouring KV streams together, others one by one.
        """
        self._fill_slots()
        left = self._budget
        chosen: list[tuple[Sequence, int]] = []
        for sequence in sorted(self.running, key=lambda each: each.prefilling):
            count = min(sequence.pending, left)
            if count:
                chosen.append((sequence, count))
                left -= count
        return sorted(chosen, key=lambda choice: choice[0].slot)

    def retire(self, sequences: Iterable[Sequence]) -> None:
        """Take ended sequences out and free their slots."""
        for sequence in sequences:
            self.running.remove(sequence)
            heapq.heappush(self._free, sequence.slot)

    def cancel(self, request_id: int) -> Sequence | None:
        """Take a request out wherever it stands; returns it when it held a slot."""
        for sequence in self.waiting:
            if sequence.id == request_id:
                self.waiting.remove(sequence)
                return None
        for sequence in self.running:
            if sequence.id == request_id:
                self.retire([sequence])
                return sequence
        return None

    def _fill_slots(self) -> None:
        while self._free and self.waiting:
            sequence = self.waiting.popleft()
            sequence.slot = heapq.heappop(self._free)
            self.running.append(sequence)
