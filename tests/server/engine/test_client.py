import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

import msgspec
import pytest

from server.engine.channel import HEADER, Channel
from server.engine.client import EngineClient
from server.engine.job import Job
from server.engine.protocol import (
    Cancel,
    CodeSet,
    CodeSetReady,
    Load,
    LoadFailed,
    Memory,
    Output,
    Policy,
    Ready,
    Sampling,
    Step,
    Submit,
    ToEngine,
)
from server.errors import EngineUnavailable, ShuttingDown, StartupError

LOAD = Load("weights.gguf", 2, None, 1, 0, "none", "auto", "f16", "streams", Policy(64))
READY = Ready("CPU", 128, 2, 0.1, Memory(3, 2, 1))


class Engine:
    """The other end of the client, played by the test."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._channel = Channel(sock)

    def send(self, *outputs: Output) -> None:
        self._channel.send(Step(list(outputs), 0, 0, 0, 0.0))

    def answer(self, message: Ready | LoadFailed | CodeSetReady | Step) -> None:
        self._channel.send(message)

    def write(self, data: bytes) -> None:
        self._socket.sendall(data)

    def received(self) -> list[ToEngine]:
        return list(self._channel.receive(wait=False))

    def die(self) -> None:
        self._socket.close()


@pytest.fixture
async def unloaded() -> AsyncIterator[tuple[EngineClient, Engine, list[Step | CodeSetReady]]]:
    ours, theirs = socket.socketpair()
    steps: list[Step | CodeSetReady] = []
    client = EngineClient(ours, steps.append, steps.append)
    yield client, Engine(theirs), steps
    client.close()
    with suppress(ConnectionError):  # a dead engine leaves what it was sent unread
        await client._writer.wait_closed()
    theirs.close()


@pytest.fixture
async def pair(unloaded) -> AsyncIterator[tuple[EngineClient, Engine, list[Step]]]:
    client, engine, _ = unloaded
    engine.answer(READY)
    await client.load(LOAD)
    engine.received()
    running = asyncio.create_task(client.run())
    yield unloaded
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def generate(client: EngineClient, *tokens: int) -> AsyncIterator[Output]:
    return client.generate(Job(list(tokens), 9, Sampling(seed=3), "start: /a/"))


async def collect(outputs: AsyncIterator[Output]) -> list[Output]:
    return [output async for output in outputs]


async def begin(*requests: AsyncIterator[Output]) -> list[asyncio.Task[list[Output]]]:
    """Requests that are submitted and wait."""
    tasks = [asyncio.create_task(collect(request)) for request in requests]
    await asyncio.sleep(0)
    return tasks


async def test_load_is_asked_and_answered(unloaded):
    client, engine, _ = unloaded
    engine.answer(READY)
    assert await client.load(LOAD) == READY
    assert engine.received() == [LOAD]


async def test_weights_that_cannot_be_loaded_are_told_with_the_reason(unloaded):
    client, engine, _ = unloaded
    engine.answer(LoadFailed("x.gguf: not a GGUF file"))
    with pytest.raises(StartupError, match="not a GGUF file"):
        await client.load(LOAD)


async def test_death_while_loading_is_told(unloaded):
    client, engine, _ = unloaded
    engine.die()
    with pytest.raises(StartupError, match="died while loading"):
        await client.load(LOAD)


async def test_any_other_answer_to_load_is_refused(unloaded):
    client, engine, _ = unloaded
    engine.send()
    with pytest.raises(StartupError):
        await client.load(LOAD)


async def test_a_request_is_submitted_as_asked(pair):
    client, engine, _ = pair
    await begin(generate(client, 1, 2))
    assert engine.received() == [Submit(1, [1, 2], 9, Sampling(seed=3), "start: /a/")]
    assert client.open_requests == 1


async def test_outputs_of_one_step_go_to_their_own_requests(pair):
    client, engine, steps = pair
    tasks = await begin(generate(client, 1), generate(client, 2))
    engine.send(Output(2, [20]), Output(1, [10]), Output(77, [0]))
    engine.send(Output(1, [11], "stop"), Output(2, [21], "length"))

    assert await asyncio.gather(*tasks) == [
        [Output(1, [10]), Output(1, [11], "stop")],
        [Output(2, [20]), Output(2, [21], "length")],
    ]
    assert len(steps) == 2
    assert client.open_requests == 0
    assert not [message for message in engine.received() if isinstance(message, Cancel)]


async def test_a_frame_may_arrive_byte_by_byte(pair):
    client, engine, _ = pair
    [task] = await begin(generate(client, 1))
    payload = msgspec.msgpack.encode(Step([Output(1, [7], "stop")], 0, 0, 1, 0.0))
    for byte in HEADER.pack(len(payload)) + payload:
        engine.write(bytes([byte]))
        await asyncio.sleep(0)
    assert await task == [Output(1, [7], "stop")]


async def test_a_code_set_is_sent_and_that_it_is_ready_is_told(pair):
    client, engine, told = pair
    client.define(CodeSet("icd", "start: /a/"))
    await asyncio.sleep(0)
    assert engine.received() == [CodeSet("icd", "start: /a/")]
    engine.answer(CodeSetReady("icd", 0.5))
    [task] = await begin(generate(client, 1))
    engine.send(Output(1, [7], "stop"))
    await task
    assert told[0] == CodeSetReady("icd", 0.5)


async def test_leaving_early_cancels(pair):
    client, engine, _ = pair
    async with aclosing(generate(client, 1)) as outputs:
        pending = asyncio.ensure_future(anext(outputs))
        await asyncio.sleep(0)
        engine.send(Output(1, [5]))
        assert await pending == Output(1, [5])
    assert engine.received()[-1] == Cancel(1)
    assert client.open_requests == 0


async def test_a_cancelled_task_cancels(pair):
    client, engine, _ = pair
    [task] = await begin(generate(client, 1))
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.received()[-1] == Cancel(1)


async def test_closing_what_ended_sends_nothing(pair):
    client, engine, _ = pair
    outputs = generate(client, 1)
    pending = asyncio.ensure_future(anext(outputs))
    await asyncio.sleep(0)
    engine.send(Output(1, [5], "stop"))
    await pending
    await outputs.aclose()
    assert not [message for message in engine.received() if isinstance(message, Cancel)]


async def test_the_engines_death_ends_every_open_request(pair):
    client, engine, _ = pair
    tasks = await begin(generate(client, 1), generate(client, 2))
    engine.send(Output(1, [5]))
    engine.die()
    for error in await asyncio.gather(*tasks, return_exceptions=True):
        assert isinstance(error, EngineUnavailable)
    assert client.open_requests == 0


async def test_an_answer_that_was_complete_survives_the_engines_death(pair):
    client, engine, _ = pair
    [task] = await begin(generate(client, 1))
    engine.send(Output(1, [5], "stop"))
    engine.die()
    assert await task == [Output(1, [5], "stop")]


async def test_a_dead_engine_takes_no_request(pair):
    client, engine, _ = pair
    [open_request] = await begin(generate(client, 1))
    engine.die()
    await asyncio.gather(open_request, return_exceptions=True)
    with pytest.raises(EngineUnavailable):
        await collect(generate(client, 2))
    assert client.open_requests == 0


async def test_an_abort_ends_open_requests_and_refuses_others_with_its_reason(pair):
    client, _, _ = pair
    [task] = await begin(generate(client, 1))
    client.abort(ShuttingDown)
    for request in (task, collect(generate(client, 2))):
        with pytest.raises(ShuttingDown):
            await request
    assert client.open_requests == 0


async def test_hanging_up_ends_open_requests(pair):
    client, _, _ = pair
    [task] = await begin(generate(client, 1))
    client.close()
    with pytest.raises(EngineUnavailable):
        await task
