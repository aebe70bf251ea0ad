"""How many draft tokens a step should check: as many as bring more than they cost."""

from collections.abc import Sequence as SequenceOf

from server.engine.backend import Backend
from server.engine.calibration import StepCost
from server.engine.matcher import GrammarFault
from server.engine.scheduler import Work
from server.engine.sequence import Sequence

MOST_DRAFTED = 8
_MOST_ANSWERING = 32
_MOST_CERTAIN = 0.99
_MOST_DRAFT_ROWS = 64


def most_outputs(sequences: int) -> int:
    """Rows of logits that a step of so many sequences may need, drafts included."""
    return sequences + min(sequences * MOST_DRAFTED, _MOST_DRAFT_ROWS)


class Speculation:
    """Weighs drafts by what the device takes for them and by how often they came true lately.

    All answers of a step get drafts of about one length, since llama.cpp computes equally long ones together.
    """

    def __init__(self, backend: Backend, cost: StepCost, *, batch_tokens: int) -> None:
        self._backend = backend
        self._cost = cost
        self._batch_tokens = batch_tokens

    def extend(self, work: SequenceOf[Work]) -> None:
        """Give a step's work the drafts that pay. Beside prefill none do: that time is the prompts'."""
        answering = [each for each in work if each.samples]
        if not 0 < len(answering) <= _MOST_ANSWERING:
            return
        for each in answering:
            each.guess = _guess(each.sequence)
        if len(answering) < len(work):
            return
        longest = self._best_length(answering)
        left = self._batch_tokens - sum(each.count for each in work)
        spare = self._backend.max_outputs - len(answering)
        for each in answering:
            each.draft = each.guess[: min(longest, left, spare)]
            left -= len(each.draft)
            spare -= len(each.draft)

    def _best_length(self, answering: SequenceOf[Work]) -> int:
        """The length from 0 on that brings the most tokens a second."""
        longest = max(len(each.guess) for each in answering)
        return max(range(longest + 1), key=lambda length: self._rate(answering, length))

    def _rate(self, answering: SequenceOf[Work], length: int) -> float:
        drafted = [min(length, len(each.guess)) for each in answering]
        pairs = list(zip(answering, drafted, strict=True))
        rows = [(each.sequence.slot, each.count + extra) for each, extra in pairs]
        seconds = sum(map(self._cost.seconds, self._backend.passes(rows)))
        return (len(answering) + sum(_expected(each.sequence, extra) for each, extra in pairs)) / seconds


def _guess(sequence: Sequence) -> list[int]:
    if sequence.lookup is None:
        return []
    guess = sequence.lookup.draft(sequence.tokens, min(MOST_DRAFTED, sequence.room - 1))
    if not sequence.matcher or not guess:
        return guess
    try:
        return sequence.matcher.valid(guess)
    except GrammarFault:  # sampling meets it again, and ends the sequence
        return []


def _expected(sequence: Sequence, drafted: int) -> float:
    """Drafted tokens that are likely to be right: each needs all before it to be."""
    if not drafted or sequence.lookup is None:
        return 0.0
    right = min(sequence.lookup.acceptance, _MOST_CERTAIN)
    return right * (1 - right**drafted) / (1 - right)
