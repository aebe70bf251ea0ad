"""Admit: what the engine cannot take is refused before anything is computed."""

import math
import time

from server.errors import ContextExceeded, InvalidRequest, Overloaded
from server.inference.rate import Clock, ServiceRate

_LONGEST_RETRY_S = 120


class Admission:
    """Bounds what is under way, in requests and in prompt tokens, and knows how fast it is served."""

    def __init__(
        self, *, sequences: int, queue_requests: int, queue_tokens: int, clock: Clock = time.monotonic
    ) -> None:
        self._most_requests = sequences + queue_requests
        self._queue_tokens = queue_tokens
        self._requests = 0
        self._tokens = 0
        self._rate = ServiceRate(clock)

    def enter(self, answers: int) -> None:
        """Count a request in, as one for each of its answers.

        Raises Overloaded when more would be in than may run and wait, unless it is alone.
        """
        if self._requests and self._requests + answers > self._most_requests:
            raise self._overloaded()
        self._requests += answers

    def hold(self, prompt_tokens: int) -> None:
        """Count prompts in; raises Overloaded when there would be too many tokens, unless they are alone."""
        if self._tokens and self._tokens + prompt_tokens > self._queue_tokens:
            raise self._overloaded()
        self._tokens += prompt_tokens
        self._rate.start()

    def release(self, answers: int, prompt_tokens: int, answer_tokens: int) -> None:
        """Count prompts out, and learn from how long so many tokens took."""
        self._tokens -= prompt_tokens
        self._rate.stop(answers, prompt_tokens, answer_tokens)

    def leave(self, answers: int) -> None:
        """Count a request out."""
        self._requests -= answers

    def _overloaded(self) -> Overloaded:
        """To be sent again when what is ahead has been served, in 1 to 120 seconds."""
        wait_s = self._rate.seconds(self._tokens, self._requests) or 0
        return Overloaded("the queue is full", retry_after_s=min(max(1, math.ceil(wait_s)), _LONGEST_RETRY_S))


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


def check_shortest(shortest_tokens: int, max_tokens: int) -> None:
    """Raises InvalidRequest when the shortest document of a schema is longer than the answer may be."""
    if shortest_tokens > max_tokens:
        raise InvalidRequest(
            f"the answer may have {max_tokens} tokens, but the shortest document of the schema takes "
            f"{shortest_tokens}",
            param="max_tokens",
        )
