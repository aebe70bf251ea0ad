"""What the death of a process costs: its requests a retryable error, and nothing else."""

import asyncio
import json
import time
from collections import Counter

import httpx
import psutil
import pytest

CHAT = "/v1/chat/completions"
NEVER_DONE = {
    "type": "object",
    "properties": {"text": {"type": "string", "pattern": "^.{20000,}$"}},
    "required": ["text"],
    "additionalProperties": False,
}
LONG = {
    "model": "auto",
    "messages": [{"role": "user", "content": "Write."}],
    "max_tokens": 2900,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": NEVER_DONE}},
}
SHORT = {"model": "auto", "messages": [{"role": "user", "content": "Hello."}], "max_tokens": 3}
REQUESTS = 8


@pytest.fixture
def own_server(serve, tmp_path):
    """A server that a test may break."""
    return serve(tmp_path)


async def last_event(client: httpx.AsyncClient, begun: "asyncio.Queue[str]") -> dict[str, object]:
    """The last event of a stream; its first one is handed to `begun`."""
    async with client.stream("POST", CHAT, json=LONG | {"stream": True}) as answer:
        assert answer.status_code == 200
        lines = aiter(answer.aiter_lines())
        begun.put_nowait(await anext(lines))
        events = [line.removeprefix("data: ") async for line in lines if line]
    return json.loads(events[-1])


def assert_retryable(answer: httpx.Response) -> None:
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "engine_unavailable"
    assert answer.json()["error"]["type"] == "server_error"
    assert int(answer.headers["retry-after"]) >= 1


async def test_an_engine_that_is_killed(own_server, make_async_http, audit_rows, eventually) -> None:
    (engine,) = own_server.processes("infirmary-engine")
    begun: asyncio.Queue[str] = asyncio.Queue()
    async with make_async_http(own_server) as client, asyncio.TaskGroup() as group:
        streams = [group.create_task(last_event(client, begun)) for _ in range(REQUESTS // 2)]
        wholes = [group.create_task(client.post(CHAT, json=LONG)) for _ in range(REQUESTS // 2)]
        for _ in streams:
            await begun.get()
        await asyncio.to_thread(own_server.wait_running, REQUESTS)
        engine.kill()
        killed = time.monotonic()
    for stream in streams:
        assert stream.result()["error"]["code"] == "engine_unavailable"
    for whole in wholes:
        assert_retryable(whole.result())
    assert own_server.process.poll() is None
    async with make_async_http(own_server) as client:
        assert (await client.get("/healthz")).status_code == 200
        eventually(own_server.is_ready, 5)
        print(f"ready again after {time.monotonic() - killed:.2f} s")
        assert (await client.post(CHAT, json=SHORT)).status_code == 200
    assert own_server.metric("infirmary_engine_restarts_total") == 1
    assert own_server.metric("infirmary_engine_up") == 1
    eventually(lambda: own_server.metric("infirmary_requests_running") == 0, 2)
    ends = Counter(row.outcome for row in await audit_rows(own_server) if row.kind == "end")
    assert ends == {"failed": REQUESTS, "completed": 1}


async def test_while_no_engine_is_there(own_server, make_async_http, eventually) -> None:
    """Between death and return: not ready, and every request is told to come again."""
    async with make_async_http(own_server) as client:
        for _ in range(2):
            (engine,) = own_server.processes("infirmary-engine")
            engine.kill()
            eventually(lambda: not own_server.is_ready(), 2)
            not_ready, refused = await asyncio.gather(client.get("/readyz"), client.post(CHAT, json=SHORT))
            assert not_ready.status_code == 503
            assert not_ready.json()["code"] == "engine_unavailable"
            assert_retryable(refused)
            eventually(own_server.is_ready, 5)
        assert (await client.post(CHAT, json=SHORT)).status_code == 200
    assert own_server.metric("infirmary_engine_restarts_total") == 2


def test_a_server_that_is_killed(own_server, left_of) -> None:
    children = own_server.children()
    own_server.kill()
    assert not left_of(children, 5)


async def test_a_server_that_is_killed_at_work(
    own_server, serve, make_async_http, audit_rows, left_of
) -> None:
    """Its request is a begin without an end, and the next start is as any other."""
    children = own_server.children()
    async with make_async_http(own_server) as client:
        asking = asyncio.create_task(client.post(CHAT, json=LONG))
        await asyncio.to_thread(own_server.wait_running, 1)
        own_server.kill()
        await asyncio.wait({asking})
        assert isinstance(asking.exception(), httpx.TransportError)
    assert not await asyncio.to_thread(left_of, children, 5)
    again = await asyncio.to_thread(serve, own_server.directory)
    async with make_async_http(again) as client:
        assert (await client.post(CHAT, json=SHORT)).status_code == 200
    assert [row.kind for row in await audit_rows(again)] == ["begin", "begin", "end"]


def test_no_core_dumps(server) -> None:
    """A core would hold prompts."""
    for process in [psutil.Process(server.process.pid), *server.processes("infirmary-engine")]:
        assert process.rlimit(psutil.RLIMIT_CORE) == (0, 0)
