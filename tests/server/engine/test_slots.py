import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.backend import Batch
from server.engine.prefix_cache import PrefixCache
from server.engine.protocol import Priority, Sampling
from server.engine.sampler import Sampler
from server.engine.sequence import Sequence
from server.engine.slots import Slots

SAMPLER = Sampler(Sampling())
TEXT = np.random.default_rng(5).integers(0, 250, 1000).tolist()
OTHER = 251
PLENTY = 1 << 20


class Ward:
    """Slots, what is behind them, and a way to compute."""

    def __init__(self, backend, reuse="exact", capacity: int = PLENTY) -> None:
        self.backend = backend
        self.cache = PrefixCache(reuse, capacity)
        self.slots = Slots(backend, self.cache)

    @property
    def leaks(self) -> int:
        return self.slots.leaks() + self.cache.leaks

    def compute(self, sequence: Sequence, length: int | None = None) -> None:
        """Bring the first `length` tokens of a sequence into its slot."""
        length = len(sequence.tokens) if length is None else length
        if length > sequence.cached:
            batch = Batch()
            batch.extend(sequence.slot, sequence.cached, sequence.tokens[sequence.cached : length], outputs=0)
            self.backend.decode(batch)
            sequence.cached = length

    def begin(self, *sequences: Sequence) -> None:
        for each in sequences:
            assert self.slots.place(each, alone=False)
            self.compute(each)


@pytest.fixture
def ward(make_backend) -> Ward:
    return Ward(make_backend(sequences=4, context_tokens=1000, budget=1000))


def sequence(number: int, tokens: list[int], priority: Priority = Priority.NORMAL) -> Sequence:
    return Sequence(number, tokens, len(tokens), 100, SAMPLER, priority=priority)


def different(number: int) -> Sequence:
    return sequence(number, [number] * 50)


def test_the_lowest_free_slot_is_taken(ward):
    running = [different(number) for number in range(3)]
    ward.begin(*running)
    assert [each.slot for each in running] == [0, 1, 2]
    assert (len(ward.slots), ward.slots.free) == (3, 1)
    ward.slots.release(running[1])
    ward.begin(different(9))
    assert [each.id for each in ward.slots] == [0, 9, 2]


def test_the_last_moves_into_a_gap_with_all_it_holds(ward):
    running = [different(number) for number in range(4)]
    ward.begin(*running)
    for each in (running[0], running[2]):
        ward.slots.release(each)
    ward.slots.close_gaps()

    assert [(each.id, each.slot) for each in ward.slots] == [(3, 0), (1, 1)]
    assert ward.backend.held_tokens[:2] == [[3] * 50, [1] * 50]
    assert ward.leaks == 0


def test_what_is_being_computed_is_waited_for(ward):
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:300] + [OTHER] * 100)
    assert ward.slots.place(first, alone=False)
    ward.compute(first, 255)
    assert not ward.slots.place(second, alone=False)
    assert (second.slot, len(ward.slots)) == (-1, 1)
    ward.compute(first, 256)
    assert ward.slots.place(second, alone=False)
    assert (second.cached, second.reused, ward.slots.take_reused()) == (256, 256, 256)
    assert ward.backend.held_tokens[second.slot] == TEXT[:256]
    assert ward.slots.take_reused() == 0


def test_who_waits_for_another_lends_it_its_priority(ward):
    first = sequence(1, TEXT[:400], Priority.BULK)
    ward.slots.place(first, alone=False)
    ward.slots.place(sequence(2, TEXT[:400], Priority.INTERACTIVE), alone=False)
    assert first.hurried == Priority.INTERACTIVE
    ward.slots.place(sequence(3, TEXT[:400], Priority.NORMAL), alone=False)
    assert first.hurried == Priority.INTERACTIVE


def test_nobody_waits_for_what_was_given_up(ward):
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:400])
    ward.slots.place(first, alone=False)
    ward.compute(first, 200)
    assert not ward.slots.place(second, alone=False)
    ward.slots.release(first)
    assert ward.slots.place(second, alone=False)
    assert second.cached == 128


@pytest.mark.parametrize("reuse, expected", [("exact", 399), ("full", 399), ("off", 0)])
def test_what_was_kept_is_restored(make_backend, reuse, expected):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), reuse)
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:400])
    ward.begin(first)
    ward.slots.release(first)
    assert ward.slots.place(second, alone=False)
    assert second.cached == second.reused == ward.slots.take_reused() == expected
    assert ward.backend.held_tokens[0] == TEXT[:expected]


def test_without_room_for_what_ended_nothing_is_restored(make_backend):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), capacity=0)
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:400])
    ward.begin(first)
    ward.slots.release(first)
    ward.begin(second)
    assert second.reused == 0


def test_what_is_warmed_stays_though_it_was_kept_before(make_backend):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), capacity=1500)
    asked, warmed = (sequence(number, TEXT[:257]) for number in (1, -1))
    warmed.max_tokens = 0
    ward.begin(asked)
    ward.slots.release(asked)
    assert ward.slots.place(warmed, alone=False)
    ward.compute(warmed, 256)
    ward.slots.release(warmed, pinned=True)
    for number in (3, 4, 5):
        other = sequence(number, [number] * 300)
        ward.begin(other)
        ward.slots.release(other)
    again = sequence(9, TEXT[:600])
    assert ward.slots.place(again, alone=False)
    assert again.reused > 0


def test_contents_that_are_not_as_said_are_leaks(ward):
    first = different(1)
    ward.begin(first)
    assert ward.leaks == 0
    first.cached -= 1
    assert ward.slots.leaks() == 1
    ward.backend.held_tokens[3] = [1]
    assert ward.slots.leaks() == 2


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.sampled_from(["exact", "full", "off"]),
    st.sampled_from([0, 2000, PLENTY]),
    st.lists(
        st.tuples(
            st.sampled_from(["place", "place", "compute", "release", "close"]),
            st.integers(0, 400),
            st.integers(1, 60),
            st.integers(0, 5),
        ),
        max_size=40,
    ),
)
def test_a_slot_holds_what_its_sequence_says(make_backend, reuse, capacity, actions):
    ward = Ward(make_backend(sequences=3, context_tokens=500, budget=500), reuse, capacity)
    for number, (action, common, tail, pick) in enumerate(actions):
        running = list(ward.slots)
        if action == "place" and ward.slots.free:
            ward.slots.place(sequence(number, TEXT[:common] + [OTHER] * tail), alone=False)
        elif action == "compute" and running:
            each = running[pick % len(running)]
            ward.compute(each, min(common, len(each.tokens)))
        elif action == "release" and running:
            ward.slots.release(running[pick % len(running)], pinned=tail == 1)
        elif action == "close":
            ward.slots.close_gaps()
            assert [each.slot for each in ward.slots] == list(range(len(ward.slots)))
        for each in ward.slots:
            assert ward.backend.held_tokens[each.slot] == each.tokens[: each.cached]
        assert ward.leaks == 0
