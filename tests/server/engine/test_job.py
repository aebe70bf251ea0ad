import time

import pytest

from server.engine.job import Job
from server.engine.protocol import Priority, Sampling, Submit


def test_it_says_all_of_it():
    job = Job([1, 2], 9, Sampling(seed=3), "start: /a/", tenant="ward", priority=Priority.BULK)
    assert job.submit(7) == Submit(
        7, [1, 2], 9, Sampling(seed=3), "start: /a/", tenant="ward", priority=Priority.BULK
    )


def test_the_deadline_is_what_is_left_when_it_is_sent():
    left_s = Job([1], 9, Sampling(), expires_s=time.monotonic() + 30).submit(1).deadline_s
    assert left_s == pytest.approx(30, abs=1)


def test_a_deadline_that_has_passed_is_now():
    assert Job([1], 9, Sampling(), expires_s=time.monotonic() - 30).submit(1).deadline_s == 0
