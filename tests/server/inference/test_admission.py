import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import ContextExceeded, Overloaded
from server.inference.admission import Admission, answer_budget


def admission(**limits: int) -> Admission:
    return Admission(**({"sequences": 2, "queue_requests": 3, "queue_tokens": 100} | limits))


def let_in(door: Admission, tokens: int) -> None:
    door.enter()
    try:
        door.hold(tokens)
    except Overloaded:
        door.leave()
        raise


def let_out(door: Admission, tokens: int, served_s: float) -> None:
    door.release(tokens, served_s)
    door.leave()


def test_as_many_requests_as_run_and_wait_are_let_in():
    door = admission()
    for _ in range(5):
        let_in(door, 1)
    for refused in (door.enter, lambda: let_in(door, 1)):
        with pytest.raises(Overloaded, match="full"):
            refused()


def test_who_leaves_makes_room():
    door = admission(sequences=1, queue_requests=0)
    let_in(door, 7)
    let_out(door, 7, 0.5)
    let_in(door, 7)


def test_tokens_are_bounded_too():
    door = admission()
    let_in(door, 60)
    let_in(door, 40)
    with pytest.raises(Overloaded):
        let_in(door, 1)
    let_out(door, 60, 1.0)
    let_in(door, 1)


def test_a_prompt_longer_than_the_queue_is_let_in_when_alone():
    door = admission(queue_tokens=10)
    let_in(door, 5000)
    with pytest.raises(Overloaded):
        let_in(door, 1)


def test_what_was_refused_is_not_counted():
    door = admission(sequences=1, queue_requests=1)
    let_in(door, 1)
    with pytest.raises(Overloaded):
        let_in(door, 1000)
    let_in(door, 1)


def test_the_wait_to_retry_is_what_the_queue_takes():
    door = admission(sequences=1, queue_requests=1)
    for _ in range(100):
        let_in(door, 1)
        let_out(door, 1, 10.0)
    let_in(door, 1)
    let_in(door, 1)
    with pytest.raises(Overloaded) as caught:
        door.enter()
    assert caught.value.retry_after_s == pytest.approx(20, abs=1)


@pytest.mark.parametrize("duration_s, retry_s", [(0.0, 1), (1e6, 120)])
def test_the_wait_to_retry_has_bounds(duration_s, retry_s):
    door = admission(sequences=1, queue_requests=0)
    for _ in range(100):
        let_in(door, 1)
        let_out(door, 1, duration_s)
    let_in(door, 1)
    with pytest.raises(Overloaded) as caught:
        door.enter()
    assert caught.value.retry_after_s == retry_s


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 80) | st.none(), max_size=60))
def test_the_bounds_hold_whoever_comes_and_goes(steps):
    door, inside = admission(), []
    for tokens in steps:
        if tokens is None:
            if inside:
                let_out(door, inside.pop(), 0.1)
            continue
        fits = len(inside) < 5 and (not inside or sum(inside) + tokens <= 100)
        if fits:
            let_in(door, tokens)
            inside.append(tokens)
        else:
            with pytest.raises(Overloaded):
                let_in(door, tokens)


@pytest.mark.parametrize(
    "prompt, wanted, expected",
    [(10, None, 20), (90, None, 10), (99, None, 1), (10, 5, 5), (10, 90, 90), (10, 50, 50)],
)
def test_the_answer_gets_what_is_wanted_or_the_default(prompt, wanted, expected):
    assert answer_budget(prompt, wanted, default=20, context_tokens=100) == expected


@pytest.mark.parametrize(
    "prompt, wanted, param",
    [(100, None, "messages"), (101, 1, "messages"), (10, 91, "max_tokens"), (99, 2, "max_tokens")],
)
def test_what_does_not_fit_the_context_is_refused_by_name(prompt, wanted, param):
    with pytest.raises(ContextExceeded, match=f"{prompt} tokens") as caught:
        answer_budget(prompt, wanted, default=20, context_tokens=100)
    assert caught.value.param == param
