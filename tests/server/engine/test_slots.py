from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.backend import Batch
from server.engine.blocks import BLOCK_TOKENS, whole_blocks
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

    def begin(self, *sequences: Sequence, alone: bool = False) -> None:
        for each in sequences:
            assert self.slots.place(each, alone=alone)
            self.compute(each)

    def serve(self, sequence: Sequence, answer: Iterable[int] = (), *, alone: bool = False) -> int:
        """From its start to its end; how much it found."""
        self.begin(sequence, alone=alone)
        sequence.tokens = [*sequence.tokens, *answer]
        self.compute(sequence)
        assert self.backend.held_tokens[sequence.slot] == sequence.tokens
        self.slots.release(sequence)
        return sequence.reused


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


@pytest.mark.parametrize(
    "ended, expected",
    [
        ([0, 1], [2, 3]),
        ([3], [0, 1, 2]),
        ([1], [3, 0, 2]),
        ([2], [0, 1, 3]),
        ([0, 2], [3, 1]),
        ([1, 2], [0, 3]),
    ],
)
def test_those_who_stay_come_together_and_few_move(ward, ended, expected):
    running = [different(number) for number in range(4)]
    ward.begin(*running)
    for each in ended:
        ward.slots.release(running[each])
    ward.slots.close_gaps()

    held = {each.slot: each.id for each in ward.slots}
    assert sorted(held.values()) == sorted(expected)
    assert max(held) - min(held) == len(held) - 1
    assert sum(running[each].slot != each for each in expected) <= 1
    assert all(ward.backend.held_tokens[slot] == [number] * 50 for slot, number in held.items())
    assert ward.leaks == 0


def test_who_comes_next_is_beside_those_who_run(ward):
    running = [different(number) for number in range(4)]
    ward.begin(*running)
    for each in running[:3]:
        ward.slots.release(each)
    ward.begin(different(9))
    assert [(each.id, each.slot) for each in ward.slots] == [(9, 2), (3, 3)]


def test_what_is_being_computed_is_waited_for(ward):
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:300] + [OTHER] * 100)
    assert ward.slots.place(first, alone=False)
    ward.compute(first, 300 - 64)
    assert not ward.slots.place(second, alone=False)
    assert (second.slot, second.undisturbed, len(ward.slots)) == (-1, True, 1)
    ward.compute(first, 300)
    assert ward.slots.place(second, alone=False)
    assert (second.cached, second.reused, ward.slots.take_reused()) == (300, 300, 300)
    assert ward.backend.held_tokens[second.slot] == TEXT[:300]
    assert ward.slots.take_reused() == 0
    assert ward.leaks == 0


def test_fewer_than_64_tokens_to_come_are_not_waited_for(ward):
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:300] + [OTHER] * 100)
    assert ward.slots.place(first, alone=False)
    ward.compute(first, 300 - 63)
    assert ward.slots.place(second, alone=False)
    assert (second.cached, second.reused, ward.slots.take_reused()) == (237, 237, 237)
    assert ward.backend.held_tokens[second.slot] == TEXT[:237]
    assert ward.leaks == 0


def test_where_nothing_is_there_and_little_to_come_nothing_is_taken(ward):
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:63] + [OTHER] * 100)
    assert ward.slots.place(first, alone=False)
    assert ward.slots.place(second, alone=False)
    assert (second.cached, second.reused, ward.slots.take_reused()) == (0, 0, 0)
    assert second.undisturbed
    assert first.hurried == Priority.BULK
    assert ward.leaks == 0


def test_who_takes_anything_beside_others_is_no_longer_undisturbed(ward):
    first = sequence(1, TEXT[:400])
    running, kept = (
        sequence(number, TEXT[:common] + [OTHER] * 50) for number, common in ((2, 200), (3, 310))
    )
    ward.begin(first, alone=True)
    ward.begin(running)
    assert (running.reused, first.undisturbed, running.undisturbed) == (200, True, False)
    ward.slots.release(first)
    ward.begin(kept)
    assert (kept.reused, kept.undisturbed) == (310, False)
    assert ward.leaks == 0


def test_who_takes_what_it_would_have_computed_itself_stays_undisturbed(ward):
    assert ward.serve(sequence(1, TEXT[:400]), alone=True) == 0
    for number, tokens, expected in ((2, TEXT[:400], 399), (3, TEXT[:300] + [OTHER] * 100, 256)):
        again = sequence(number, tokens)
        assert ward.serve(again, alone=True) == expected
        assert again.undisturbed
    assert ward.leaks == 0


def test_what_was_taken_beside_others_is_not_given_to_one_that_is_alone(ward):
    crossing = TEXT[:300] + [OTHER] * 100
    first, second = sequence(1, TEXT[:400]), sequence(2, crossing)
    ward.begin(first, second)
    assert second.reused == 300
    for each in (first, second):
        ward.slots.release(each)
    assert ward.serve(sequence(3, crossing), alone=False) == 399
    assert ward.serve(sequence(4, crossing), alone=True) == 256, "from the first"
    assert ward.serve(sequence(5, crossing), alone=True) == 399, "from the one before"
    assert ward.leaks == 0


@pytest.mark.parametrize(
    "reuse, alone, expected",
    [
        ("exact", True, 256),
        ("exact", False, 390),
        ("full", True, 390),
        ("full", False, 390),
        ("off", True, 0),
        ("off", False, 0),
    ],
)
def test_the_next_turn_finds_the_answer_but_alone_with_exact_reuse(make_backend, reuse, alone, expected):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), reuse)
    asked, answer = TEXT[:350], [OTHER] * 40
    assert ward.serve(sequence(1, asked), answer, alone=True) == 0
    following = sequence(2, asked + answer + TEXT[500:600])
    assert ward.serve(following, alone=alone) == ward.slots.take_reused() == expected
    assert following.undisturbed == (alone or reuse == "off")
    assert ward.leaks == 0


def test_who_waits_for_another_lends_it_its_priority(ward):
    first = sequence(1, TEXT[:400], Priority.BULK)
    ward.slots.place(first, alone=False)
    ward.slots.place(sequence(2, TEXT[:400], Priority.INTERACTIVE), alone=False)
    assert first.hurried == Priority.INTERACTIVE
    ward.slots.place(sequence(3, TEXT[:400], Priority.NORMAL), alone=False)
    assert first.hurried == Priority.INTERACTIVE


@pytest.mark.parametrize("alone, expected", [(True, 128), (False, 200)])
def test_nobody_waits_for_what_was_given_up(ward, alone, expected):
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:400])
    ward.slots.place(first, alone=False)
    ward.compute(first, 200)
    assert not ward.slots.place(second, alone=False)
    ward.slots.release(first)
    assert ward.slots.place(second, alone=alone)
    assert second.cached == second.reused == expected
    assert ward.backend.held_tokens[second.slot] == TEXT[:expected]


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("reuse, expected", [("exact", 399), ("full", 399), ("off", 0)])
def test_what_was_kept_is_restored(make_backend, reuse, expected, alone):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), reuse)
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:400])
    ward.begin(first)
    ward.slots.release(first)
    assert ward.slots.place(second, alone=alone)
    assert second.cached == second.reused == ward.slots.take_reused() == expected
    assert ward.backend.held_tokens[0] == TEXT[:expected]


def test_without_room_for_what_ended_nothing_is_restored(make_backend):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), capacity=0)
    first, second = sequence(1, TEXT[:400]), sequence(2, TEXT[:400])
    ward.begin(first)
    ward.slots.release(first)
    ward.begin(second)
    assert second.reused == 0


@pytest.mark.parametrize("computed", [256, 257])
def test_what_is_warmed_stays_though_it_was_kept_before(make_backend, computed):
    ward = Ward(make_backend(context_tokens=1000, budget=1000), capacity=1500)
    asked, warmed = (sequence(number, TEXT[:257]) for number in (1, -1))
    warmed.max_tokens = 0
    assert ward.slots.place(asked, alone=True)
    ward.compute(asked, computed)
    ward.slots.release(asked)
    assert ward.slots.place(warmed, alone=True)
    assert warmed.reused == 256
    ward.slots.release(warmed, pinned=True)
    for number in (3, 4, 5):
        ward.serve(sequence(number, [number] * 300))
    for number, alone, least in ((8, True, 128), (9, False, 256)):
        again = sequence(number, TEXT[:600])
        assert ward.slots.place(again, alone=alone)
        assert least <= again.reused <= 256
        ward.slots.release(again)
    assert ward.leaks == 0


@pytest.mark.parametrize("alone", [True, False])
def test_what_is_warmed_is_undisturbed_by_what_it_takes_over(ward, alone):
    ward.serve(sequence(1, TEXT[:400]), alone=True)
    made = sequence(-1, TEXT[:513])
    made.max_tokens = 0
    assert ward.slots.place(made, alone=alone)
    assert (made.reused, made.undisturbed) == (256, True)
    assert ward.backend.held_tokens[made.slot] == TEXT[:256]
    assert ward.leaks == 0


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
            st.sampled_from(["place", "place", "compute", "answer", "release", "close"]),
            st.integers(0, 400),
            st.integers(1, 60),
            st.integers(0, 5),
            st.booleans(),
        ),
        max_size=40,
    ),
)
def test_a_slot_holds_what_its_sequence_says(make_backend, reuse, capacity, actions):
    ward = Ward(make_backend(sequences=3, context_tokens=500, budget=500), reuse, capacity)
    for number, (action, common, tail, pick, idle) in enumerate(actions):
        running = list(ward.slots)
        if action == "place" and ward.slots.free:
            placed = sequence(number, TEXT[:common] + [OTHER] * tail)
            alone = idle and not running
            if ward.slots.place(placed, alone=alone):
                end = placed.prefill_length
                assert placed.undisturbed == (alone or not placed.reused)
                assert placed.reused == placed.cached <= end
                assert not placed.reused or reuse != "off"
                if alone and reuse == "exact" and placed.reused != end:
                    assert placed.reused in {0, 64, *range(0, whole_blocks(end) + 1, BLOCK_TOKENS)}
            else:
                assert running, "there is nobody to wait for"
                assert (placed.slot, placed.cached) == (-1, 0)
        elif action == "compute" and running:
            each = running[pick % len(running)]
            ward.compute(each, min(common, len(each.tokens)))
        elif action == "answer" and running:
            each = running[pick % len(running)]
            ward.compute(each)
            each.tokens = (each.tokens + TEXT[len(each.tokens) :][:tail])[:499]
            ward.compute(each, len(each.tokens) - tail // 30)
        elif action == "release" and running:
            each = running[pick % len(running)]
            ward.slots.release(
                each, pinned=tail == 1 and each.prefill_length == 2 * BLOCK_TOKENS == each.cached
            )
        elif action == "close":
            ward.slots.close_gaps()
            held = [each.slot for each in ward.slots]
            assert not held or held == list(range(held[0], held[0] + len(held)))
        for each in ward.slots:
            assert ward.backend.held_tokens[each.slot] == each.tokens[: each.cached]
        assert ward.leaks == 0
        assert ward.cache.kept_bytes <= capacity


def test_who_is_no_longer_alone_takes_over_what_was_computed_beside_others(ward):
    crowded = sequence(1, TEXT[:400])
    crowded.undisturbed = False
    ward.serve(crowded)
    lone = sequence(2, TEXT[:400])
    assert ward.slots.place(lone, alone=True)
    assert lone.cached == 0
    ward.slots.look_again()
    assert lone.cached == 0, "it is still alone"

    assert ward.slots.place(sequence(3, [OTHER] * 300), alone=False)
    ward.slots.look_again()
    assert lone.cached == 399
    assert not lone.undisturbed
