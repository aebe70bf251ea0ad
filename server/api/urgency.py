"""How soon an answer is wanted, and how long it is of use: headers that every generating route takes."""

from dataclasses import dataclass
from typing import Annotated, Literal

from fastapi import Depends, Header, Request

from server.api.services import services_of
from server.engine.protocol import Priority
from server.errors import InvalidRequest
from server.inference.request import Urgency

PRIORITY_HEADER = "X-Infirmary-Priority"
TIMEOUT_HEADER = "X-Request-Timeout"

PriorityName = Literal["interactive", "normal", "bulk"]


@dataclass(frozen=True, slots=True)
class Asked:
    """What the headers say; `expires_s` is on the monotonic clock, and counts from the request's arrival."""

    priority: Priority | None
    expires_s: float

    def urgency(self, default: Priority = Priority.NORMAL) -> Urgency:
        """With `default` as the priority where no header names one."""
        return Urgency(default if self.priority is None else self.priority, self.expires_s)


async def _asked(
    request: Request,
    priority: Annotated[
        PriorityName | None, Header(alias=PRIORITY_HEADER, description="Who is served first.")
    ] = None,
    timeout_s: Annotated[
        float | None,
        Header(
            alias=TIMEOUT_HEADER,
            gt=0,
            allow_inf_nan=False,
            description="Seconds after which the answer is of no more use, at most limits.request_timeout_s.",
        ),
    ] = None,
) -> Asked:
    limit_s = services_of(request).settings.limits.request_timeout_s
    if timeout_s is not None and timeout_s > limit_s:
        raise InvalidRequest(f"{TIMEOUT_HEADER}: at most {limit_s:g} seconds", param=TIMEOUT_HEADER)
    return Asked(
        priority=None if priority is None else Priority[priority.upper()],
        expires_s=request.state.arrived_s + (limit_s if timeout_s is None else timeout_s),
    )


AskedUrgency = Annotated[Asked, Depends(_asked)]
