"""One HTTP connection: httptools, with bounds on a request's head, which is read before any key is known."""

import asyncio

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


def bounded_protocol(*, head_bytes: int, head_s: float) -> type[asyncio.Protocol]:
    """A protocol that hangs up on heads (request line and headers) longer or slower than this."""
    return type("BoundedProtocol", (_BoundedProtocol,), {"head_bytes": head_bytes, "head_s": head_s})


class _BoundedProtocol(HttpToolsProtocol):
    head_bytes: int
    head_s: float
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        """See asyncio."""
        super().connection_made(transport)
        self._begin_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio."""
        super().data_received(data)
        if self._in_head and not self.transport.is_closing():
            self._seen_bytes += len(data)
            if self._seen_bytes > self.head_bytes:
                self._refuse("The request's head is too long.")

    def on_message_begin(self) -> None:
        """See httptools."""
        super().on_message_begin()
        self._begin_head()

    def on_headers_complete(self) -> None:
        """See httptools."""
        self._stop_timer()
        self._in_head = False
        super().on_headers_complete()

    def _begin_head(self) -> None:
        self._stop_timer()
        self._in_head, self._seen_bytes = True, 0
        self._timer = self.loop.call_later(self.head_s, self._refuse, "The request's head took too long.")

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _refuse(self, message: str) -> None:
        if not self.transport.is_closing():
            self.send_400_response(message)
