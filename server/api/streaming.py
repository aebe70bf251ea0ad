"""Server-sent events, as OpenAI's clients read them."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

import msgspec
from fastapi.responses import StreamingResponse
from starlette.types import Send

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def event(data: Any) -> bytes:
    """One event; `data` is JSON-like."""
    return b"data: " + _encode(data) + b"\n\n"


class EventStream(StreamingResponse):
    """Streams events and closes their generator at once when the client leaves, so that the engine stops."""

    def __init__(self, events: AsyncGenerator[bytes, None], headers: dict[str, str]) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers=headers | {"Cache-Control": "no-cache"}
        )
        self._events = events

    async def stream_response(self, send: Send) -> None:
        """See Starlette."""
        async with aclosing(self._events):
            await super().stream_response(send)
