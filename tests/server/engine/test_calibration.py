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


def test_the_cost_of_a_pass_and_of_a_token_are_told_apart(make_backend, clock):
    backend = timed(make_backend(), clock, lambda count: 0.5 + 0.25 * count)
    cost = calibrate(backend)
    assert (cost.pass_s, cost.token_s) == (pytest.approx(0.5), pytest.approx(0.25))


def test_every_slot_is_empty_afterwards(make_backend):
    backend = make_backend()
    calibrate(backend)
    assert [backend.held(slot) for slot in range(backend.sequences)] == [0] * backend.sequences


def test_one_odd_step_is_left_out(make_backend, clock):
    odd = iter([9.0, 7.0])  # the step that makes the graphs, and one of the first measured
    backend = timed(make_backend(), clock, lambda count: next(odd, 0.5 + 0.25 * count))
    cost = calibrate(backend)
    assert (cost.pass_s, cost.token_s) == (pytest.approx(0.5), pytest.approx(0.25))


@pytest.mark.parametrize("seconds", [lambda count: 1.0 / count, lambda count: 1.0 * count])
def test_costs_are_never_nonsense(make_backend, clock, seconds):
    cost = calibrate(timed(make_backend(), clock, seconds))
    assert cost.pass_s > 0
    assert cost.token_s >= 0


def test_a_backend_with_one_output_can_be_measured(make_backend):
    backend = make_backend()
    backend.max_outputs = 1
    assert isinstance(calibrate(backend), StepCost)
