import pytest

from server.engine import calibration
from server.engine.calibration import StepCost, calibrate


class Clock:
    """Time that passes where somebody says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(calibration, "time", clock)
    return clock


def timed(backend, clock, seconds):
    """`backend`, whose steps take what `seconds` says of their size."""
    decode = backend.decode

    def slowly(batch):
        clock.now_s += seconds(len(batch))
        return decode(batch)

    backend.decode = slowly
    return backend


def test_the_cost_of_a_pass_follows_what_was_measured(make_backend, clock):
    measured = {1: 0.5, 2: 1.0, 4: 1.2, 8: 1.6}
    cost = calibrate(timed(make_backend(), clock, lambda count: measured.get(count, 0.0)))
    assert [cost.seconds(count) for count in (1, 2, 3, 4, 6, 8)] == pytest.approx(
        [0.5, 1.0, 1.1, 1.2, 1.4, 1.6]
    )
    assert cost.seconds(16) == pytest.approx(2.4), "beyond it goes on as it went last"


def test_every_slot_is_empty_afterwards(make_backend):
    backend = make_backend()
    calibrate(backend)
    assert [backend.held(slot) for slot in range(backend.sequences)] == [0] * backend.sequences


def test_one_odd_step_is_left_out(make_backend, clock):
    odd = iter([9.0, 7.0])  # the step that makes the graphs, and one of the first measured
    cost = calibrate(timed(make_backend(), clock, lambda count: next(odd, 0.5 + 0.25 * count)))
    assert cost.seconds(1) == pytest.approx(0.75)


def test_a_backend_with_one_output_can_be_measured(make_backend):
    backend = make_backend()
    backend.max_outputs = 1
    assert isinstance(calibrate(backend), StepCost)
