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
CHEAP = StepCost(pass_s=1.0, token_s=0.01)
DEAR = StepCost(pass_s=0.01, token_s=1.0)


def work(slot: int = 0, *, room: int = 100, acceptance: float = 0.9, tokens: list[int] | None = None) -> Work:
    """An answer that goes on as it went before."""
    text = PATTERN * 3 if tokens is None else tokens
    lookup = PromptLookup(text)
    lookup._accepted, lookup._drafted = acceptance * 10, 10.0
    sequence = Sequence(slot, list(text), len(text), room, SAMPLER, lookup=lookup, slot=slot)
    sequence.cached = len(text) - 1
    return Work(sequence, 1, samples=True)


def backend(outputs: int = 1000) -> SimpleNamespace:
    return SimpleNamespace(max_outputs=outputs, passes=lambda rows: len({count for _, count in rows}))


def drafts(*works: Work, cost=CHEAP, outputs: int = 1000, batch: int = 1000, prefill: int = 0, prefill_s=0.0):
    Speculation(backend(outputs), cost, batch_tokens=batch).extend(
        works, prefill=prefill, prefill_s=prefill_s
    )
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
    cost = StepCost(pass_s=1.0, token_s=0.2)
    lengths = [len(drafts(work(acceptance=share), cost=cost)[0]) for share in (0.1, 0.5, 0.8, 0.98)]
    assert lengths == sorted(lengths)
    assert lengths[0] < lengths[-1]


def test_beside_a_long_prefill_a_draft_costs_little():
    cost = StepCost(pass_s=0.1, token_s=0.1)
    alone, beside = (drafts(work(acceptance=0.5), cost=cost, prefill_s=seconds)[0] for seconds in (0, 10))
    assert len(alone) < len(beside)


def test_another_pass_for_one_of_many_does_not_pay():
    lone = [work(0, acceptance=0.6), *(work(slot, tokens=[slot]) for slot in range(1, 20))]
    assert not any(drafts(*lone, cost=StepCost(pass_s=1.0, token_s=0.0)))


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
    st.sampled_from([CHEAP, DEAR, StepCost(0.5, 0.1), StepCost(0.1, 0.0)]),
)
def test_a_step_never_grows_beyond_what_the_backend_takes(requests, spare_rows, spare_tokens, prefill, cost):
    works = [
        work(slot, room=room, acceptance=share, tokens=None if repeats else [slot])
        for slot, (room, share, repeats) in enumerate(requests)
    ]
    batch = prefill + len(works) + spare_tokens
    drafted = drafts(*works, cost=cost, outputs=len(works) + spare_rows, batch=batch, prefill=prefill)
    total = sum(map(len, drafted))
    assert total <= min(spare_rows, spare_tokens)
    for each, draft in zip(works, drafted, strict=True):
        assert len(draft) < each.sequence.room
        assert draft == each.guess[: len(draft)]


@pytest.mark.parametrize("acceptance", [0.0, 1.0])
def test_certainty_is_no_trouble(acceptance):
    assert len(drafts(work(acceptance=acceptance))[0]) in {0, MOST_DRAFTED}
