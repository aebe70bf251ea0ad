"""Admit: what the engine cannot take is refused before anything is computed."""

import math

from server.errors import ContextExceeded, Overloaded

_WEIGHT_OF_NEWEST = 0.1
_LONGEST_RETRY_S = 120


class Admission:
    """Bounds what is under way, in requests and in prompt tokens, and knows how fast it is served."""

    def __init__(self, *, sequences: int, queue_requests: int, queue_tokens: int) -> None:
        self._sequences = sequences
        self._queue_requests = queue_requests
        self._queue_tokens = queue_tokens
        self._requests = 0
        self._tokens = 0
        self._service_s = 1.0

    def enter(self) -> None:
        """Count a request in; raises Overloaded when as many are in as may run and wait."""
        if self._requests >= self._sequences + self._queue_requests:
            raise Overloaded("the queue is full", retry_after_s=self._retry_after_s())
        self._requests += 1

    def hold(self, prompt_tokens: int) -> None:
        """Count a request's prompt in; raises Overloaded when there would be too many tokens."""
        if self._tokens and self._tokens + prompt_tokens > self._queue_tokens:
            raise Overloaded("the queue is full", retry_after_s=self._retry_after_s())
        self._tokens += prompt_tokens

    def release(self, prompt_tokens: int, served_s: float) -> None:
        """Count a prompt out, and learn from how long its answer took."""
        self._tokens -= prompt_tokens
        self._service_s += _WEIGHT_OF_NEWEST * (served_s - self._service_s)

    def leave(self) -> None:
        """Count a request out."""
        self._requests -= 1

    def _retry_after_s(self) -> int:
        rounds = self._requests / self._sequences
        return min(max(1, math.ceil(rounds * self._service_s)), _LONGEST_RETRY_S)


def answer_budget(prompt_tokens: int, wanted: int | None, default: int, context_tokens: int) -> int:
    """Tokens the answer may have; raises ContextExceeded when prompt and wanted answer do not fit."""
    room = context_tokens - prompt_tokens
    if room < 1 or (wanted is not None and wanted > room):
        asked = "" if wanted is None else f" and max_tokens is {wanted}"
        raise ContextExceeded(
            f"the prompt is {prompt_tokens} tokens long{asked}, but the context holds {context_tokens}",
            param="messages" if room < 1 else "max_tokens",
        )
    return min(default, room) if wanted is None else wanted
