"""Frames of messages over a connected socket, seen from the engine: blocking writes, polled reads."""

import select
import socket
import struct
import threading
from collections import deque
from collections.abc import Iterable, Iterator

import msgspec

from server.engine.protocol import FromEngine, ToEngine

HEADER = struct.Struct(">I")
_READ_BYTES = 1 << 20


class ChannelClosed(Exception):
    """The other side is gone."""


class Channel:
    """The engine's end of the socket pair."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(True)
        self._socket = sock
        self._buffer = bytearray()
        self._overheard: deque[ToEngine] = deque()
        self._encoder = msgspec.msgpack.Encoder()
        self._sending = threading.Lock()
        self._decoder: msgspec.msgpack.Decoder[ToEngine] = msgspec.msgpack.Decoder(ToEngine)

    def send(self, message: FromEngine) -> None:
        """Write one frame, from any thread; raises ChannelClosed when nobody reads any more."""
        try:
            with self._sending:
                payload = self._encoder.encode(message)
                self._socket.sendall(HEADER.pack(len(payload)) + payload)
        except OSError as error:
            raise ChannelClosed from error

    def receive(self, *, wait: bool) -> Iterator[ToEngine]:
        """Yield every complete message that lies ready; with `wait` block until there is at least one."""
        while True:
            for message in self._messages():
                wait = False
                yield message
            if not self._readable(wait=wait):
                return
            self._fill()

    def overhear(self) -> Iterable[ToEngine]:
        """What has arrived and is not received yet, without taking it away; raises ChannelClosed."""
        while self._readable(wait=False):
            self._fill()
        self._overheard.extend(self._frames())
        return self._overheard

    def _messages(self) -> Iterator[ToEngine]:
        while self._overheard:
            yield self._overheard.popleft()
        yield from self._frames()

    def _readable(self, *, wait: bool) -> bool:
        ready, _, _ = select.select([self._socket], [], [], None if wait else 0)
        return bool(ready)

    def _fill(self) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except OSError as error:
            raise ChannelClosed from error
        if not data:
            raise ChannelClosed
        self._buffer += data

    def _frames(self) -> Iterator[ToEngine]:
        while len(self._buffer) >= HEADER.size:
            (length,) = HEADER.unpack_from(self._buffer)
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            frame = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield self._decoder.decode(frame)
