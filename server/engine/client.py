"""The API process's end of the socket pair: many requests, one reader, one writer."""

import asyncio
import itertools
import socket
from collections.abc import AsyncGenerator, Callable

import msgspec

from server.engine.channel import HEADER
from server.engine.job import Job
from server.engine.protocol import (
    Cancel,
    CodeSet,
    CodeSetReady,
    FromEngine,
    Load,
    LoadFailed,
    Output,
    Ready,
    Step,
    ToEngine,
    Warm,
)
from server.errors import EngineUnavailable, StartupError, Unavailable

StepListener = Callable[[Step], None]
CodeSetListener = Callable[[CodeSetReady], None]
EndReason = Callable[[], Unavailable]


class EngineClient:
    """Speaks to one engine process. When that ends, every open request ends with EngineUnavailable."""

    def __init__(self, sock: socket.socket, on_step: StepListener, on_code_set: CodeSetListener) -> None:
        self._socket = sock
        self._on_step = on_step
        self._on_code_set = on_code_set
        self._ids = itertools.count(1)
        self._outputs: dict[int, asyncio.Queue[Output | None]] = {}
        self._encoder = msgspec.msgpack.Encoder()
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self._alive = True
        self._ended: EndReason = _ended
        self._writer: asyncio.StreamWriter | None = None

    @property
    def open_requests(self) -> int:
        """Requests submitted and not ended."""
        return len(self._outputs)

    async def load(self, load: Load) -> Ready:
        """Tell the engine what to load and wait for it; raises StartupError with llama.cpp's reason."""
        self._reader, self._writer = await asyncio.open_connection(sock=self._socket)
        self._send(load)
        try:
            answer = await self._receive()
        except (asyncio.IncompleteReadError, OSError) as error:
            raise StartupError(f"the engine process died while loading {load.path}") from error
        if isinstance(answer, LoadFailed):
            raise StartupError(f"cannot load the weights: {answer.reason}")
        if not isinstance(answer, Ready):
            raise StartupError("the engine process did not answer as expected")
        return answer

    async def run(self) -> None:
        """Hand every step's outputs to their requests, until the engine ends."""
        try:
            while True:
                message = await self._receive()
                if isinstance(message, Step):
                    self._dispatch(message)
                elif isinstance(message, CodeSetReady):
                    self._on_code_set(message)
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            self._end()

    async def generate(self, job: Job) -> AsyncGenerator[Output, None]:
        """Yield outputs as steps bring them; the last has `finish`. Closing it early cancels the request."""
        request_id = next(self._ids)
        queue: asyncio.Queue[Output | None] = asyncio.Queue()
        self._outputs[request_id] = queue
        finished = False
        try:
            self._send(job.submit(request_id))
            while not finished:
                output = await queue.get()
                if output is None:
                    raise self._ended()
                finished = output.finish is not None
                yield output
        finally:
            self._outputs.pop(request_id, None)
            if not finished and self._alive:
                self._send(Cancel(request_id))

    def define(self, code_set: CodeSet) -> None:
        """Have a code set compiled; that it was is told to `on_code_set`."""
        self._send(code_set)

    def warm(self, tokens: list[int]) -> None:
        """Have tokens that operators wrote computed ahead of time, for all tenants."""
        self._send(Warm(tokens))

    def abort(self, reason: EndReason) -> None:
        """End every open request, and refuse new ones, with the error that `reason` makes."""
        self._ended = reason
        self._end()

    def close(self) -> None:
        """Hang up; the engine process ends by itself."""
        self._end()
        (self._writer or self._socket).close()

    def _dispatch(self, step: Step) -> None:
        self._on_step(step)
        for output in step.outputs:
            queue = self._outputs.get(output.id)
            if queue is not None:
                queue.put_nowait(output)

    def _end(self) -> None:
        self._alive = False
        for queue in self._outputs.values():
            queue.put_nowait(None)

    def _send(self, message: ToEngine) -> None:
        if not self._alive or self._writer is None:
            raise self._ended()
        payload = self._encoder.encode(message)
        self._writer.write(HEADER.pack(len(payload)) + payload)

    async def _receive(self) -> FromEngine:
        header = await self._reader.readexactly(HEADER.size)
        return self._decoder.decode(await self._reader.readexactly(HEADER.unpack(header)[0]))


def _ended() -> EngineUnavailable:
    return EngineUnavailable("the engine ended under this request; send it again")
