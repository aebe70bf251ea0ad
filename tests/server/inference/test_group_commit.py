import asyncio
from collections.abc import Sequence

import pytest

from models.database import AlreadyThere
from server.inference.group_commit import GroupCommit


class Table:
    """Takes all rows of a group or none, once it is let."""

    def __init__(self, *, refuses: object = None, open_: bool = True) -> None:
        self.groups: list[list[int]] = []
        self.gate = asyncio.Event()
        self._refuses = refuses
        if open_:
            self.gate.set()

    async def write(self, rows: Sequence[int]) -> None:
        await self.gate.wait()
        if self._refuses in rows:
            raise AlreadyThere("insert", None, ValueError())
        self.groups.append(list(rows))


async def test_what_gathers_meanwhile_is_one_group() -> None:
    table = Table(open_=False)
    commits = GroupCommit(table.write, limit_s=5)
    first = commits.submit(0)
    await asyncio.sleep(0)
    others = [commits.submit(number) for number in range(1, 9)]
    table.gate.set()
    await asyncio.gather(first, *others)
    assert table.groups == [[0], list(range(1, 9))]


async def test_one_that_is_refused_takes_no_other_with_it() -> None:
    table = Table(refuses=3)
    commits = GroupCommit(table.write, limit_s=5)
    outcomes = await asyncio.gather(*map(commits.submit, range(5)), return_exceptions=True)
    assert [type(each) for each in outcomes] == [type(None)] * 3 + [AlreadyThere] + [type(None)]
    assert sorted(row for group in table.groups for row in group) == [0, 1, 2, 4]


async def test_what_is_cancelled_before_its_turn_is_dropped() -> None:
    table = Table(open_=False)
    commits = GroupCommit(table.write, limit_s=5)
    commits.submit(0)
    await asyncio.sleep(0)
    commits.submit(1).cancel()
    commits.submit(2)
    table.gate.set()
    await commits.drain()
    assert table.groups == [[0], [2]]


async def test_a_group_that_hangs_does_not_hold_up_the_next() -> None:
    table = Table(open_=False)
    commits = GroupCommit(table.write, limit_s=0.05)
    first = commits.submit(0)
    await asyncio.sleep(0)
    second = commits.submit(1)
    with pytest.raises(TimeoutError):
        await first
    table.gate.set()
    await second
    assert table.groups == [[1]]


async def test_who_comes_after_everything_was_written_is_written_too() -> None:
    table = Table()
    commits = GroupCommit(table.write, limit_s=5)
    await commits.drain()
    for number in range(3):
        await commits.submit(number)
    assert table.groups == [[0], [1], [2]]
