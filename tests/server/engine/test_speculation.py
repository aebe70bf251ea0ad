import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.calibration import StepCost
from server.engine.lookup import Habit, PromptLookup
from server.engine.matcher import GrammarFault
from server.engine.protocol import Sampling
from server.engine.sampler import Sampler
from server.engine.scheduler import Work
from server.engine.sequence import Sequence
from server.engine.speculation import MOST_DRAFTED, Speculation

SAMPLER = Sampler(Sampling())
PATTERN = list(range(20))


def linear(pass_s: float, token_s: float) -> StepCost:
    return StepCost({1: pass_s + token_s, 2: pass_s + 2 * token_s})


CHEAP = linear(1.0, 0.01)
DEAR = linear(0.01, 1.0)


def work(
    slot: int = 0,
    *,
    room: int = 100,
    acceptance: float = 0.9,
    tokens: list[int] | None = None,
    pending: int = 1,
) -> Work:
    """An answer that goes on as it went before, with its last `pending` tokens still to be computed."""
    text = PATTERN * 3 if tokens is None else tokens
    lookup = PromptLookup(text, Habit())
    lookup._accepted, lookup._drafted = acceptance * 10, 10.0
    cached = len(text) - pending
    sequence = Sequence(slot, list(text), cached + 1, room + pending - 1, SAMPLER, lookup=lookup, slot=slot)
    sequence.cached = cached
    return Work(sequence, pending, samples=True)


def prefill(slot: int, count: int) -> Work:
    """A piece of a prompt."""
    return Work(Sequence(slot, [1] * 200, 200, 100, SAMPLER, slot=slot), count)


def crowd(pending: int, others: int) -> list[Work]:
    """One with so much pending, and others with one token each; none of them repeats itself."""
    return [
        work(slot, tokens=list(range(10)), pending=pending if slot == 0 else 1) for slot in range(others + 1)
    ]


def passes(rows: list[tuple[int, int]]) -> list[int]:
    levels = sorted({0, *(count for _, count in rows)})
    return [
        (more - less) * sum(count >= more for _, count in rows) for less, more in itertools.pairwise(levels)
    ]


def one_pass(rows: list[tuple[int, int]]) -> list[int]:
    return [sum(count for _, count in rows)]


def drafts(*works: Work, cost=CHEAP, outputs: int = 1000, batch: int = 1000, passes=passes):
    backend = SimpleNamespace(max_outputs=outputs, passes=passes)
    Speculation(backend, cost, batch_tokens=batch).shape(works)
    return [each.draft for each in works]


def test_what_is_likely_and_cheap_is_drafted():
    assert drafts(work()) == [PATTERN[:MOST_DRAFTED]]


def test_what_was_wrong_lately_is_not_drafted():
    asked = work(acceptance=0.005)
    assert drafts(asked) == [[]]
    assert asked.guess == PATTERN[:MOST_DRAFTED], "it may come true again"


def test_what_costs_more_than_it_brings_is_not_drafted():
    assert drafts(work(), cost=DEAR) == [[]]


def test_the_more_comes_true_the_longer_the_draft():
    cost = linear(1.0, 0.2)
    lengths = [len(drafts(work(acceptance=share), cost=cost)[0]) for share in (0.1, 0.5, 0.8, 0.98)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_another_pass_for_one_of_many_does_not_pay():
    lone = [work(0, acceptance=0.6), *(work(slot, tokens=[slot]) for slot in range(1, 20))]
    assert not any(drafts(*lone, cost=linear(1.0, 0.0)))


def test_a_draft_leaves_room_for_the_token_after_it():
    assert drafts(work(room=4)) == [PATTERN[:3]]
    assert drafts(work(room=1)) == [[]]


def test_nobody_drafts_where_many_answer():
    assert all(drafts(*(work(slot) for slot in range(32))))
    assert not any(drafts(*(work(slot) for slot in range(33))))


def test_where_passes_are_dear_what_is_pending_is_fed_one_by_one():
    for left in (4, 3, 2, 1):
        works = crowd(left, others=3)
        drafts(*works, cost=linear(1.0, 0.0))
        assert [each.count for each in works] == [1, 1, 1, 1]
        assert [each.samples for each in works] == [left == 1, True, True, True]


@pytest.mark.parametrize(
    "cost, passes", [(StepCost({1: 0.1, 3: 0.1, 4: 1.0}), passes), (linear(1.0, 0.1), one_pass)]
)
def test_where_passes_are_cheap_what_is_pending_is_fed_at_once(cost, passes):
    works = crowd(4, others=3)
    drafts(*works, cost=cost, passes=passes)
    assert [each.count for each in works] == [4, 1, 1, 1]
    assert all(each.samples for each in works)


def test_what_all_have_pending_is_fed_at_once():
    works = [work(slot, tokens=list(range(10)), pending=4) for slot in range(5)]
    drafts(*works, cost=linear(1.0, 0.0))
    assert [(each.count, each.samples) for each in works] == [(4, True)] * 5


def test_a_draft_fills_the_width_that_another_has_pending():
    works = [work(0), *(work(slot, tokens=list(range(10)), pending=3) for slot in (1, 2))]
    assert drafts(*works) == [PATTERN[:2], [], []]
    assert [each.count for each in works] == [1, 3, 3]


def test_who_has_tokens_left_neither_samples_nor_drafts():
    works = [work(0, pending=4), *(work(slot, tokens=[slot]) for slot in range(1, 20))]
    assert not any(drafts(*works))
    assert (works[0].count, works[0].samples) == (1, False)


def test_beside_prefill_nothing_is_drafted_and_prefill_is_left_as_it_is():
    beside = prefill(1, 65)
    assert drafts(work(0), beside) == [[], []]
    assert (beside.count, beside.samples) == (65, False)
    works = crowd(4, others=3)
    drafts(*works, prefill(4, 65), cost=linear(1.0, 0.0))
    assert [(each.count, each.samples) for each in works] == [(1, False), *[(1, True)] * 3]


def test_what_does_not_sample_has_no_draft():
    each = work()
    each.samples = False
    assert drafts(each) == [[]]
    assert drafts() == []


def test_without_a_lookup_there_is_no_draft():
    each = work()
    each.sequence.lookup = None
    assert drafts(each) == [[]]


def test_a_draft_ends_where_the_grammar_does():
    each = work()
    each.sequence.matcher = SimpleNamespace(valid=lambda tokens: tokens[:2])
    assert drafts(each) == [PATTERN[:2]]


def test_a_grammar_that_fails_over_a_draft_ends_no_step():
    def fail(tokens: list[int]) -> list[int]:
        raise GrammarFault("the matcher failed")

    broken, good = work(0), work(1)
    broken.sequence.matcher = SimpleNamespace(valid=fail)
    assert drafts(broken, good) == [[], PATTERN[:MOST_DRAFTED]]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(
        st.tuples(st.integers(1, 12), st.floats(0, 1), st.booleans(), st.sampled_from([1, 1, 1, 2, 5])),
        max_size=34,
    ),
    st.integers(0, 40),
    st.integers(0, 60),
    st.integers(0, 20),
    st.sampled_from([CHEAP, DEAR, linear(0.5, 0.1), linear(0.1, 0.0)]),
)
def test_a_step_never_grows_beyond_what_the_backend_takes(
    requests, spare_rows, spare_tokens, prefilled, cost
):
    works = [
        work(slot, room=room, acceptance=share, tokens=None if repeats else list(range(9)), pending=pending)
        for slot, (room, share, repeats, pending) in enumerate(requests)
    ]
    beside = [prefill(99, prefilled)] if prefilled else []
    batch = prefilled + sum(each.count for each in works) + spare_tokens
    drafts(*works, *beside, cost=cost, outputs=len(works) + spare_rows, batch=batch)
    assert sum(each.count + len(each.draft) for each in [*works, *beside]) <= batch
    assert sum(each.samples + len(each.draft) for each in works) <= len(works) + spare_rows
    assert not (prefilled and any(each.draft for each in works))
    width = max((each.count + len(each.draft) for each in works), default=0)
    for each in works:
        assert each.count == min(each.sequence.pending, width)
        assert each.samples == (each.count == each.sequence.pending)
        assert each.samples or not each.draft
        assert len(each.draft) < each.sequence.room
        assert each.draft == each.guess[: len(each.draft)]


@pytest.mark.parametrize("acceptance", [0.0, 1.0])
def test_certainty_is_no_trouble(acceptance):
    assert len(drafts(work(acceptance=acceptance))[0]) in {0, MOST_DRAFTED}
