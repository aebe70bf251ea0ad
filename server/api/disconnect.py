"""Work that ends when its client leaves, or when the service ends."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

from server.api.services import services_of
from server.errors import ShuttingDown

Result = TypeVar("Result")

CLIENT_GONE = 499


class ClientDisconnected(Exception):
    """Nobody is left to answer."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work`, cancelling it as soon as nobody can be answered.

    Raises ClientDisconnected when the client is gone, ShuttingDown when the drain's grace is over.
    """
    working = asyncio.create_task(work)
    leaving = asyncio.create_task(_disconnected(request))
    ending = asyncio.create_task(services_of(request).drain.over())
    try:
        await asyncio.wait({working, leaving, ending}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
        if working.cancelled():
            raise ClientDisconnected if leaving.done() else ShuttingDown
        return working.result()
    finally:
        for task in (working, leaving, ending):
            task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
