"""One streamed chat completion over plain asyncio: recorded while it runs, read only after it ended.

On a small machine the client competes with the servers for the cores. So while answers come in nothing is
parsed: each arrival is kept as bytes with its time, and `read_answer` takes them apart afterwards.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from recording import Arrival, Exchange

TIMEOUT_S = 1800
_DATA = b"data:"
_HEADERS_END = b"\r\n\r\n"
# A non-empty `content`. Inside an answer's own text the quotes are escaped, so this cannot match there.
_CONTENT = re.compile(rb'"content"\s*:\s*"(?!")')


class StreamError(Exception):
    """A server did not answer as it should."""


@dataclass(frozen=True)
class Answer:
    """One answer. Times are seconds of `perf_counter`; `content_s` has one for each event with text."""

    started_s: float
    content_s: tuple[float, ...]
    ended_s: float
    prompt_tokens: int
    completion_tokens: int
    text: str


class Dechunker:
    """Undoes HTTP's chunked transfer coding, wherever the arrivals happen to be cut."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """The payload of all chunks that are complete by now."""
        self._held += data
        payload = b""
        while True:
            size, found, rest = self._held.partition(b"\r\n")
            length = int(size.partition(b";")[0], 16) if found else -1
            if not found or len(rest) < length + 2:
                return payload
            payload += rest[:length]
            self._held = rest[length + 2 :]


class EventReader:
    """Finds the `data:` lines of server-sent events, wherever the arrivals happen to be cut."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes]:
        """What stands after `data:` in each line that is complete by now."""
        *lines, self._held = (self._held + data).split(b"\n")
        return [line.removeprefix(_DATA).strip() for line in lines if line.startswith(_DATA)]


class _Recorder(asyncio.Protocol):
    def __init__(self, begun: asyncio.Event) -> None:
        self.arrivals: list[Arrival] = []
        self.closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._begun = begun

    def data_received(self, data: bytes) -> None:
        self.arrivals.append(Arrival(perf_counter(), data))
        if not self._begun.is_set() and _CONTENT.search(data):
            self._begun.set()

    def connection_lost(self, _: Exception | None) -> None:
        if not self.closed.done():
            self.closed.set_result(None)


async def ask(
    url: str,
    headers: Mapping[str, str],
    body: Mapping[str, Any],
    *,
    begun: asyncio.Event | None = None,
    until: "asyncio.Future[None] | None" = None,
) -> Exchange:
    """POST to `url` (http only) on a connection of its own.

    `begun` is set at the first text of the answer; the connection is closed at `until`, if not before.
    """
    parts = urlsplit(url)
    request = _request(parts.netloc, parts.path, headers, json.dumps(body).encode())
    async with asyncio.timeout(TIMEOUT_S):
        started_s = perf_counter()
        loop = asyncio.get_running_loop()
        recorder = _Recorder(begun or asyncio.Event())
        transport, _ = await loop.create_connection(lambda: recorder, parts.hostname or "", parts.port or 80)
        try:
            transport.write(request)
            ends = [recorder.closed, until] if until else [recorder.closed]
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            transport.close()
    return Exchange(started_s, tuple(recorder.arrivals))


def _request(host: str, path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Content-Type: application/json"]
    lines += [f"Content-Length: {len(body)}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join(lines).encode() + _HEADERS_END + body


def read_answer(exchange: Exchange) -> Answer:
    """Take a recorded response apart; raises StreamError when it is no whole answer."""
    events = read_events(exchange.arrivals)
    usage = _usage(events)
    content = _with_text(events)
    if not content:
        raise StreamError("an answer came without any text")
    return Answer(
        started_s=exchange.started_s,
        content_s=tuple(event.at_s for event in content),
        ended_s=exchange.arrivals[-1].at_s,
        prompt_tokens=usage["prompt_tokens"],
        completion_tokens=usage["completion_tokens"],
        text="".join(json.loads(event.data)["choices"][0]["delta"]["content"] for event in content),
    )


def text_times(exchange: Exchange) -> tuple[float, ...]:
    """When each event with text came, also of an answer that was cut off; raises StreamError for an error."""
    events = read_events(exchange.arrivals) if exchange.arrivals else []
    if events and b'"error"' in events[-1].data and "error" in json.loads(events[-1].data):
        raise StreamError(f"an answer ended with {events[-1].data[:500].decode()}")
    return tuple(event.at_s for event in _with_text(events))


def _with_text(events: Iterable[Arrival]) -> list[Arrival]:
    return [event for event in events if _CONTENT.search(event.data)]


def read_events(arrivals: Iterable[Arrival]) -> list[Arrival]:
    """The events of a recorded response, each with the time of the arrival that completed it."""
    head, body = _split_head(arrivals)
    status = head.partition(b"\r\n")[0]
    if b" 200 " not in status + b" ":
        raise StreamError(f"{status.decode()}: {b''.join(part.data for part in body)[:500].decode()}")
    chunked = re.search(rb"(?i)transfer-encoding:\s*chunked", head)
    dechunker, reader = Dechunker(), EventReader()
    return [
        Arrival(at_s, event)
        for at_s, data in body
        for event in reader.feed(dechunker.feed(data) if chunked else data)
    ]


def _split_head(arrivals: Iterable[Arrival]) -> tuple[bytes, list[Arrival]]:
    """The status line with the headers, and the body's arrivals."""
    head = b""
    rest = iter(arrivals)
    for at_s, data in rest:
        head += data
        if _HEADERS_END in head:
            head, _, begun = head.partition(_HEADERS_END)
            return head, [Arrival(at_s, begun), *rest]
    raise StreamError("the connection closed before the headers were complete")


def _usage(events: Sequence[Arrival]) -> dict[str, int]:
    for event in reversed(events):
        if b'"usage"' in event.data and (usage := json.loads(event.data).get("usage")):
            counted: dict[str, int] = usage
            return counted
    last = events[-1].data[:500].decode() if events else "nothing"
    raise StreamError(f"an answer came without usage; its last event is {last}")
