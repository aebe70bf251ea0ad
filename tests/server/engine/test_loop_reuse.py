import itertools
import random
from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.protocol import Output, Priority, Sampling, Submit, Warm

END = 256
LONG = 400
BASE = random.Random(1).choices(range(251), k=300)


def alone(make_engine, asked: Submit, memory: int | None = None) -> Output:
    """What a request is answered where nothing is shared or guessed."""
    engine = make_engine(
        slots=1, budget=512, context=LONG, memory=memory, prefix_cache="off", speculate=False
    )
    [answer] = engine.serve(msgspec.structs.replace(asked, deadline_s=None))
    return answer


def submit(number: int, prompt: str = "note", **fields: object) -> Submit:
    return Submit(number, list(prompt.encode()), **({"max_tokens": 8} | fields))


@pytest.mark.parametrize("reuse", ["exact", "full"])
@pytest.mark.parametrize("kept_bytes, tokens", [(0, 2 * 250), (1 << 20, 250 + 1)])
def test_a_prompt_that_comes_again_is_not_computed_again(make_engine, reuse, kept_bytes, tokens):
    engine = make_engine(budget=512, context=LONG, prefix_cache=reuse, kept_bytes=kept_bytes)
    first, second = (Submit(number, BASE[:250], 1) for number in (1, 2))
    assert engine.serve(first)[0].tokens == engine.serve(second)[1].tokens
    assert engine.backend.prefilled == tokens


def test_what_was_found_is_told_with_the_answer(make_engine):
    engine = make_engine(budget=512, context=LONG)
    for number in (1, 2):
        engine.serve(Submit(number, BASE[:250], 4))
    told = {output.id: output.cached for step in engine.steps for output in step.outputs}
    assert told == {1: 0, 2: 249}
    assert sum(step.reused for step in engine.steps) == 249


@pytest.mark.parametrize("common, prefilled", [(290, 290 + 4 * 40), (63, 4 * (63 + 40))])
@pytest.mark.parametrize("reuse", ["exact", "full"])
def test_who_come_together_compute_what_they_share_once_if_it_is_much(make_engine, reuse, common, prefilled):
    engine = make_engine(slots=4, budget=512, context=LONG, kept_bytes=0, prefix_cache=reuse)
    engine.serve(*(Submit(number, BASE[:common] + [number] * 40, 1) for number in range(4)))
    assert engine.backend.prefilled == prefilled
    assert engine.steps[-1].leaks == 0


def cached(engine) -> dict[int, int]:
    """How much each request found."""
    return {output.id: output.cached for step in engine.steps for output in step.outputs}


@pytest.mark.parametrize(
    "reuse, together, expected", [("exact", False, 128), ("exact", True, 140), ("full", False, 140)]
)
def test_tenants_share_what_operators_wrote_alone(make_engine, reuse, together, expected):
    engine = make_engine(slots=3, budget=512, context=LONG, prefix_cache=reuse)
    first, *others = (
        Submit(number, BASE, 1, tenant=tenant, shared=shared)
        for number, (tenant, shared) in enumerate([("a", 140), ("b", 140), ("c", 0)])
    )
    engine.serve(first)
    for messages in [others] if together else [[each] for each in others]:
        engine.serve(*messages)
    assert cached(engine) == {0: 0, 1: expected, 2: 0}


@pytest.mark.parametrize(
    "reuse, beside, expected",
    [
        ("exact", False, 128),
        ("exact", True, 229),
        ("full", False, 229),
        ("full", True, 229),
        ("off", True, 0),
    ],
)
def test_the_next_turn_of_a_conversation_finds_the_answer_before(make_engine, reuse, beside, expected):
    engine = make_engine(slots=3, budget=512, context=LONG, prefix_cache=reuse)
    [answer] = engine.serve(Submit(1, BASE[:200], 30, grammar=ENDLESS))
    assert len(answer.tokens) == 30
    following = Submit(2, BASE[:200] + answer.tokens + [7] * 40, 20)
    answers = engine.serve(following, *[Submit(3, [9] * 30, 1)] * beside)
    assert cached(engine)[2] == expected
    assert alone(make_engine, following) in answers
    assert engine.steps[-1].leaks == 0


@pytest.mark.parametrize("reuse", ["exact", "full"])
def test_the_first_request_finds_what_was_warmed(make_engine, reuse):
    engine = make_engine(budget=512, context=LONG, prefix_cache=reuse)
    engine.serve(Warm(BASE[:290]))
    assert engine.answers() == []
    assert engine.steps[-1].leaks == 0
    engine.serve(Submit(1, BASE + [7] * 40, 1, tenant="a", shared=280))
    assert sum(step.reused for step in engine.steps) == 256


@pytest.mark.parametrize("reuse", ["exact", "full", "off"])
def test_nobody_is_told_of_what_is_warmed_again(make_engine, reuse):
    engine = make_engine(budget=512, context=LONG, prefix_cache=reuse)
    engine.serve(Submit(1, BASE[:257], 1, shared=257))
    engine.serve(Warm(BASE[:290]))
    engine.serve(Warm(BASE[:290]), Warm(BASE[:257]), Warm(BASE[:129]))
    assert {output.id for step in engine.steps for output in step.outputs} == {1}
    assert engine.steps[-1].leaks == 0


def test_what_fits_no_block_is_not_warmed(make_engine):
    engine = make_engine()
    engine.serve(Warm([1, 2, 3]))
    assert engine.backend.prefilled == 0


class Clock:
    """Time that passes where somebody says so."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("server.engine.loop.time", clock)
    monkeypatch.setattr("server.engine.intake.time", clock)
    return clock


ENDLESS = "start: /[a-z]{99}/"


def test_an_answer_that_is_too_late_is_ended(make_engine, clock):
    engine = make_engine(slots=1, context=200)
    engine.send(submit(1, max_tokens=90, grammar=ENDLESS, deadline_s=5.0))
    engine.send(submit(2, max_tokens=90, grammar=ENDLESS, deadline_s=3.0))
    engine.send(submit(3, max_tokens=4, grammar=ENDLESS, deadline_s=9.0))
    ends = {}
    while engine.busy:
        ends |= {output.id: (output.finish, clock.now_s) for output in engine.turn().outputs if output.finish}
        clock.now_s += 0.5
    assert ends[2] == ("expired", 3.0), "while it waited"
    assert ends[1] == ("expired", 5.0), "while it ran"
    assert ends[3][0] == "length"
    assert 5 < len(engine.answers()[1].tokens) < 90
    assert engine.steps[-1].leaks == 0


def test_a_deadline_that_passed_before_is_told(make_engine):
    assert [each.finish for each in make_engine().serve(submit(1, deadline_s=-1.0))] == ["expired"]


def test_a_deadline_after_the_end_is_no_matter(make_engine, clock):
    engine = make_engine()
    engine.serve(submit(1, max_tokens=1, deadline_s=5.0), submit(2, "", deadline_s=5.0))
    clock.now_s = 10.0
    engine.serve(submit(3, max_tokens=1))
    ends = Counter(output.id for step in engine.steps for output in step.outputs if output.finish)
    assert ends == {1: 1, 2: 1, 3: 1}


def test_the_urgent_go_before_those_who_came_earlier(make_engine):
    engine = make_engine(slots=1)
    order = [Priority.BULK, Priority.NORMAL, Priority.INTERACTIVE]
    answers = engine.serve(*(submit(number, priority=priority) for number, priority in enumerate(order)))
    assert [answer.id for answer in answers] == [2, 1, 0]


def test_who_is_waited_for_is_hurried(make_engine):
    engine = make_engine(slots=3, budget=50, context=LONG, aging_s=1000.0)
    engine.send(Submit(1, BASE, 1, priority=Priority.BULK))
    engine.turn()
    engine.send(Submit(2, BASE[::-1], 1, priority=Priority.NORMAL))
    engine.send(Submit(3, BASE, 1, priority=Priority.INTERACTIVE))
    engine.finish()
    assert [answer.id for answer in engine.answers()][-1] == 2


REPETITIVE = [
    pytest.param({"sampling": Sampling(logit_bias={END: -100.0})}, id="greedy"),
    pytest.param({"sampling": Sampling(temperature=0.05, seed=4, logit_bias={END: -100.0})}, id="drawn"),
    pytest.param({"sampling": Sampling(logprobs=2, logit_bias={END: -100.0})}, id="logprobs"),
    pytest.param({"grammar": "start: /[a-f]{100}/"}, id="grammar"),
    pytest.param(
        {
            "grammar": 'start: ("ab" /[c-f]/ "gh")*',
            "sampling": Sampling(temperature=0.05, seed=4, logit_bias={END: -100.0}),
        },
        id="forced",
    ),
]


@pytest.mark.parametrize("fields", REPETITIVE)
@pytest.mark.parametrize("budget", [9, 64])
def test_what_repeats_itself_is_guessed(make_engine, fields, budget):
    asked = submit(1, max_tokens=100, **fields)
    plain, quick = (
        make_engine(budget=budget, context=200, memory=1, speculate=speculate) for speculate in (False, True)
    )
    assert quick.serve(asked) == plain.serve(asked)
    assert sum(step.drafted for step in plain.steps) == 0
    assert sum(step.accepted for step in quick.steps) > 15
    assert len(quick.steps) < len(plain.steps) - 10
    logprobs = [
        [each for step in engine.steps for output in step.outputs for each in output.logprobs or []]
        for engine in (plain, quick)
    ]
    assert logprobs[0] == logprobs[1]


def test_what_does_not_repeat_itself_is_not_guessed_for_long(make_engine):
    engine = make_engine(budget=64, context=LONG)
    engine.serve(Submit(1, [1, 2, 3] * 50, 200, Sampling(logit_bias={END: -100.0})))
    assert sum(step.drafted for step in engine.steps) < 40


def test_a_step_that_is_broken_off_is_taken_again(make_engine):
    asked = [submit(number, "a prompt " * number, max_tokens=12) for number in (1, 2)]
    broken = make_engine(interruptions=[3, 0, None, 1, 5, None, 2, 0, 0, 1] * 3)
    assert broken.serve(*asked) == make_engine().serve(*asked)
    assert broken.steps[-1].leaks == 0


@pytest.mark.parametrize(
    "second, kept, computed",
    [
        pytest.param([7] * 20, BASE[:250], 1 + 19, id="spared"),
        pytest.param([7] * 20, BASE[:50], 250 + 19, id="not spared"),
    ],
)
def test_a_lone_prompt_is_not_computed_to_its_end_where_company_spares_it(
    make_engine, second, kept, computed
):
    engine = make_engine(slots=3, budget=512, context=LONG)
    engine.serve(Submit(1, kept, 4), Submit(2, [9] * 40, 4))  # beside another: not for who is alone
    before = engine.backend.prefilled
    engine.send(Submit(3, BASE[:250], 1))
    engine.backend.meanwhile = lambda: engine.send(Submit(4, second, 1))
    engine.finish()
    assert {each.id for each in engine.answers()} == {1, 2, 3, 4}
    assert engine.backend.prefilled - before - 1 == computed
    assert engine.steps[-1].leaks == 0


def test_weights_that_cannot_take_back_share_and_guess_nothing(make_engine):
    engine = make_engine(budget=64, context=LONG, memory=1, trimmable=False)
    for number in (1, 2):
        engine.serve(Submit(number, BASE, 30))
    assert sum(step.reused + step.drafted for step in engine.steps) == 0


def rests_on(make_engine, *earlier, asked: Submit, budget: int) -> list[int]:
    """In what pieces the prefill was computed that an answer rests on, where it is alone in the end."""
    engine = make_engine(slots=3, budget=budget, context=1000, speculate=False)
    for messages in earlier:
        engine.serve(*messages)
    outputs = len(engine.backend.computed_in)
    engine.serve(asked)
    return engine.backend.computed_in[outputs][: len(asked.tokens) - 1]


PAGES = random.Random(2).choices(range(250), k=900)


TEXTS = st.tuples(st.integers(0, 800), st.integers(1, 90), st.integers(1, 5))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(st.lists(TEXTS, min_size=1, max_size=3), max_size=5),
    TEXTS,
    st.sampled_from([64, 100, 128, 150, 512]),
)
def test_a_prompt_that_is_alone_rests_on_the_same_pieces_whatever_came_before(
    make_engine, crowds, asked, budget
):
    numbers = itertools.count()
    *before, [asked] = (
        [Submit(next(numbers), PAGES[:common] + [251] * tail, most) for common, tail, most in crowd]
        for crowd in [*crowds, [asked]]
    )
    fresh = rests_on(make_engine, asked=asked, budget=budget)
    one_by_one = [[each] for crowd in before for each in crowd]
    assert rests_on(make_engine, *one_by_one, asked=asked, budget=budget) == fresh
    assert rests_on(make_engine, *before, asked=asked, budget=budget) == fresh
    assert rests_on(make_engine, [Warm(PAGES)], *before, asked=asked, budget=budget) == fresh


def test_a_prompt_that_is_alone_does_not_rest_on_what_was_computed_under_load(make_engine):
    asked = Submit(1, PAGES[:600], 1, shared=600)
    fresh = rests_on(make_engine, asked=asked, budget=512)
    others = [Submit(2, PAGES[:500], 1, shared=500), Submit(3, PAGES[::-1], 1)]
    assert rests_on(make_engine, others, asked=asked, budget=512) == fresh


@pytest.mark.parametrize("beside", [False, True])
def test_a_prompt_that_is_alone_does_not_rest_on_an_answer(make_engine, beside):
    first = Submit(1, PAGES[:200], 30, grammar=ENDLESS)
    [answer] = make_engine(context=1000, budget=512).serve(first)
    asked = Submit(2, PAGES[:200] + answer.tokens + PAGES[:300], 1)
    fresh = rests_on(make_engine, asked=asked, budget=512)
    between = [msgspec.structs.replace(asked, id=3), Submit(4, PAGES[::-1], 1)]
    earlier = [[first], between] if beside else [[first]]
    assert rests_on(make_engine, *earlier, asked=asked, budget=512) == fresh


def test_what_is_warmed_beside_something_else_is_computed_in_blocks_too(make_engine):
    asked = Submit(1, PAGES[:600], 1, shared=600)
    fresh = rests_on(make_engine, asked=asked, budget=512)
    warmed = [Warm(PAGES[:500]), Warm(PAGES[::-1])]
    assert rests_on(make_engine, warmed, asked=asked, budget=512) == fresh
