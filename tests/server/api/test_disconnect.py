import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from server.api.disconnect import ClientDisconnected, unless_disconnected
from server.drain import Drain
from server.errors import ShuttingDown


class Client:
    """A request whose client may leave, at a server that may end."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.drain = Drain(0)
        self.app = SimpleNamespace(state=SimpleNamespace(services=SimpleNamespace(drain=self.drain)))

    async def receive(self) -> dict[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}


async def asking(client: Any, ended: list[str]) -> "asyncio.Task[str]":
    async def work() -> str:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("work")
        return "done"

    task = asyncio.create_task(unless_disconnected(client, work()))
    await asyncio.sleep(0.01)
    return task


async def test_work_that_ends_is_answered():
    async def work() -> str:
        return "done"

    client: Any = Client()
    assert await unless_disconnected(client, work()) == "done"


async def test_work_ends_when_its_client_leaves():
    client, ended = Client(), []
    task = await asking(client, ended)
    client.gone.set()
    with pytest.raises(ClientDisconnected):
        await task
    assert ended


async def test_work_ends_when_the_server_does():
    client, ended = Client(), []
    task = await asking(client, ended)
    client.drain.end()
    with pytest.raises(ShuttingDown):
        await task
    assert ended
