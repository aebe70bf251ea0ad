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


class SlowWorker:
    """Takes `work_s` for its work; `killed_in` holds the number of the analysis that each kill hit."""

    def __init__(self, limit_s):
        self.work_s = 0.0
        self.analyses = 0
        self.killed_in = []

    @property
    def kills(self):
        return len(self.killed_in)

    def analyze(self, texts):
        self.analyses += 1
        time.sleep(self.work_s)
        return [[] for _ in texts]

    def kill(self):
        self.killed_in.append(self.analyses)

    def close(self):
        pass


@pytest.fixture
async def slow_pool(monkeypatch):
    worker = SlowWorker(0)
    monkeypatch.setattr("server.privacy.pool.Worker", lambda limit_s: worker)
    pool = WorkerPool(workers=1, timeout_s=0.6)
    await pool.start(bool, [NOTE])
    worker.analyses = 0
    yield pool, worker
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


async def test_the_wait_and_the_work_each_have_the_whole_timeout(slow_pool):
    pool, worker = slow_pool
    worker.work_s = 0.4

    *answers, late = await asyncio.gather(*(pool.analyze([NOTE]) for _ in range(3)), return_exceptions=True)

    assert answers == [[[]], [[]]]
    assert isinstance(late, PrivacyUnavailable)
    assert "busy" in str(late)
    assert late.__context__ is None
    await asyncio.sleep(worker.work_s)
    assert worker.analyses == 2
    assert worker.kills == 0


async def test_a_late_cancel_kills_no_worker_that_is_done(slow_pool):
    pool, worker = slow_pool
    worker.work_s = 0.1
    first, second = (asyncio.create_task(pool.analyze([NOTE])) for _ in range(2))
    await asyncio.sleep(0.05)
    time.sleep(0.2)  # noqa: ASYNC251  # the loop stands still, so the owner is not told of the end

    first.cancel()

    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second == [[]]
    assert worker.kills == 0


async def test_a_cancel_at_work_kills_the_worker_before_it_is_lent_again(slow_pool):
    pool, worker = slow_pool
    worker.work_s = 0.2
    first, second = (asyncio.create_task(pool.analyze([NOTE])) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()

    assert await second == [[]]
    assert worker.killed_in == [1]


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
