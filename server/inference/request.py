"""What the routes and the clinical tasks ask of the path."""

from dataclasses import dataclass
from typing import Literal

from server.engine.protocol import Sampling
from server.inference.constraint import Constraint

GREEDY = Sampling()

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn. What callers wrote is de-identified; what operators wrote is theirs to keep clean."""

    role: Role
    text: str
    from_caller: bool = True


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """A request in the words of neither HTTP nor the engine.

    `max_tokens` is what the caller asks for, `most_tokens` the limit where the caller asks for none. Without
    `restore` the answer keeps its pseudonyms.
    """

    route: str
    model: str
    messages: tuple[Message, ...]
    sampling: Sampling = GREEDY
    max_tokens: int | None = None
    most_tokens: int | None = None
    stop: tuple[str, ...] = ()
    constraint: Constraint | None = None
    restore: bool = True
    task: str | None = None
    prompt_hash: str | None = None
    schema_version: str | None = None
    request_id: str | None = None
