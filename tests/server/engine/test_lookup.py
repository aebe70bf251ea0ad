import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.lookup import GRAM, Habit, PromptLookup, common_length

TEXTS = st.lists(st.integers(0, 2), max_size=40)


def reference(tokens: list[int], most: int) -> list[int]:
    """What followed the last trigram where it last stood before."""
    last = tokens[-GRAM:]
    for start in range(len(tokens) - GRAM - 1, -1, -1):
        if len(last) == GRAM and tokens[start : start + GRAM] == last:
            followed = tokens[start + GRAM :]
            return (followed * most)[:most]
    return []


@settings(max_examples=300, deadline=None, derandomize=True)
@given(TEXTS, st.lists(st.integers(0, 40), max_size=6), st.integers(0, 8))
def test_it_proposes_what_followed_last_time(tokens, lengths, most):
    cuts = sorted(min(length, len(tokens)) for length in [*lengths, 40])
    lookup = PromptLookup(tokens[: cuts[0]], Habit())
    for cut in cuts:
        lookup.extend(tokens[:cut])
        assert lookup.draft(tokens[:cut], most)[:most] == reference(tokens[:cut], most)


def test_what_is_new_has_no_draft():
    assert PromptLookup(range(50), Habit()).draft(list(range(50)), 8) == []


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=30))
def test_acceptance_is_a_share(pairs):
    lookup = PromptLookup([], Habit())
    for guess, answer in pairs:
        lookup.learn(guess, answer)
        assert 0 <= lookup.acceptance <= 1


def test_it_learns_what_comes_true():
    right, wrong = PromptLookup([], Habit()), PromptLookup([], Habit())
    for _ in range(30):
        right.learn([1, 2, 3], [1, 2, 3, 4])
        wrong.learn([1, 2, 3], [5])
    assert right.acceptance > 0.95
    assert wrong.acceptance < 0.1


def test_it_forgets_what_is_long_ago():
    lookup = PromptLookup([], Habit())
    for _ in range(200):
        lookup.learn([1], [2])
    for _ in range(60):
        lookup.learn([1], [1])
    assert lookup.acceptance > 0.8


def test_a_long_answer_without_a_guess_changes_nothing():
    lookup = PromptLookup([], Habit())
    before = lookup.acceptance
    for _ in range(16_000):
        lookup.learn([], [1])
    assert lookup.acceptance == pytest.approx(before)


@pytest.mark.parametrize("answer, expected", [([1, 2, 3, 4], 1.0), ([1, 9], 0.5), ([9], 0.0)])
def test_a_new_answer_starts_with_what_others_learned(answer, expected):
    habit = Habit()
    earlier, other = PromptLookup([], habit), PromptLookup([], habit)
    before = other.acceptance
    for _ in range(1000):
        earlier.learn([1, 2, 3], answer)
    assert habit.acceptance == pytest.approx(expected, abs=0.01)
    assert PromptLookup([], habit).acceptance == pytest.approx(habit.acceptance)
    assert other.acceptance == before, "it has its own experience from its start on"
    assert PromptLookup([], Habit()).acceptance == before


def test_what_all_learned_outlasts_one_answer():
    habit = Habit()
    for _ in range(2000):
        PromptLookup([], habit).learn([1, 2], [1, 2, 3])
    odd = PromptLookup([], habit)
    for _ in range(30):
        odd.learn([1], [2])
    assert odd.acceptance < 0.1
    assert habit.acceptance > 0.9


def test_common_length_is_that_of_the_start():
    assert common_length([], [1]) == 0
    assert common_length([1, 2], [1, 2, 3]) == 2
    assert common_length([1, 2, 9, 4], [1, 2, 3, 4]) == 2
