from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.protocol import Sampling
from server.engine.sampler import Sampler
from server.engine.scheduler import Scheduler
from server.engine.sequence import Sequence

SAMPLER = Sampler(Sampling())


def sequence(number: int, prompt: int = 4, pending_answer: int = 0) -> Sequence:
    return Sequence(
        id=number,
        tokens=[0] * (prompt + pending_answer),
        prompt_length=prompt,
        max_tokens=100,
        sampler=SAMPLER,
    )


def ids(sequences) -> list[int]:
    return [each.id for each in sequences]


def advance(scheduler: Scheduler) -> list[tuple[int, int]]:
    """One step in which every sequence that is up to date answers one token."""
    chosen = scheduler.schedule()
    for each, count in chosen:
        each.cached += count
        if not each.pending:
            each.tokens.append(0)
    return [(each.id, count) for each, count in chosen]


def test_slots_are_filled_in_order_of_arrival():
    scheduler = Scheduler(slots=2, budget=100)
    for number in range(3):
        scheduler.add(sequence(number))
    scheduler.schedule()

    assert ids(scheduler.running) == [0, 1]
    assert ids(scheduler.waiting) == [2]
    assert {each.slot for each in scheduler.running} == {0, 1}


def test_a_prompt_is_prefilled_in_chunks_of_the_budget():
    scheduler = Scheduler(slots=1, budget=4)
    scheduler.add(sequence(1, prompt=10))
    assert [advance(scheduler) for _ in range(4)] == [[(1, 4)], [(1, 4)], [(1, 2)], [(1, 1)]]


def test_answers_go_before_prompts():
    scheduler = Scheduler(slots=3, budget=5)
    scheduler.add(sequence(1, prompt=12))
    scheduler.add(sequence(2, prompt=1))
    assert advance(scheduler) == [(1, 5)]
    scheduler.running[1].cached = 1
    scheduler.running[1].tokens.append(0)

    assert advance(scheduler) == [(1, 4), (2, 1)], "what is left, in the order of the slots"
    assert advance(scheduler) == [(1, 3), (2, 1)]


def test_the_lowest_free_slot_is_taken_and_a_step_goes_by_slots():
    scheduler = Scheduler(slots=3, budget=9)
    for number in (1, 2, 3):
        scheduler.add(sequence(number, prompt=1))
    advance(scheduler)
    first, second, _ = scheduler.running
    scheduler.retire([second])
    scheduler.retire([first])
    for number in (4, 5):
        scheduler.add(sequence(number, prompt=1))
    for running in scheduler.running:
        running.tokens.append(0)

    assert [(each.id, each.slot) for each, _ in scheduler.schedule()] == [(4, 0), (5, 1), (3, 2)]


def test_the_oldest_prompt_is_prefilled_first():
    scheduler = Scheduler(slots=2, budget=6)
    scheduler.add(sequence(1, prompt=8))
    scheduler.add(sequence(2, prompt=8))
    assert [advance(scheduler) for _ in range(2)] == [[(1, 6)], [(1, 2), (2, 4)]]


def test_a_freed_slot_goes_to_the_next_in_line():
    scheduler = Scheduler(slots=1, budget=10)
    first, second = sequence(1), sequence(2)
    scheduler.add(first)
    scheduler.add(second)
    scheduler.schedule()
    scheduler.retire([first])
    scheduler.schedule()

    assert scheduler.running == [second]
    assert second.slot == first.slot


def test_cancel_says_whether_a_slot_was_held():
    scheduler = Scheduler(slots=1, budget=10)
    first = sequence(1)
    scheduler.add(first)
    scheduler.add(sequence(2))
    scheduler.schedule()

    assert scheduler.cancel(2) is None
    assert scheduler.cancel(1) is first
    assert scheduler.cancel(1) is None
    assert not scheduler.running and not scheduler.waiting


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    st.integers(1, 4),
    st.integers(1, 9),
    st.lists(
        st.tuples(st.sampled_from(["add", "step", "retire", "cancel"]), st.integers(1, 20)), max_size=60
    ),
)
def test_slots_and_budget_hold_and_nobody_is_overtaken(slots, budget, actions):
    scheduler = Scheduler(slots=slots, budget=budget)
    started: list[int] = []
    alive: set[int] = set()
    for number, (action, size) in enumerate(actions):
        if action == "add":
            scheduler.add(sequence(number, prompt=size))
            alive.add(number)
        elif action == "step":
            carried = advance(scheduler)
            assert sum(count for _, count in carried) <= budget
            assert all(count > 0 for _, count in carried)
            assert carried or not alive
            started += [each for each in ids(scheduler.running) if each not in started]
        elif action == "retire" and scheduler.running:
            ended = scheduler.running[size % len(scheduler.running)]
            scheduler.retire([ended])
            alive.remove(ended.id)
        elif action == "cancel" and alive:
            victim = sorted(alive)[size % len(alive)]
            scheduler.cancel(victim)
            alive.remove(victim)
        held = [each.slot for each in scheduler.running]
        assert len(set(held)) == len(held) <= slots
        assert {*ids(scheduler.running), *ids(scheduler.waiting)} == alive
    assert started == sorted(started)
