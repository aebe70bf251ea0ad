"""What the routes and the clinical tasks ask of the path."""

import time
from dataclasses import dataclass
from typing import Literal

from server.engine.protocol import Priority, Sampling
from server.inference.constraint import Constraint
from server.inference.tools import ToolCall, Tools

GREEDY = Sampling()

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. What callers wrote is de-identified; what operators wrote is theirs to keep clean.

    `calls` are those that an assistant made, or the one that a tool's result answers.
    """

    role: Role
    text: str
    from_caller: bool = True
    calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Urgency:
    """Who is served first, and when the answer is of no more use, in seconds of the monotonic clock."""

    priority: Priority = Priority.NORMAL
    expires_s: float | None = None

    @property
    def expired(self) -> bool:
        """Whether it is too late already."""
        return self.expires_s is not None and time.monotonic() >= self.expires_s


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request in the words of neither HTTP nor the engine.

    `answers` is how many are wanted. `max_tokens` is what the caller asks for of each, `most_tokens` the
    limit where the caller asks for none. Without `restore` the answer keeps its pseudonyms. `constraint` and
    `tools` exclude each other.
    """

    route: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = GREEDY
    answers: int = 1
    max_tokens: int | None = None
    most_tokens: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    tools: Tools | None = None
    restore: bool = True
    urgency: Urgency = Urgency()
    task: str | None = None
    prompt_hash: str | None = None
    schema_version: str | None = None
    request_id: str | None = None
