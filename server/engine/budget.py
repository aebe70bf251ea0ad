"""How much prefill a step may carry beside running answers."""

from server.engine.blocks import TILE_TOKENS
from server.engine.calibration import StepCost

_LEAST_TOKENS = TILE_TOKENS + 1
_FIRST_TOKENS = 128
_MOST_CHANGE = 1.5
_WELL_USED = 0.75
_SHARE_OF_ANSWERS = 2.0
_FIRST_RATE = 500.0
_WEIGHT_OF_NEWEST = 0.1


class PrefillBudget:
    """Learns how many tokens of prefill keep a step within `target_s`, the time between an answer's tokens.

    A long prompt's tokens cost more the further in they are, so this follows every step. Where more prompts
    wait than answers run, the step may be longer by as much: many wait for their first token, few for their
    next. Where a step of answers alone takes long already, prefill may take as long again: nobody gains by
    prompts that stand still. While nothing answers, a step may be as large as `most_tokens`. `tokens_per_s`
    is how fast prompts are computed lately.
    """

    def __init__(self, cost: StepCost, *, target_s: float, most_tokens: int) -> None:
        self._cost = cost
        self._target_s = target_s
        self._most = most_tokens
        self._least = min(_LEAST_TOKENS, most_tokens)
        self._beside_answers = float(min(_FIRST_TOKENS, most_tokens))
        self._longer = 1.0
        self.tokens_per_s = _FIRST_RATE

    def tokens(self, *, answering: int, answers: int, prompts: int) -> int:
        """Tokens of prefill, of `prompts`, for a step that carries `answering` tokens of `answers`."""
        left = max(0, self._most - answering)
        if not answers:
            return left
        self._longer = max(1.0, prompts / answers)
        return min(left, int(self._beside_answers * self._longer))

    def observe(self, *, prefilled: int, answering: int, step_s: float) -> None:
        """Learn from the step that `tokens` was asked for."""
        if prefilled >= self._least:
            self.tokens_per_s += _WEIGHT_OF_NEWEST * (prefilled / max(step_s, 1e-6) - self.tokens_per_s)
        asked = min(self._beside_answers * self._longer, self._most - answering)
        if answering and prefilled >= _WELL_USED * asked:
            self._follow(prefilled, answering, step_s)

    def _follow(self, prefilled: int, answering: int, step_s: float) -> None:
        allowed_s = max(self._target_s, _SHARE_OF_ANSWERS * self._cost.seconds(answering))
        wanted = prefilled * allowed_s / max(step_s, 1e-6)
        change = min(max(wanted / self._beside_answers, 1 / _MOST_CHANGE), _MOST_CHANGE)
        self._beside_answers = min(max(self._beside_answers * change, self._least), self._most)
