import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.protocol import Priority, Sampling
from server.engine.queue import FairQueue
from server.engine.sampler import Sampler
from server.engine.sequence import Sequence

SAMPLER = Sampler(Sampling())
AGING_S = 20.0


def sequence(
    number: int,
    tenant: str = "",
    priority: Priority = Priority.NORMAL,
    *,
    tokens: int = 10,
    submitted_s: float = 0.0,
) -> Sequence:
    return Sequence(
        number,
        [0] * tokens,
        tokens,
        10,
        SAMPLER,
        tenant=tenant,
        priority=priority,
        submitted_s=submitted_s,
    )


def queue(*sequences: Sequence) -> FairQueue:
    made = FairQueue(aging_s=AGING_S)
    for each in sequences:
        made.add(each)
    return made


def admit(queue: FairQueue, now_s: float = 0.0) -> Sequence:
    """The next one, which gets a slot."""
    first = next(queue.ordered(now_s))
    first.started_s = now_s
    queue.admit(first)
    return first


def order(queue: FairQueue, now_s: float = 0.0) -> list[int]:
    return [each.id for each in queue.ordered(now_s)]


def test_equals_are_served_in_order_of_arrival():
    waiting = queue(*(sequence(number) for number in range(20)))
    assert order(waiting) == list(range(20))
    assert [admit(waiting).id for _ in range(20)] == list(range(20))


def test_classes_go_before_each_other():
    waiting = queue(
        sequence(1, priority=Priority.BULK),
        sequence(2),
        sequence(3, priority=Priority.INTERACTIVE),
        sequence(4),
    )
    assert order(waiting) == [3, 2, 4, 1]


@pytest.mark.parametrize("now_s, expected", [(19.0, [3, 2, 1]), (21.0, [3, 1, 2]), (41.0, [1, 3, 2])])
def test_waiting_raises_by_one_class_after_the_other(now_s, expected):
    waiting = queue(
        sequence(1, "old", Priority.BULK),
        sequence(2, "new", submitted_s=now_s),
        sequence(3, "newer", Priority.INTERACTIVE, submitted_s=now_s),
    )
    assert order(waiting, now_s) == expected


def test_a_flood_delays_nobody_else():
    waiting = queue(*(sequence(number, "flood") for number in range(50)))
    for _ in range(10):
        admit(waiting)
    waiting.add(sequence(99, "other"))
    assert 99 in order(waiting)[:2]


def test_a_flood_that_waited_long_delays_nobody_else():
    waiting = queue(*(sequence(number, "flood") for number in range(100)))
    for second in range(25):
        admit(waiting, float(second))
    waiting.add(sequence(999, "other", submitted_s=25.0))
    assert 999 in order(waiting, 25.0)[:2]


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.dictionaries(st.sampled_from("abcd"), st.integers(1, 200), min_size=2), st.integers(20, 60))
def test_tenants_who_always_ask_get_equal_tokens(sizes, rounds):
    waiting = queue()
    numbers = iter(range(10_000))
    for tenant, size in sizes.items():
        for _ in range(3):
            waiting.add(sequence(next(numbers), tenant, tokens=size))
    served = dict.fromkeys(sizes, 0)
    for _ in range(rounds * len(sizes)):
        each = admit(waiting)
        served[each.tenant] += each.prompt_length + each.max_tokens
        waiting.add(sequence(next(numbers), each.tenant, tokens=each.prompt_length))
    largest = max(sizes.values()) + 10
    assert max(served.values()) - min(served.values()) <= 2 * largest


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.integers(1, 6), st.integers(1, 3), st.floats(0.5, 10))
def test_bulk_is_served_in_bounded_time(tenants, arrivals, step_s):
    """Though requests of a higher class always wait, more than can be served."""
    waiting = queue(sequence(0, "bulk", Priority.BULK))
    for turn in range(200):
        now_s = turn * step_s
        for number in range(arrivals):
            tenant = f"t{(turn + number) % tenants}"
            waiting.add(sequence(1 + turn * 10 + number, tenant, Priority.INTERACTIVE, submitted_s=now_s))
        if admit(waiting, now_s).id == 0:
            assert now_s <= 3 * AGING_S + (tenants + 2) * step_s
            return
    raise AssertionError("it starves")


def test_nobody_starves_where_every_request_is_of_a_new_tenant():
    waiting = queue(sequence(1, "bulk", Priority.BULK), sequence(2, "bulk", Priority.BULK))
    served = set()
    for turn in range(500):
        waiting.add(sequence(10 + turn, f"t{turn}", Priority.INTERACTIVE, submitted_s=float(turn)))
        served.add(admit(waiting, float(turn)).id)
    assert {1, 2} <= served


def test_a_request_can_be_taken_out_once():
    first, second = sequence(1), sequence(2)
    waiting = queue(first, second)
    assert waiting.take(1) is first
    assert waiting.take(1) is None
    assert (list(waiting), len(waiting)) == ([second], 1)
    waiting.admit(second)
    assert waiting.take(2) is None
    assert not len(waiting)


def test_tenants_who_ask_no_more_are_forgotten():
    waiting = queue()
    for number in range(1000):
        waiting.add(sequence(number, f"tenant {number}"))
        admit(waiting)
    assert len(waiting._finish) < 10


def test_tenants_who_cancel_are_forgotten():
    waiting = queue()
    for number in range(1000):
        waiting.add(sequence(number, f"tenant {number}"))
        waiting.take(number)
    assert len(waiting._finish) < 10
