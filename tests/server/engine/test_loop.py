import random
import socket
from collections import Counter

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.calibration import StepCost
from server.engine.channel import Channel, ChannelClosed
from server.engine.logit_rows import LogitRows
from server.engine.loop import EngineLoop
from server.engine.protocol import Cancel, Output, Policy, Priority, Sampling, Submit
from server.engine.sampler import Sampler
from server.grammar.compiler import compile_json_schema

CONTEXT = 48
END = 256

GRAMMARS = [
    compile_json_schema({"const": "fixed"}).text,
    compile_json_schema({"enum": ["present", "presented", "absent"]}).text,
    compile_json_schema({"type": "array", "items": {"type": "boolean"}, "maxItems": 3}).text,
    compile_json_schema({"type": "string", "maxLength": 4}).text,
    compile_json_schema({"type": "integer"}).text,
    'start: /[ab]{0,6}/ "." /[a-c]*/',
    "this is no grammar",
]
SAMPLINGS = st.just(Sampling()) | st.builds(
    Sampling,
    temperature=st.sampled_from([0.5, 1.0, 2.0]),
    top_k=st.sampled_from([0, 1, 40]),
    top_p=st.sampled_from([0.3, 0.9, 1.0]),
    min_p=st.sampled_from([0.0, 0.1]),
    repeat_penalty=st.sampled_from([1.0, 1.3]),
    presence_penalty=st.sampled_from([0.0, 0.5]),
    frequency_penalty=st.sampled_from([0.0, -0.5]),
    seed=st.integers(-(2**63), 2**63 - 1),
)
REQUESTS = st.lists(
    st.tuples(
        st.lists(st.integers(0, 255), max_size=30),  # no prompt at all is refused
        st.integers(0, 24),
        SAMPLINGS,
        st.none() | st.sampled_from(GRAMMARS),
        st.integers(0, 12),  # sent before this turn
        st.none() | st.integers(0, 20),  # cancelled before this turn
    ),
    min_size=1,
    max_size=8,
)


def submit(number: int, prompt: str = "note", **fields: object) -> Submit:
    return Submit(number, list(prompt.encode()), **({"max_tokens": 8} | fields))


@settings(max_examples=150, deadline=None, derandomize=True)
@given(REQUESTS, st.integers(1, 3), st.integers(1, 24))
def test_many_at_once_are_answered_as_each_alone(make_engine, requests, slots, budget):
    submits = [Submit(number, *request[:4]) for number, request in enumerate(requests)]
    sent = [request[4] for request in requests]
    cancelled = {number: max(at, sent[number]) for number, (*_, at) in enumerate(requests) if at is not None}
    engine = make_engine(slots=slots, budget=budget, context=CONTEXT)
    silenced: set[int] = set()
    for turn in range(21):
        for each in submits:
            if sent[each.id] == turn:
                engine.send(each)
            if cancelled.get(each.id) == turn:
                engine.send(Cancel(each.id))
                silenced.add(each.id)
        if engine.busy:
            step = engine.turn()
            assert step.batch_tokens <= budget
            assert step.running <= slots
            assert not silenced & {output.id for output in step.outputs}
    engine.finish(within=21 + sum(len(each.tokens) + each.max_tokens for each in submits))

    answers = {answer.id: answer for answer in engine.answers()}
    assert engine.backend.held_tokens == [[]] * slots
    assert engine.steps[-1].leaks == 0
    ends = Counter(output.id for step in engine.steps for output in step.outputs if output.finish)
    assert set(ends.values()) <= {1}
    assert answers.keys() | cancelled.keys() == {each.id for each in submits}
    for each in submits:
        if each.id in answers:
            alone = make_engine(slots=1, budget=16, context=CONTEXT)
            assert [answers[each.id]] == alone.serve(each)


def test_after_everything_ended_every_slot_serves_again(make_engine):
    engine = make_engine(slots=3, budget=12)
    engine.serve(*(submit(number, max_tokens=1) for number in range(7)), Cancel(3))

    for number in range(10, 13):
        engine.send(submit(number))

    assert engine.turn().running == 3


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(repeat_penalty=1.8, presence_penalty=1.0, frequency_penalty=0.5),
        Sampling(temperature=1.5, top_k=9, seed=5, frequency_penalty=-2.0),
    ],
    ids=["greedy", "penalized", "drawn"],
)
def test_an_answer_is_what_weights_and_sampler_say_token_by_token(make_engine, sampling):
    engine = make_engine()
    [answer] = engine.serve(submit(1, sampling=sampling, max_tokens=30))

    tokens = list(b"note")
    sampler = Sampler(sampling, tokens)
    for token in answer.tokens:
        assert token == sampler.sample(next_row(engine, tokens), 0)
        sampler.observe([token])
        tokens.append(token)
    assert (sampler.sample(next_row(engine, tokens), 0) == END) == (answer.finish == "stop")


def next_row(engine, tokens):
    return LogitRows(engine.backend._row(tokens)[np.newaxis])


@pytest.mark.parametrize("chunk", range(1, 14))
def test_the_budget_of_a_step_does_not_change_the_answer(make_engine, chunk):
    asked = submit(1, "a longer note", grammar=GRAMMARS[2])
    assert make_engine(budget=chunk).serve(asked) == make_engine(budget=64).serve(asked)


def test_a_long_prompt_does_not_stop_running_answers(make_engine):
    engine = make_engine(slots=2, budget=4, context=64)
    grammar = 'start: "x" /[a-z]{20}/'
    engine.send(submit(1, "n", max_tokens=21, grammar=grammar))
    engine.turn()
    engine.send(submit(2, "a very long prompt of many tokens", max_tokens=1))

    for _ in range(8):
        assert {output.id for output in engine.turn().outputs} == {1}


@pytest.mark.parametrize("prompt, max_tokens", [("", 4), ("a", 0), ("a", CONTEXT), ("a" * CONTEXT, 1)])
def test_what_does_not_fit_is_rejected(make_engine, prompt, max_tokens):
    engine = make_engine(context=CONTEXT)
    assert engine.serve(submit(1, prompt, max_tokens=max_tokens)) == [
        Output(1, [], "rejected", "the request does not fit the context")
    ]


def test_a_bias_on_what_is_no_token_is_rejected_and_the_others_are_served(make_engine):
    engine = make_engine()
    wrong = submit(1, sampling=Sampling(logit_bias={END + 1: 1.0}))
    right = submit(2, sampling=Sampling(logit_bias={ord("x"): 100.0}), max_tokens=3)

    assert engine.serve(wrong, right) == [
        Output(1, [], "rejected", "logit_bias on what is no token id"),
        Output(2, list(b"xxx"), "length"),
    ]


def test_the_context_can_be_filled_to_its_last_token(make_engine):
    engine = make_engine(context=CONTEXT)
    [answer] = engine.serve(submit(1, "a" * 40, max_tokens=8, grammar="start: /[a-z]{60}/"))
    assert (len(answer.tokens), answer.finish) == (8, "length")


def test_a_broken_grammar_ends_its_own_request_only(make_engine):
    engine = make_engine()
    broken, good = submit(1, grammar="no grammar"), submit(2, grammar=GRAMMARS[0])
    answers = engine.serve(broken, good)
    assert [(answer.id, answer.finish) for answer in answers] == [(1, "grammar_error"), (2, "stop")]


def test_what_the_grammar_forces_wholly_is_never_sampled(make_engine):
    engine = make_engine(budget=64)
    [answer] = engine.serve(submit(1, grammar=GRAMMARS[0], max_tokens=20))
    assert (bytes(answer.tokens), answer.finish) == (b'"fixed"', "stop")
    assert len(engine.steps) == 1


def test_a_forced_text_without_room_is_cut_and_said_to_be(make_engine):
    [answer] = make_engine().serve(submit(1, grammar=GRAMMARS[0], max_tokens=3))
    assert (bytes(answer.tokens), answer.finish) == (b'"fi', "length")


def test_a_forced_text_that_just_fits_is_complete(make_engine):
    [answer] = make_engine().serve(submit(1, grammar=GRAMMARS[0], max_tokens=7))
    assert (bytes(answer.tokens), answer.finish) == (b'"fixed"', "stop")


def test_logits_are_asked_for_only_where_a_token_is_sampled(make_engine):
    engine = make_engine(budget=4)
    engine.serve(submit(1, "a prompt of many steps", max_tokens=2, grammar="start: /[a-z]{9}/"))
    assert engine.backend.rows == 2


def test_the_end_token_is_not_part_of_the_answer(make_engine):
    answers = make_engine(context=200).serve(*(submit(n, f"note {n}", max_tokens=150) for n in range(6)))
    assert all(END not in answer.tokens for answer in answers)
    assert "stop" in {answer.finish for answer in answers}


def test_a_cancel_in_the_same_breath_leaves_nothing(make_engine):
    engine = make_engine()
    assert engine.serve(submit(1), Cancel(1), submit(2, ""), Cancel(2), Cancel(99)) == []
    assert len(engine.steps) == 1


def test_time_in_the_queue_is_told(make_engine):
    engine = make_engine(slots=1)
    engine.serve(submit(1), submit(2))
    waited = {(output.id, output.queue_s) for step in engine.steps for output in step.outputs}
    (first, first_s), (second, second_s) = sorted(waited)
    assert (first, second) == (1, 2)
    assert 0 <= first_s < second_s


def test_the_loop_ends_when_nobody_listens(make_engine, byte_tokenizer):
    ours, theirs = socket.socketpair()
    ours.close()
    with theirs, pytest.raises(ChannelClosed):
        EngineLoop(
            make_engine().backend, byte_tokenizer, Channel(theirs), Policy(8), StepCost({1: 1.2, 2: 1.4})
        ).run()


LONG = 400
BASE = random.Random(1).choices(range(251), k=300)
CROWDS = st.lists(
    st.tuples(
        st.integers(0, 300),  # tokens of the common text
        st.lists(st.integers(0, END), min_size=1, max_size=40),
        st.integers(1, 24),
        SAMPLINGS,
        st.none() | st.sampled_from(GRAMMARS),
        st.sampled_from(["", "a", "b"]),
        st.sampled_from([0, 100, 200, 1000]),
        st.sampled_from(Priority),
        st.sampled_from([None, None, None, 0.0, 1e6]),
        st.integers(0, 12),  # sent before this turn
        st.none() | st.integers(0, 30),  # cancelled before this turn
    ),
    min_size=1,
    max_size=8,
)
POLICIES = st.fixed_dictionaries(
    {
        "prefix_cache": st.sampled_from(["exact", "full", "off"]),
        "speculate": st.booleans(),
        "kept_bytes": st.sampled_from([0, 2000, 1 << 20]),
        "slots": st.integers(1, 4),
        "budget": st.sampled_from([3, 24, 100, 200, 512]),
        "memory": st.sampled_from([None, None, 1]),
        "interruptions": st.lists(st.none() | st.integers(0, 30), max_size=30),
    }
)


def crowd(requests) -> list[Submit]:
    return [
        Submit(
            number,
            BASE[:common] + tail,
            most,
            sampling,
            grammar,
            tenant=tenant,
            shared=min(shared, common),
            priority=priority,
            deadline_s=deadline_s,
        )
        for number, (
            common,
            tail,
            most,
            sampling,
            grammar,
            tenant,
            shared,
            priority,
            deadline_s,
            *_,
        ) in enumerate(requests)
    ]


def alone(make_engine, asked: Submit, memory: int | None = None) -> Output:
    """What a request is answered where nothing is shared or guessed."""
    engine = make_engine(
        slots=1, budget=512, context=LONG, memory=memory, prefix_cache="off", speculate=False
    )
    [answer] = engine.serve(msgspec.structs.replace(asked, deadline_s=None))
    return answer


@settings(max_examples=120, deadline=None, derandomize=True)
@given(CROWDS, POLICIES)
def test_what_is_shared_guessed_or_broken_off_changes_no_answer(make_engine, requests, policy):
    submits = crowd(requests)
    engine = make_engine(context=LONG, **policy)
    cancelled: set[int] = set()
    for turn in range(31):
        for each in submits:
            if requests[each.id][-2] == turn:
                engine.send(each)
            if requests[each.id][-1] == turn and requests[each.id][-2] <= turn:
                engine.send(Cancel(each.id))
                cancelled.add(each.id)
        if engine.busy:
            engine.turn()
    engine.finish()

    assert all(step.batch_tokens <= policy["budget"] for step in engine.steps)
    assert all(step.running <= policy["slots"] for step in engine.steps)
    assert all(step.accepted <= step.drafted for step in engine.steps)
    assert all(step.kept_bytes <= policy["kept_bytes"] for step in engine.steps)
    assert engine.steps[-1].leaks == 0
    ends = Counter(output.id for step in engine.steps for output in step.outputs if output.finish)
    answers = {answer.id: answer for answer in engine.answers()}
    assert set(ends.values()) <= {1}
    assert answers.keys() | cancelled == {each.id for each in submits}
    for each in submits:
        answer = answers.get(each.id)
        if answer and answer.finish == "expired":
            assert each.deadline_s == 0
        elif answer:
            assert answer == alone(make_engine, each, policy["memory"])
