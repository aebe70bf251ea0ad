import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.budget import PrefillBudget
from server.engine.calibration import StepCost

TARGET_S = 0.25
QUICK = StepCost({1: 0.001, 2: 0.002})
SLOW = StepCost({1: 0.2, 2: 0.3})


def allowed(budget: PrefillBudget, answering: int, prompts: int = 1) -> int:
    return budget.tokens(answering=answering, answers=answering, prompts=prompts)


def follow(budget: PrefillBudget, seconds, *, steps: int, answering: int = 4) -> list[float]:
    """Seconds of each step, where `seconds` says what so many tokens of prefill take."""
    taken = []
    for _ in range(steps):
        prefilled = allowed(budget, answering)
        taken.append(seconds(prefilled))
        budget.observe(prefilled=prefilled, answering=answering, step_s=taken[-1])
    return taken


@pytest.mark.parametrize("token_s", [0.0002, 0.0005, 0.001, 0.003])
@pytest.mark.parametrize("fixed_s", [0.0, 0.02, 0.05])
def test_steps_come_to_take_the_target(token_s, fixed_s):
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=4096)
    taken = follow(budget, lambda tokens: fixed_s + token_s * tokens, steps=12)
    assert taken[-1] == pytest.approx(TARGET_S, rel=0.1)


def test_a_cost_that_grows_is_followed():
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=4096)
    follow(budget, lambda tokens: 0.0003 * tokens, steps=12)
    costs = iter(0.0003 * 1.02**step for step in range(60))
    taken = follow(budget, lambda tokens: next(costs) * tokens, steps=60)
    assert max(taken) < 1.1 * TARGET_S


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(1, 600),
    st.lists(st.tuples(st.integers(0, 600), st.integers(0, 40), st.floats(0, 5)), max_size=30),
    st.integers(0, 700),
)
def test_it_stays_within_its_bounds(most, steps, answering):
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=most)
    for prefilled, answers, step_s in steps:
        budget.observe(prefilled=prefilled, answering=answers, step_s=step_s)
        tokens = allowed(budget, answering)
        assert 0 <= tokens <= max(0, most - answering)
        if answering > 0:
            assert tokens >= min(65, max(0, most - answering))
        assert budget.tokens_per_s > 0
        assert allowed(budget, 0) == most


def test_the_slowest_device_still_prefills():
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=512)
    follow(budget, lambda tokens: 60.0, steps=40)
    assert allowed(budget, 1) == 65


def test_where_answers_are_slow_prefill_may_take_as_long_again():
    budget = PrefillBudget(SLOW, target_s=TARGET_S, most_tokens=4096)
    taken = follow(budget, lambda tokens: 0.5 + 0.001 * tokens, steps=20)
    assert taken[-1] == pytest.approx(2 * SLOW.seconds(4), rel=0.1)


def test_where_more_prompts_wait_than_answers_run_steps_are_longer():
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=4096)
    follow(budget, lambda tokens: 0.001 * tokens, steps=12)
    assert allowed(budget, 2, prompts=8) == pytest.approx(4 * allowed(budget, 2), rel=0.02)
    assert allowed(budget, 8, prompts=2) == pytest.approx(allowed(budget, 2), rel=0.02)


def test_a_step_that_was_not_filled_says_nothing():
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=4096)
    before = allowed(budget, 1)
    for _ in range(10):
        budget.observe(prefilled=before // 2, answering=1, step_s=0.001)
    assert allowed(budget, 1) == before


def test_the_speed_of_prompts_is_learned_from_large_steps():
    budget = PrefillBudget(QUICK, target_s=TARGET_S, most_tokens=4096)
    for _ in range(80):
        budget.observe(prefilled=1000, answering=0, step_s=0.5)
        budget.observe(prefilled=8, answering=1, step_s=0.5)
    assert budget.tokens_per_s == pytest.approx(2000, rel=0.01)
