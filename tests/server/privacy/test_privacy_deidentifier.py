import asyncio
import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from server.errors import PrivacyUnavailable
from server.privacy.deidentifier import Deidentifier
from server.privacy.pool import WorkerPool

NOTE = "Patient: Maria Alvarez was seen by Dr. Okonkwo on 3/14."
HIDDEN = "Patient: [NAME_1] was seen by Dr. [NAME_2] on [DATE_1]."
ORPHANS = """
import asyncio, os, signal
from server.privacy.pool import WorkerPool

async def main():
    pool = WorkerPool(workers=1, timeout_s=5)
    await pool.start(bool, ["Patient: Maria Alvarez"])
    print(*pool.pids, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)

if __name__ == "__main__":
    asyncio.run(main())
"""


@pytest.fixture
async def pool():
    pool = WorkerPool(workers=1, timeout_s=1.0)
    await pool.start(bool, ["Patient: Maria Alvarez"])
    yield pool
    await pool.close()


@pytest.fixture
async def deidentifier():
    deidentifier = Deidentifier(workers=2, timeout_s=5.0)
    await deidentifier.start()
    yield deidentifier
    await deidentifier.close()


async def test_deidentifies_and_restores(deidentifier):
    first, second = await asyncio.gather(
        deidentifier.deidentify([NOTE]), deidentifier.deidentify([NOTE, NOTE])
    )

    assert [text.text for text in (*first.texts, *second.texts)] == [HIDDEN] * 3
    assert first.vault.restore(HIDDEN) == NOTE
    assert (await deidentifier.deidentify([])).texts == ()


async def test_more_requests_than_workers(deidentifier):
    results = await asyncio.gather(*(deidentifier.deidentify([NOTE]) for _ in range(20)))

    assert {result.texts[0].text for result in results} == {HIDDEN}


async def test_a_worker_killed_at_work_fails_its_request_and_is_replaced(pool):
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    request = asyncio.create_task(pool.analyze([NOTE]))
    await asyncio.sleep(0.05)
    os.kill(pid, signal.SIGKILL)

    with pytest.raises(PrivacyUnavailable, match="failed") as raised:
        await request
    assert raised.value.__cause__ is None
    assert raised.value.__context__ is None
    assert len((await pool.analyze([NOTE]))[0]) == 3


async def test_a_worker_killed_when_idle_costs_nothing(pool):
    psutil.Process(pool.pids[0]).kill()
    await asyncio.sleep(0.2)

    assert len((await pool.analyze([NOTE]))[0]) == 3


async def test_a_hung_worker_fails_its_request_in_time_and_is_replaced(pool):
    (pid,) = pool.pids
    os.kill(pid, signal.SIGSTOP)
    begin = time.monotonic()

    with pytest.raises(PrivacyUnavailable, match="too long") as raised:
        await pool.analyze([NOTE])
    assert time.monotonic() - begin < 2
    assert raised.value.__context__ is None
    assert len((await pool.analyze([NOTE]))[0]) == 3
    assert pool.pids != [pid]


async def test_the_timeout_covers_the_wait_for_a_worker(pool):
    os.kill(pool.pids[0], signal.SIGSTOP)

    results = await asyncio.gather(pool.analyze([NOTE]), pool.analyze([NOTE]), return_exceptions=True)

    assert [type(result) for result in results] == [PrivacyUnavailable] * 2


async def test_a_cancelled_request_leaves_the_pool_in_step(pool):
    request = asyncio.create_task(pool.analyze([NOTE * 200]))
    await asyncio.sleep(0.02)
    request.cancel()

    with pytest.raises(asyncio.CancelledError):
        await request
    assert len((await pool.analyze([NOTE]))[0]) == 3


async def test_an_exception_of_the_analysis_is_told_without_text(pool):
    with pytest.raises(PrivacyUnavailable, match="TypeError") as raised:
        await pool.analyze([NOTE, ["Alvarez"]])

    assert "Alvarez" not in str(raised.value)
    assert raised.value.__context__ is None
    assert len((await pool.analyze([NOTE]))[0]) == 3


async def test_a_worker_that_misses_the_planted_text_stops_the_start():
    pool = WorkerPool(workers=1, timeout_s=1.0)

    with pytest.raises(PrivacyUnavailable, match="self-test"):
        await pool.start(lambda _: False, [NOTE])
    await pool.close()


async def test_closing_fails_the_requests_in_flight():
    pool = WorkerPool(workers=1, timeout_s=5.0)
    await pool.start(bool, [NOTE])
    os.kill(pool.pids[0], signal.SIGSTOP)
    request = asyncio.create_task(pool.analyze([NOTE]))
    await asyncio.sleep(0.05)
    await pool.close()

    with pytest.raises(PrivacyUnavailable):
        await request


async def test_workers_are_named_nice_and_end_with_the_pool():
    pool = WorkerPool(workers=1, timeout_s=1.0)
    await pool.start(bool, [NOTE])
    process = psutil.Process(pool.pids[0])

    assert process.cmdline()[0] == "infirmary-privacy"
    assert process.nice() >= 5
    await pool.close()
    assert not process.is_running()


def test_workers_end_with_a_parent_that_was_killed(tmp_path):
    script = tmp_path / "orphans.py"
    script.write_text(ORPHANS)
    output = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False).stdout

    deadline = time.monotonic() + 5
    while psutil.pid_exists(int(output)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not psutil.pid_exists(int(output))
