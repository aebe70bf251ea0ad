import asyncio

import pytest

from server.drain import Drain
from server.errors import ShuttingDown


def test_open_it_takes_everything_in():
    drain = Drain(30)
    drain.check()
    assert not drain.begun
    assert not drain.is_due(busy=False)


def test_draining_it_takes_nothing_in_and_waits_for_what_runs():
    drain = Drain(30)
    drain.begin()
    with pytest.raises(ShuttingDown) as caught:
        drain.check()
    assert (caught.value.status, caught.value.code) == (503, "shutting_down")
    assert caught.value.retry_after_s
    assert not drain.is_due(busy=True)
    assert drain.is_due(busy=False)


def test_the_grace_is_over_in_time():
    drain = Drain(0)
    drain.begin()
    assert drain.is_due(busy=True)


def test_asked_again_it_does_not_wait():
    drain = Drain(30)
    drain.begin()
    drain.begin()
    assert drain.is_due(busy=True)


async def test_its_end_is_told():
    drain = Drain(30)
    waiting = asyncio.create_task(drain.over())
    drain.begin()
    await asyncio.sleep(0)
    assert not waiting.done()
    drain.end()
    await asyncio.wait_for(waiting, 1)
