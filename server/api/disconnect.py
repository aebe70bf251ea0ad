"""Work that ends when the client leaves."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

Result = TypeVar("Result")

CLIENT_GONE = 499


class ClientDisconnected(Exception):
    """Nobody is left to answer."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, Result]) -> Result:
    """Run `work`, cancelling it as soon as the client is gone; raises ClientDisconnected then."""
    working = asyncio.create_task(work)
    watching = asyncio.create_task(_disconnected(request))
    try:
        await asyncio.wait({working, watching}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            working.cancel()
            await asyncio.wait({working})
        if working.cancelled():
            raise ClientDisconnected
        return working.result()
    finally:
        working.cancel()
        watching.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
