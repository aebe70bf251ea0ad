import itertools
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.calibration import StepCost
from server.engine.lookup import PromptLookup
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


def work(slot: int = 0, *, room: int = 100, acceptance: float = 0.9, tokens: list[int] | None = None) -> Work:
    """An answer that goes on as it went before."""
    text = PATTERN * 3 if tokens is None else tokens
    lookup = PromptLookup(text)
    lookup._accepted, lookup._drafted = acceptance * 10, 10.0
    sequence = Sequence(slot, list(text), len(text), room, SAMPLER, lookup=lookup, slot=slot)
    sequence.cached = len(text) - 1
    return Work(sequence, 1, samples=True)


def passes(rows: list[tuple[int, int]]) -> list[int]:
    levels = sorted({0, *(count for _, count in rows)})
    return [
        (more - less) * sum(count >= more for _, count in rows) for less, more in itertools.pairwise(levels)
    ]


def drafts(*works: Work, cost=CHEAP, outputs: int = 1000, batch: int = 1000):
    backend = SimpleNamespace(max_outputs=outputs, passes=passes)
    Speculation(backend, cost, batch_tokens=batch).extend(works)
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
    st.lists(st.tuples(st.integers(1, 12), st.floats(0, 1), st.booleans()), max_size=34),
    st.integers(0, 40),
    st.integers(0, 60),
    st.integers(0, 20),
    st.sampled_from([CHEAP, DEAR, linear(0.5, 0.1), linear(0.1, 0.0)]),
)
def test_a_step_never_grows_beyond_what_the_backend_takes(
    requests, spare_rows, spare_tokens, prefilled, cost
):
    works = [
        work(slot, room=room, acceptance=share, tokens=None if repeats else [slot])
        for slot, (room, share, repeats) in enumerate(requests)
    ]
    prefill = [Work(work(99).sequence, prefilled)] if prefilled else []
    batch = prefilled + len(works) + spare_tokens
    drafted = drafts(*works, *prefill, cost=cost, outputs=len(works) + spare_rows, batch=batch)[: len(works)]
    total = sum(map(len, drafted))
    assert total <= min(spare_rows, spare_tokens)
    for each, draft in zip(works, drafted, strict=True):
        assert len(draft) < each.sequence.room
        assert draft == each.guess[: len(draft)]


@pytest.mark.parametrize("acceptance", [0.0, 1.0])
def test_certainty_is_no_trouble(acceptance):
    assert len(drafts(work(acceptance=acceptance))[0]) in {0, MOST_DRAFTED}
