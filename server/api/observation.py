"""Counts, times and logs every request, by route and never by content.

It gives each the id of its audit, and says when it arrived (`arrived_s`, on the monotonic clock).
"""

import asyncio
import logging
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.api.disconnect import CLIENT_GONE
from server.api.errors import error_response
from server.drain import Drain
from server.errors import InfirmaryError, ShuttingDown
from server.inference.audit import new_request_id
from server.metrics import Metrics

_UNMATCHED = "unmatched"

logger = logging.getLogger(__name__)


class Observation:
    """ASGI middleware around everything else."""

    def __init__(self, app: ASGIApp, metrics: Metrics, drain: Drain) -> None:
        self._app = app
        self._metrics = metrics
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = new_request_id()
        scope.setdefault("state", {}).update(request_id=request_id, arrived_s=time.monotonic())
        status = CLIENT_GONE
        started = time.perf_counter()

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", request_id.encode())]
                if self._drain.begun:  # what this client asks next is for another server
                    message["headers"].append((b"connection", b"close"))
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except asyncio.CancelledError:  # the server has waited for this one long enough
            if status == CLIENT_GONE:  # nothing was sent yet
                await error_response(ShuttingDown(), scope["path"])(scope, receive, sending)
            raise
        except Exception:
            logger.exception("unexpected error", extra={"request_id": request_id})
            if status == CLIENT_GONE:  # nothing was sent yet
                unexpected = InfirmaryError("an unexpected error occurred; it was logged")
                await error_response(unexpected, scope["path"])(scope, receive, sending)
        finally:
            self._record(scope, request_id, status, time.perf_counter() - started)

    def _record(self, scope: Scope, request_id: str, status: int, duration_s: float) -> None:
        route = getattr(scope.get("route"), "path", _UNMATCHED)
        self._metrics.requests.labels(route, _method(scope), str(status)).inc()
        self._metrics.request_duration.labels(route).observe(duration_s)
        logger.info(
            "request",
            extra={
                "request_id": request_id,
                "route": route,
                "method": _method(scope),
                "status": status,
                "duration_s": round(duration_s, 4),
            },
        )


def _method(scope: Scope) -> str:
    """The method as a bounded label."""
    method: str = scope["method"]
    return method if method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS") else "other"
