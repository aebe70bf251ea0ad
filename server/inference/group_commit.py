"""Rows that come at the same time are committed together: one transaction, one flush to the disk."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

from models.database import AlreadyThere

Row = TypeVar("Row")


class GroupCommit(Generic[Row]):
    """Hands rows to `write`, which commits all or none of them, in the order in which they came.

    While one group is being written the next one gathers. A group that is not written within `limit_s`
    seconds is cancelled and left to itself.
    """

    def __init__(self, write: Callable[[Sequence[Row]], Awaitable[None]], *, limit_s: float) -> None:
        self._write = write
        self._limit_s = limit_s
        self._waiting: list[tuple[Row, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None
        self._abandoned: set[asyncio.Task[Exception | None]] = set()

    def submit(self, row: Row) -> asyncio.Future[None]:
        """Done once `row` is committed, with what `write` raises, or TimeoutError.

        A row whose future is cancelled before its group is written is dropped.
        """
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((row, committed))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._run(), name="group-commit")
        return committed

    async def drain(self) -> None:
        """Wait, no longer than the limit, until everything submitted is written."""
        if self._writer is not None:
            await asyncio.wait({self._writer}, timeout=self._limit_s)

    async def _run(self) -> None:
        while self._waiting:
            waiting, self._waiting = self._waiting, []
            await self._commit([each for each in waiting if not each[1].done()])

    async def _commit(self, group: Sequence[tuple[Row, asyncio.Future[None]]]) -> None:
        error = await self._attempt([row for row, _ in group]) if group else None
        if isinstance(error, AlreadyThere) and len(group) > 1:
            for each in group:  # one of them is refused; the others must not suffer for it
                await self._commit([each])
            return
        for _, committed in group:
            if committed.done():
                continue
            if error is None:
                committed.set_result(None)
            else:
                committed.set_exception(error)

    async def _attempt(self, rows: Sequence[Row]) -> Exception | None:
        """A driver may itself hang while it is being cancelled, so the task is not waited for then."""
        task = asyncio.create_task(self._written(rows))
        done, _ = await asyncio.wait({task}, timeout=self._limit_s)
        if done:
            return task.result()
        task.cancel()
        self._abandoned.add(task)
        task.add_done_callback(self._abandoned.discard)
        return TimeoutError()

    async def _written(self, rows: Sequence[Row]) -> Exception | None:
        try:
            await self._write(rows)
        except Exception as error:
            return error
        return None
