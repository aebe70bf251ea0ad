"""Draft tokens without a draft model: what followed the last words where they stood before.

Clinical answers quote the note and repeat themselves. Prompt lookup: Saxena 2023,
https://github.com/apoorvumang/prompt-lookup-decoding
"""

from collections.abc import Sequence

GRAM = 3
_MEMORY = 0.95
_LONG_MEMORY = 0.999
_PRIOR_WEIGHT = 6.0


class Habit:
    """How often drafts came true lately in all answers of a kind: what to expect of a new one."""

    def __init__(self) -> None:
        self._accepted, self._drafted = 4.0, 6.0

    @property
    def acceptance(self) -> float:
        """Probability that a drafted token is right, given that those before it were."""
        return self._accepted / self._drafted

    def learn(self, right: int, tried: int) -> None:
        """Count what was tried."""
        self._accepted = self._accepted * _LONG_MEMORY + right
        self._drafted = self._drafted * _LONG_MEMORY + tried


class PromptLookup:
    """Index of one sequence's trigrams, and how many of its drafts came true lately."""

    def __init__(self, tokens: Sequence[int], habit: Habit) -> None:
        trigrams = zip(tokens, tokens[1:], tokens[2:], strict=False)
        self._followers = dict(zip(trigrams, range(GRAM, len(tokens)), strict=False))
        self._indexed = max(len(tokens) - 1, GRAM - 1)
        self._habit = habit
        self._accepted, self._drafted = _PRIOR_WEIGHT * habit.acceptance, _PRIOR_WEIGHT

    @property
    def acceptance(self) -> float:
        """Probability that a drafted token is right, given that those before it were."""
        return self._accepted / self._drafted

    def extend(self, tokens: Sequence[int]) -> None:
        """Index what `tokens` has grown by. A trigram counts once it is known what follows it."""
        for end in range(self._indexed, len(tokens) - 1):
            self._followers[tokens[end - 2], tokens[end - 1], tokens[end]] = end + 1
        self._indexed = max(self._indexed, len(tokens) - 1)

    def draft(self, tokens: Sequence[int], most: int) -> list[int]:
        """`most` tokens that followed the last trigram when it last occurred, over again where they end."""
        if len(tokens) < GRAM:
            return []
        start = self._followers.get((tokens[-3], tokens[-2], tokens[-1]))
        if start is None:
            return []
        period = len(tokens) - start
        return [tokens[start + index % period] for index in range(most)]

    def learn(self, guess: Sequence[int], answer: Sequence[int]) -> None:
        """Compare what was guessed, drafted or not, with what came, up to the first miss."""
        if not guess:
            return
        right = common_length(guess, answer)
        missed = right < min(len(guess), len(answer))
        self._habit.learn(right, right + missed)
        self._accepted = self._accepted * _MEMORY + right
        self._drafted = self._drafted * _MEMORY + right + missed


def common_length(left: Sequence[int], right: Sequence[int]) -> int:
    """How many tokens two texts have in common from their start."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((index for index, (a, b) in pairs if a != b), min(len(left), len(right)))
