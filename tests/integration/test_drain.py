"""A server that is stopped: nothing new, what runs is finished, what takes longer is told to come again."""

import asyncio
import json
import signal
import time
from collections.abc import AsyncIterator

import httpx
import pytest

CHAT = "/v1/chat/completions"
NOTE = "/v1/clinical/medications"
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
SIGNALS = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
async def client(make_async_http, stopping) -> AsyncIterator[httpx.AsyncClient]:
    async with make_async_http(stopping) as client:
        yield client


@pytest.fixture
def drain_s() -> str:
    return "30"


@pytest.fixture
def stopping(serve, tmp_path, drain_s: str):
    """A server that a test may stop."""
    return serve(tmp_path, LIMITS__DRAIN_S=drain_s)


@pytest.mark.parametrize("number", SIGNALS)
def test_with_nothing_to_do_it_ends_at_once(stopping, left_of, number: signal.Signals) -> None:
    children = stopping.children()
    assert len(children) >= 3
    stopping.process.send_signal(number)
    assert stopping.process.wait(3) == 0
    assert not left_of(children, 2)


async def assert_nothing_new_is_taken(client: httpx.AsyncClient) -> None:
    body = LONG | {"max_tokens": 1}
    chat, note, ready, health = await asyncio.gather(
        client.post(CHAT, json=body),
        client.post(NOTE, json={"text": "Metoprolol 25 mg."}),
        client.get("/readyz"),
        client.get("/healthz"),
    )
    assert [chat.status_code, note.status_code, ready.status_code] == [503] * 3
    assert [chat.json()["error"]["code"], note.json()["code"]] == ["shutting_down"] * 2
    assert ready.json()["code"] == "shutting_down"
    for refused in (chat, note, ready):
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.headers["connection"] == "close"
    assert health.status_code == 200


async def test_what_runs_is_finished(stopping, client, make_async_http, audit_rows, left_of) -> None:
    children = stopping.children()
    body = LONG | {"max_tokens": 250}
    async with asyncio.TaskGroup() as group:
        whole = group.create_task(client.post(CHAT, json=body))
        stream = group.create_task(client.post(CHAT, json=body | {"stream": True}))
        await asyncio.to_thread(stopping.wait_running, 2)
        stopping.process.terminate()
        async with make_async_http(stopping) as late:
            await asyncio.to_thread(time.sleep, 0.2)
            await assert_nothing_new_is_taken(late)
        assert not whole.done(), "this shows nothing: the answer should take longer"
    assert whole.result().status_code == 200
    assert stream.result().text.endswith("data: [DONE]\n\n")
    assert await asyncio.to_thread(stopping.process.wait, 3) == 0
    assert not left_of(children, 2)
    assert [row.outcome for row in await audit_rows(stopping) if row.kind == "end"] == ["completed"] * 2


async def end_two(stopping, client, *signals: signal.Signals) -> tuple[httpx.Response, httpx.Response, float]:
    """What a whole answer and a stream that take too long come to, and after how many seconds."""
    async with asyncio.TaskGroup() as group:
        whole = group.create_task(client.post(CHAT, json=LONG))
        stream = group.create_task(client.post(CHAT, json=LONG | {"stream": True}))
        await asyncio.to_thread(stopping.wait_running, 2)
        told = time.monotonic()
        for number in signals:
            stopping.process.send_signal(number)
            await asyncio.sleep(0.3)
    assert await asyncio.to_thread(stopping.process.wait, 10) == 0
    return whole.result(), stream.result(), time.monotonic() - told


async def assert_told_to_come_again(stopping, audit_rows, whole, stream) -> None:
    assert whole.status_code == 503
    assert whole.json()["error"]["code"] == "shutting_down"
    assert int(whole.headers["retry-after"]) >= 1
    *_, last = stream.text.strip().split("\n\n")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "shutting_down"
    ends = [(row.outcome, row.error_code) for row in await audit_rows(stopping) if row.kind == "end"]
    assert ends == [("failed", "shutting_down")] * 2


@pytest.mark.parametrize("drain_s", ["1"])
async def test_what_takes_longer_is_ended(stopping, client, audit_rows) -> None:
    whole, stream, seconds = await end_two(stopping, client, signal.SIGTERM)
    await assert_told_to_come_again(stopping, audit_rows, whole, stream)
    assert 1 < seconds < 4


@pytest.mark.parametrize("number", SIGNALS)
async def test_a_second_signal_ends_at_once(stopping, client, audit_rows, number) -> None:
    whole, stream, seconds = await end_two(stopping, client, number, number)
    await assert_told_to_come_again(stopping, audit_rows, whole, stream)
    assert seconds < 3.5
    assert "Traceback" not in stopping.log


@pytest.mark.parametrize("drain_s", ["1"])
async def test_a_body_that_does_not_come(stopping, client) -> None:
    async def body() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(30)

    headers = {"Content-Type": "application/json"}
    asking = asyncio.create_task(client.post(CHAT, content=body(), headers=headers))
    await asyncio.sleep(0.5)
    stopping.process.terminate()
    assert await asyncio.to_thread(stopping.process.wait, 6) == 0
    answer = await asking
    assert answer.status_code == 503
    assert answer.json()["error"]["code"] == "shutting_down"
