"""How fast requests are served."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

_WINDOW_S = 60.0

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class _Served:
    at_s: float
    requests: int
    prompt_tokens: int
    answer_tokens: int


class ServiceRate:
    """Measured over the last minute in which anything ran. Time in which nothing does is not counted."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._running = 0
        self._resumed_s = 0.0
        self._worked_s = 0.0
        self._begin_s = 0.0
        self._served: deque[_Served] = deque()

    def start(self) -> None:
        """Something runs from now on."""
        if not self._running:
            self._resumed_s = self._clock()
        self._running += 1

    def stop(self, requests: int, prompt_tokens: int, answer_tokens: int) -> None:
        """It has ended. What ended without an answer took its time and served nothing."""
        now_s = self._now_s()
        self._running -= 1
        self._worked_s, self._resumed_s = now_s, self._clock()
        if answer_tokens:
            self._served.append(_Served(now_s, requests, prompt_tokens, answer_tokens))
        while self._served and self._served[0].at_s < now_s - _WINDOW_S:
            self._begin_s = self._served.popleft().at_s

    def seconds(self, prompt_tokens: int, requests: int) -> float | None:
        """How long so many prompts of so many tokens together will take; None before anything was served."""
        answers = sum(each.answer_tokens for each in self._served)
        tokens = answers + sum(each.prompt_tokens for each in self._served)
        if not tokens:
            return None
        ahead = prompt_tokens + requests * answers / sum(each.requests for each in self._served)
        return ahead * (self._now_s() - self._begin_s) / tokens

    def _now_s(self) -> float:
        """Seconds in which anything ran."""
        return self._worked_s + (self._clock() - self._resumed_s if self._running else 0.0)
