"""Several streams as one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import TypeVar

Item = TypeVar("Item")


async def merged(sources: Sequence[AsyncGenerator[Item, None]]) -> AsyncGenerator[tuple[int, Item], None]:
    """Yield the items of all as they come, each with the index of its source.

    The first error of any is raised. However this ends, all are closed then.
    """
    if len(sources) == 1:
        async with aclosing(sources[0]) as source:
            async for item in source:
                yield 0, item
        return
    queue: asyncio.Queue[tuple[int, Item] | asyncio.Task[None]] = asyncio.Queue()
    tasks = [asyncio.create_task(_pump(index, each, queue)) for index, each in enumerate(sources)]
    for task in tasks:
        task.add_done_callback(queue.put_nowait)
    try:
        open_sources = len(tasks)
        while open_sources:
            arrived = await queue.get()
            if isinstance(arrived, asyncio.Task):
                arrived.result()
                open_sources -= 1
            else:
                yield arrived
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _pump(
    index: int,
    source: AsyncGenerator[Item, None],
    queue: "asyncio.Queue[tuple[int, Item] | asyncio.Task[None]]",
) -> None:
    async with aclosing(source) as items:
        async for item in items:
            queue.put_nowait((index, item))
