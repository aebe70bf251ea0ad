"""The width of a step: how many tokens each answer brings along, drafts included."""

from collections.abc import Iterable
from collections.abc import Sequence as SequenceOf

from server.engine.backend import Backend
from server.engine.calibration import StepCost
from server.engine.matcher import GrammarFault
from server.engine.scheduler import Work
from server.engine.sequence import Sequence

MOST_DRAFTED = 8
_MOST_ANSWERING = 32
_MOST_CERTAIN = 0.99
_MARGIN = 1.25
_MOST_WEIGHED = 16
_MOST_DRAFT_ROWS = 64


def most_outputs(sequences: int) -> int:
    """Rows of logits that a step of so many sequences may need, drafts included."""
    return sequences + min(sequences * MOST_DRAFTED, _MOST_DRAFT_ROWS)


class Speculation:
    """Chooses how many tokens each answer brings into a step: what it has pending, and drafts behind it.

    llama.cpp computes equally many tokens of neighbouring sequences in one pass, and what one of them has
    more than others in passes of its own, which are dear. So there is one width for all: the one that brings
    the most tokens a second, by what passes take and by how often drafts came true lately.
    """

    def __init__(self, backend: Backend, cost: StepCost, *, batch_tokens: int) -> None:
        self._backend = backend
        self._cost = cost
        self._batch_tokens = batch_tokens

    def shape(self, work: SequenceOf[Work]) -> None:
        """Narrow what answers have pending, or draft behind it. Beside prefill, nothing is drafted."""
        answering = [each for each in work if not each.sequence.prefill_left]
        if not answering:
            return
        for each in answering:
            each.guess = _guess(each.sequence) if each.samples else []
        drafting = len(answering) == len(work) <= _MOST_ANSWERING
        width, drafting = self._best_width(answering, drafting=drafting)
        left = self._batch_tokens - sum(min(each.count, width) for each in answering)
        spare = self._backend.max_outputs - len(answering)
        for each in answering:
            each.samples = each.samples and each.count <= width
            each.count = min(each.count, width)
            if drafting and each.samples:
                each.draft = each.guess[: min(width - each.count, left, spare)]
                left -= len(each.draft)
                spare -= len(each.draft)

    def _best_width(self, answering: SequenceOf[Work], *, drafting: bool) -> tuple[int, bool]:
        """The width of the best rate, and whether it drafts: a guess must promise more by a margin."""
        pending = max(each.count for each in answering)
        width, rate = self._best(answering, _widths(pending), drafting=False)
        if not drafting:
            return width, False
        longest = max(each.count + len(each.guess) for each in answering)
        drafted, better = self._best(answering, _widths(longest), drafting=True)
        return (drafted, True) if better > _MARGIN * rate else (width, False)

    def _best(
        self, answering: SequenceOf[Work], widths: Iterable[int], *, drafting: bool
    ) -> tuple[int, float]:
        rates = {width: self._rate(answering, width, drafting=drafting) for width in widths}
        best = max(rates, key=rates.__getitem__)
        return best, rates[best]

    def _rate(self, answering: SequenceOf[Work], width: int, *, drafting: bool) -> float:
        """Tokens a second of a step of this width; a draft counts as far as it is likely to be right."""
        tokens, rows = 0.0, []
        for each in answering:
            pending = min(each.count, width)
            drafted = min(width - pending, len(each.guess)) * drafting
            rows.append((each.sequence.slot, pending + drafted))
            tokens += pending + _expected(each.sequence, drafted)
        return tokens / sum(map(self._cost.seconds, self._backend.passes(rows)))


def _widths(longest: int) -> list[int]:
    """Widths to weigh: each small one, and all at once, since a grammar may force hundreds of tokens."""
    return [*range(1, min(longest, _MOST_WEIGHED) + 1), *([longest] if longest > _MOST_WEIGHED else [])]


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
