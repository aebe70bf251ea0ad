"""Decides which tokens of which sequences the next decode step carries. Pure Python, no llama.cpp."""

from dataclasses import dataclass, field

from server.engine.blocks import TILE_TOKENS, next_cut
from server.engine.budget import PrefillBudget
from server.engine.protocol import Priority
from server.engine.queue import FairQueue
from server.engine.sequence import Sequence
from server.engine.slots import Slots

_BULK_SHARE = 0.75
_STRETCH = 1.25


@dataclass(slots=True)
class Work:
    """`count` pending tokens of a sequence; where it `samples` after them, also drafts of what may follow.

    The `draft` is checked in this step: the beginning of the whole `guess`. `accepted` is how much was right.
    """

    sequence: Sequence
    count: int
    samples: bool = False
    guess: list[int] = field(default_factory=list)
    draft: list[int] = field(default_factory=list)
    accepted: int = 0


class Scheduler:
    """Gives slots to those who wait and a share of each step to those who run.

    Answers go first, each by what it has pending; a step has room beside them for as much prefill as the
    time between two tokens allows, spent on the prompt that is most urgent.
    """

    def __init__(
        self, slots: Slots, queue: FairQueue, budget: PrefillBudget, *, batch_tokens: int, aging_s: float
    ) -> None:
        self._slots = slots
        self._queue = queue
        self._budget = budget
        self._batch_tokens = batch_tokens
        self._aging_s = aging_s

    def schedule(self, now_s: float) -> list[Work]:
        """The next step, in the order of the slots; its tokens are at most `batch_tokens`."""
        self._admit(now_s)
        self._slots.look_again()
        self._slots.close_gaps()
        work = self._answers()
        answering = sum(each.count for each in work)
        work += self._prefill(now_s, answering)
        return sorted(work, key=lambda each: each.sequence.slot)

    def _admit(self, now_s: float) -> None:
        free = self._slots.free
        if not free or not len(self._queue):
            return
        for sequence in self._queue.ordered(now_s):
            if self._bulk_is_full(sequence):
                continue
            if self._slots.place(sequence, alone=len(self._queue) == 1 and not len(self._slots)):
                sequence.started_s = now_s
                self._queue.admit(sequence)
            free -= 1  # one that waits for another's prefix keeps its place
            if not free:
                return

    def _bulk_is_full(self, sequence: Sequence) -> bool:
        """Bulk work leaves a quarter of the slots to others, so that these need not wait for it to end."""
        if sequence.priority != Priority.BULK:
            return False
        running = sum(each.priority == Priority.BULK for each in self._slots)
        return running >= max(1, int(_BULK_SHARE * (self._slots.free + len(self._slots))))

    def _answers(self) -> list[Work]:
        left = self._batch_tokens
        work = []
        for sequence in self._slots:
            count = min(sequence.pending, left)
            if not sequence.prefill_left and count and not sequence.warming:
                work.append(Work(sequence, count, samples=count == sequence.pending))
                left -= count
        return work

    def _prefill(self, now_s: float, answering: int) -> list[Work]:
        waiting = [each for each in self._slots if each.prefill_left]
        if len(waiting) == len(self._slots) == 1 and not len(self._queue):
            return [self._undisturbed(waiting[0])]
        if len(waiting) == len(self._slots) and waiting and all(each.warming for each in waiting):
            return [self._undisturbed(min(waiting, key=lambda each: self._urgency(each, now_s)))]
        left = self._budget.tokens(
            answering=answering, answers=len(self._slots) - len(waiting), prompts=len(waiting)
        )
        most = self._batch_tokens - answering
        work: list[Work] = []
        for sequence in sorted(waiting, key=lambda each: self._urgency(each, now_s)):
            count = _piece(sequence.prefill_left, left, most, beside_answers=answering > 0)
            # Pieces of unequal length are passes of their own: a second prompt comes along only as a whole.
            if not count or (work and count < sequence.prefill_left):
                break
            sequence.undisturbed = False
            work.append(Work(sequence, count))
            left, most = max(0, left - count), most - count
        return work

    def _undisturbed(self, sequence: Sequence) -> Work:
        """A prompt that is alone is always cut at the same places: then its numbers are the same, too."""
        cut = next_cut(sequence.cached, sequence.prefill_length)
        return Work(sequence, min(cut - sequence.cached, self._batch_tokens))

    def _urgency(self, sequence: Sequence, now_s: float) -> float:
        """Shortest first; each second of waiting counts as the tokens that it could have brought."""
        waited_s = now_s - sequence.submitted_s - self._aging_s * min(sequence.priority, sequence.hurried)
        return sequence.prefill_left - waited_s * self._budget.tokens_per_s


def _piece(wanted: int, left: int, most: int, *, beside_answers: bool) -> int:
    """How much of a prompt's prefill goes into a step that has room for `left`, or at the very most `most`.

    All of it where that is little more than is left: a small rest would cost a step of its own. Else whole
    tiles, and beside answers the one token more that llama.cpp computes in their pass.
    """
    if wanted <= min(_STRETCH * left, most):
        return wanted
    left = min(left, most)
    tiles = max(0, left - beside_answers) // TILE_TOKENS * TILE_TOKENS
    return tiles + beside_answers if tiles else left
