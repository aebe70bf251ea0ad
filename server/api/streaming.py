"""Server-sent events, as OpenAI's clients read them."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, aclosing
from typing import Any

import msgspec
from fastapi.responses import StreamingResponse
from starlette.types import Message, Send

_STALLED_S = 60

logger = logging.getLogger(__name__)

DONE = b"data: [DONE]\n\n"

_encode = msgspec.json.Encoder().encode


def event(data: Any) -> bytes:
    """One event; `data` is JSON-like."""
    return b"data: " + _encode(data) + b"\n\n"


class EventStream(StreamingResponse):
    """Streams events. However it ends, what `held` holds is let go then: the engine stops at once."""

    def __init__(
        self, events: AsyncGenerator[bytes, None], held: AsyncExitStack, headers: dict[str, str]
    ) -> None:
        super().__init__(
            events, media_type="text/event-stream", headers=headers | {"Cache-Control": "no-cache"}
        )
        self._events = events
        self._held = held

    async def stream_response(self, send: Send) -> None:
        """See Starlette."""

        async def sending(message: Message) -> None:
            async with asyncio.timeout(_STALLED_S):
                await send(message)

        async with self._held, aclosing(self._events):
            try:
                await super().stream_response(sending)
            except TimeoutError:
                logger.warning("stream given up: its client does not read")
