import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from server.inference.merge import merged


class Source:
    """Yields what it was told to, remembering whether it was closed."""

    def __init__(self, *items: str | Exception) -> None:
        self.closed = False
        self.items = items

    async def __aiter__(self) -> AsyncGenerator[str, None]:
        try:
            for item in self.items:
                await asyncio.sleep(0)
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            self.closed = True


async def items_of(*sources: Source) -> list[tuple[int, str]]:
    return [item async for item in merged([aiter(source) for source in sources])]


@pytest.mark.parametrize("count", [1, 2, 8])
async def test_all_items_come_in_their_own_order(count):
    sources = [Source("a", "b", "c") for _ in range(count)]
    items = await items_of(*sources)
    for index in range(count):
        assert [item for at, item in items if at == index] == ["a", "b", "c"]
    assert len(items) == 3 * count


async def test_they_come_as_they_arrive():
    assert [index for index, _ in await items_of(Source("a", "b"), Source("c", "d"))] == [0, 1, 0, 1]


@pytest.mark.parametrize("others", [0, 1])
async def test_an_error_of_one_ends_all(others):
    sources = [Source(*"abcdefgh") for _ in range(others)]
    with pytest.raises(KeyError):
        await items_of(Source("a", KeyError()), *sources)
    assert all(source.closed for source in sources)


@pytest.mark.parametrize("count", [1, 3])
async def test_closing_it_closes_all(count):
    sources = [Source("a", "b", "c") for _ in range(count)]
    async with aclosing(merged([aiter(source) for source in sources])) as items:
        await anext(items)
    assert all(source.closed for source in sources)


async def test_nothing_is_nothing():
    assert await items_of(Source(), Source()) == []
