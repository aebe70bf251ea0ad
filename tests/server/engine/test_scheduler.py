import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.backend import Batch
from server.engine.blocks import next_cut
from server.engine.budget import PrefillBudget
from server.engine.calibration import StepCost
from server.engine.prefix_cache import PrefixCache
from server.engine.protocol import Priority, Sampling
from server.engine.queue import FairQueue
from server.engine.sampler import Sampler
from server.engine.scheduler import Scheduler
from server.engine.sequence import Sequence
from server.engine.slots import Slots

SAMPLER = Sampler(Sampling())
TEXT = np.random.default_rng(7).integers(0, 250, 2000).tolist()
AGING_S = 20.0


class Ward:
    """A scheduler on a device that computes whatever it says; time stands still unless told to pass."""

    def __init__(self, make_backend, *, slots: int, budget: int, reuse="off", target_s: float = 0.25) -> None:
        self.now_s = 0.0
        self.backend = make_backend(sequences=slots, context_tokens=5000, budget=budget)
        self.cache = PrefixCache(reuse, 1 << 20)
        self.slots = Slots(self.backend, self.cache)
        self.queue = FairQueue(aging_s=AGING_S)
        self.budget = PrefillBudget(StepCost({1: 0.001, 2: 0.002}), target_s=target_s, most_tokens=budget)
        self.scheduler = Scheduler(self.slots, self.queue, self.budget, batch_tokens=budget, aging_s=AGING_S)

    def add(
        self,
        number: int,
        prompt: int | list[int] = 4,
        *,
        priority: Priority = Priority.NORMAL,
        tenant: str = "",
    ) -> Sequence:
        tokens = [number] * prompt if isinstance(prompt, int) else prompt
        sequence = Sequence(
            number,
            list(tokens),
            len(tokens),
            10_000,
            SAMPLER,
            tenant=tenant,
            priority=priority,
            submitted_s=self.now_s,
        )
        self.queue.add(sequence)
        return sequence

    def step(self) -> list[tuple[int, int]]:
        """One step in which every sequence that is up to date answers one token."""
        work = self.scheduler.schedule(self.now_s)
        batch = Batch()
        for each in work:
            start = each.sequence.cached
            batch.extend(
                each.sequence.slot,
                start,
                each.sequence.tokens[start : start + each.count],
                outputs=int(each.samples),
            )
        if work:
            self.backend.decode(batch)
        for each in work:
            each.sequence.cached += each.count
            assert each.samples == (not each.sequence.pending)
            if each.samples:
                each.sequence.tokens.append(0)
        return [(each.sequence.id, each.count) for each in work]

    def end(self, sequence: Sequence) -> None:
        self.slots.release(sequence)

    @property
    def running(self) -> list[int]:
        return [each.id for each in self.slots]


@pytest.fixture
def make_ward(make_backend):
    return lambda **sizes: Ward(make_backend, **sizes)


def test_slots_are_filled_in_order_of_arrival(make_ward):
    ward = make_ward(slots=2, budget=100)
    for number in range(3):
        ward.add(number)
    ward.step()
    assert ward.running == [0, 1]
    assert [each.id for each in ward.queue] == [2]


def test_a_prompt_is_prefilled_in_pieces_and_its_last_token_by_itself(make_ward):
    ward = make_ward(slots=1, budget=4)
    ward.add(1, 10)
    assert [ward.step() for _ in range(5)] == [[(1, 4)], [(1, 4)], [(1, 1)], [(1, 1)], [(1, 1)]]


@pytest.mark.parametrize("length", [100, 150, 300, 1000])
def test_a_prompt_that_is_alone_is_cut_at_blocks(make_ward, length):
    ward = make_ward(slots=3, budget=512)
    only = ward.add(1, length)
    while only.prefill_left:
        before = only.cached
        ward.step()
        assert only.cached == next_cut(before, length - 1)


def test_answers_go_before_prompts(make_ward):
    ward = make_ward(slots=3, budget=6)
    ward.add(1, 1)
    ward.step()
    ward.add(2, 20)
    assert [ward.step() for _ in range(2)] == [[(1, 1), (2, 5)]] * 2


def test_all_that_is_pending_goes_at_once(make_ward):
    ward = make_ward(slots=1, budget=8)
    only = ward.add(1, 1)
    ward.step()
    only.tokens += [0, 0, 0]
    assert ward.step() == [(1, 4)]


def test_what_is_pending_beyond_the_budget_comes_later(make_ward):
    ward = make_ward(slots=1, budget=3)
    only = ward.add(1, 1)
    ward.step()
    only.tokens += [0, 0, 0]
    assert [ward.step() for _ in range(2)] == [[(1, 3)], [(1, 1)]]


def test_a_step_goes_by_slots_and_leaves_no_gap(make_ward):
    ward = make_ward(slots=3, budget=9)
    first, second, _ = (ward.add(number, 1) for number in (1, 2, 3))
    ward.step()
    ward.end(first)
    ward.end(second)
    ward.add(4, 1)
    assert ward.step() == [(4, 1), (3, 1)]
    assert [each.slot for each in ward.slots] == [1, 2]


def test_a_freed_slot_goes_to_the_next_in_line(make_ward):
    ward = make_ward(slots=1, budget=10)
    first, _, _ = (ward.add(number) for number in (1, 2, 3))
    ward.step()
    ward.end(first)
    ward.step()
    assert ward.running == [2]


def test_the_wait_for_a_slot_is_noted(make_ward):
    ward = make_ward(slots=1, budget=10)
    first, second = ward.add(1), ward.add(2)
    ward.step()
    ward.now_s = 3.0
    ward.end(first)
    ward.step()
    assert (first.queue_s, second.queue_s) == (0.0, 3.0)


def test_bulk_work_leaves_a_quarter_of_the_slots(make_ward):
    ward = make_ward(slots=8, budget=100)
    for number in range(10):
        ward.add(number, priority=Priority.BULK)
    ward.step()
    assert len(ward.running) == 6
    ward.add(20)
    ward.step()
    assert 20 in ward.running
    assert len(ward.running) == 7


def test_bulk_work_is_done_where_there_is_one_slot(make_ward):
    ward = make_ward(slots=1, budget=100)
    ward.add(1, priority=Priority.BULK)
    assert ward.step()


def test_a_short_prompt_overtakes_a_long_one(make_ward):
    ward = make_ward(slots=2, budget=100)
    long = ward.add(1, 1000)
    ward.step()
    ward.add(2, 30)
    assert dict(ward.step())[2] == 29
    assert long.prefill_left


def test_a_long_prompt_is_not_overtaken_for_ever(make_ward):
    ward = make_ward(slots=4, budget=100)
    long = ward.add(1, 2000)
    for turn in range(400):
        ward.now_s = 0.2 * turn
        if not long.prefill_left:
            return
        fresh = ward.add(10 + turn, 99)
        ward.step()
        for each in list(ward.slots):
            if each is not long and (not each.prefill_left or each is not fresh):
                ward.end(each)
    raise AssertionError("it starves")


def test_the_more_urgent_class_is_prefilled_first(make_ward):
    ward = make_ward(slots=2, budget=100)
    ward.add(1, 500, priority=Priority.BULK)
    ward.add(2, 600, priority=Priority.INTERACTIVE)
    assert ward.step() == [(2, 64)]


def test_beside_answers_a_prompt_gets_what_time_allows(make_ward):
    ward = make_ward(slots=2, budget=1000)
    ward.add(1, 1)
    ward.step()
    ward.add(2, 1000)
    for _ in range(30):
        ward.budget.observe(
            prefilled=ward.budget.tokens(answering=1, answers=1, prompts=1), answering=1, step_s=5.0
        )
    assert ward.step() == [(1, 1), (2, 65)]


@pytest.mark.parametrize(
    "room, length, expected",
    [(100, 1000, 65), (128, 1000, 65), (129, 1000, 129), (200, 251, 250), (200, 252, 193), (200, 150, 149)],
)
def test_beside_answers_a_prompt_comes_whole_or_in_tiles_and_one_token(make_ward, room, length, expected):
    ward = make_ward(slots=2, budget=1000)
    ward.add(1, 1)
    ward.step()
    ward.add(2, length)
    ward.budget.tokens = lambda **_: room
    assert ward.step() == [(1, 1), (2, expected)]


def test_a_second_prompt_comes_along_as_a_whole(make_ward):
    ward = make_ward(slots=2, budget=300)
    ward.add(1, 91)
    ward.add(2, 200)
    assert ward.step() == [(1, 90), (2, 199)]


def test_no_step_is_spent_on_a_scrap_of_a_second_prompt(make_ward):
    ward = make_ward(slots=2, budget=100)
    ward.add(1, 91)
    ward.add(2, 200)
    assert ward.step() == [(1, 90)]


def test_a_prefix_that_many_have_in_common_is_computed_once(make_ward):
    ward = make_ward(slots=4, budget=128, reuse="exact")
    for number in range(4):
        ward.add(number, TEXT[:400] + [number] * 50)
    computed = 0
    while any(each.prefill_left for each in ward.slots) or len(ward.queue):
        computed += sum(count for _, count in ward.step())
    assert computed < 400 + 4 * 49 + 4 * 20
    assert [each.reused for each in ward.slots] == [0, 384, 384, 384]


def test_who_waits_for_a_prefix_does_not_lose_the_slot_to_bulk_work(make_ward):
    ward = make_ward(slots=2, budget=128, reuse="exact")
    ward.add(1, TEXT[:600])
    ward.step()
    urgent = ward.add(2, TEXT[:600], priority=Priority.INTERACTIVE)
    ward.add(3, 30, priority=Priority.BULK)
    while urgent.slot < 0:
        assert ward.running == [1]
        ward.step()
    assert urgent.reused >= 599 - 63
    assert ward.running == [1, 2]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.integers(1, 4),
    st.integers(1, 200),
    st.sampled_from(["exact", "off"]),
    st.lists(
        st.tuples(
            st.sampled_from(["add", "add", "step", "step", "end", "cancel"]),
            st.integers(0, 300),
            st.integers(1, 20),
            st.sampled_from(Priority),
        ),
        max_size=50,
    ),
)
def test_slots_and_budget_hold_and_nobody_is_lost(make_backend, slots, budget, reuse, actions):
    ward = Ward(make_backend, slots=slots, budget=budget, reuse=reuse)
    alive: set[int] = set()
    for number, (action, common, size, priority) in enumerate(actions):
        ward.now_s += 0.5
        if action == "add":
            ward.add(number, TEXT[:common] + [251] * size, priority=priority, tenant=str(size % 3))
            alive.add(number)
        elif action == "step":
            carried = ward.step()
            assert sum(count for _, count in carried) <= budget
            assert all(count > 0 for _, count in carried)
            assert carried or not alive
            held = [each.slot for each in ward.slots]
            assert not held or held == list(range(held[0], held[0] + len(held)))
        elif action == "end" and len(ward.slots):
            ended = list(ward.slots)[size % len(ward.slots)]
            ward.end(ended)
            alive.remove(ended.id)
        elif action == "cancel" and len(ward.queue):
            victim = next(iter(ward.queue)).id
            ward.queue.take(victim)
            alive.remove(victim)
        assert len(ward.slots) <= slots
        assert {*ward.running, *(each.id for each in ward.queue)} == alive
        assert ward.slots.leaks() + ward.cache.leaks == 0
    for _ in range(50 * 400):
        if not alive:
            return
        ward.step()
        for each in list(ward.slots):
            if not each.prefill_left and each.generated:
                ward.end(each)
                alive.remove(each.id)
    raise AssertionError("somebody starves")
