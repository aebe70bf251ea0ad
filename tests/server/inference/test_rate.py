import pytest

from server.inference.rate import ServiceRate


class Served:
    """A rate, and the clock that it looks at."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.rate = ServiceRate(lambda: self.now_s)

    def one(self, seconds: float, prompt: int, answer: int) -> None:
        self.rate.start()
        self.now_s += seconds
        self.rate.stop(1, prompt, answer)


def test_without_anything_served_nothing_is_known():
    assert Served().rate.seconds(100, 1) is None


def test_prompts_and_answers_count_alike():
    served = Served()
    served.one(4, prompt=300, answer=100)
    assert served.rate.seconds(100, 0) == pytest.approx(1)
    assert served.rate.seconds(0, 1) == pytest.approx(1)


def test_what_runs_at_once_shares_the_time():
    served = Served()
    for _ in range(4):
        served.rate.start()
    served.now_s += 2
    for _ in range(4):
        served.rate.stop(1, 50, 50)
    assert served.rate.seconds(200, 0) == pytest.approx(1)


def test_the_last_minute_decides():
    served = Served()
    for _ in range(100):
        served.one(1, prompt=5, answer=5)
    for _ in range(100):
        served.one(1, prompt=500, answer=500)
    assert served.rate.seconds(1000, 0) == pytest.approx(1, rel=0.05)


def test_what_was_left_takes_time_and_serves_nothing():
    served = Served()
    served.one(1, prompt=50, answer=50)
    served.one(1, prompt=5000, answer=0)
    assert served.rate.seconds(100, 0) == pytest.approx(2)


def test_a_rate_falls_while_nothing_ends():
    served = Served()
    served.one(1, prompt=50, answer=50)
    served.rate.start()
    served.now_s += 9
    assert served.rate.seconds(100, 0) == pytest.approx(10)
