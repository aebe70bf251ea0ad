from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import ContextExceeded, Overloaded
from server.inference.admission import Admission, answer_budget


def admission(**limits: Any) -> Admission:
    return Admission(**({"sequences": 2, "queue_requests": 3, "queue_tokens": 100} | limits))


def let_in(door: Admission, tokens: int, answers: int = 1) -> None:
    door.enter(answers)
    try:
        door.hold(tokens)
    except Overloaded:
        door.leave(answers)
        raise


def let_out(door: Admission, tokens: int, answer_tokens: int = 1, answers: int = 1) -> None:
    door.release(answers, tokens, answer_tokens)
    door.leave(answers)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def serve(door: Admission, clock: Clock, *, prompt: int, answer: int, seconds: float) -> None:
    let_in(door, prompt)
    clock.now_s += seconds
    let_out(door, prompt, answer)


def retry_s(door: Admission) -> int | None:
    with pytest.raises(Overloaded) as caught:
        door.hold(10**6)
    return caught.value.retry_after_s


def test_as_many_requests_as_run_and_wait_are_let_in():
    door = admission()
    for _ in range(5):
        let_in(door, 1)
    for refused in (lambda: door.enter(1), lambda: let_in(door, 1)):
        with pytest.raises(Overloaded, match="full"):
            refused()


def test_who_leaves_makes_room():
    door = admission(sequences=1, queue_requests=0)
    let_in(door, 7)
    let_out(door, 7)
    let_in(door, 7)


def test_tokens_are_bounded_too():
    door = admission()
    let_in(door, 60)
    let_in(door, 40)
    with pytest.raises(Overloaded):
        let_in(door, 1)
    let_out(door, 60)
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


def test_every_answer_counts_as_a_request():
    door = admission(queue_tokens=10**9)
    let_in(door, 1, answers=3)
    with pytest.raises(Overloaded):
        let_in(door, 1, answers=3)
    let_in(door, 1, answers=2)


def test_more_answers_than_the_queue_are_let_in_when_alone():
    door = admission(sequences=1, queue_requests=1)
    let_in(door, 8, answers=8)
    with pytest.raises(Overloaded):
        door.enter(1)


def test_the_wait_to_retry_is_what_the_tokens_ahead_take():
    clock = Clock()
    door = admission(clock=clock, queue_tokens=1000)
    serve(door, clock, prompt=80, answer=20, seconds=2)  # 50 tokens a second, 20 an answer
    let_in(door, 500)
    let_in(door, 460)
    assert retry_s(door) == 20  # 960 of prompts and 40 of answers


def test_a_pause_does_not_slow_the_rate():
    clock = Clock()
    door = admission(clock=clock, queue_tokens=1000)
    for _ in range(3):
        serve(door, clock, prompt=80, answer=20, seconds=2)
        clock.now_s += 10_000
    let_in(door, 980)
    assert retry_s(door) == 20


def test_before_anything_was_served_the_wait_is_short():
    door = admission()
    let_in(door, 100)
    assert retry_s(door) == 1


@pytest.mark.parametrize("seconds, expected_s", [(0.001, 1), (1e6, 120)])
def test_the_wait_to_retry_has_bounds(seconds, expected_s):
    clock = Clock()
    door = admission(clock=clock)
    serve(door, clock, prompt=10, answer=10, seconds=seconds)
    let_in(door, 100)
    assert retry_s(door) == expected_s


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, 80) | st.none(), max_size=60))
def test_the_bounds_hold_whoever_comes_and_goes(steps):
    door, inside = admission(), []
    for tokens in steps:
        if tokens is None:
            if inside:
                let_out(door, inside.pop())
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
