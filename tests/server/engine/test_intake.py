import math

import pytest

from server.engine.code_sets import CodeSets
from server.engine.intake import Intake, Refused
from server.engine.matcher import GrammarFault, Matcher
from server.engine.protocol import CodeSetReady, Priority, Sampling, Submit, Warm
from server.engine.sequence import Sequence
from server.grammar.compiler import compile_json_schema

END = 256
CONTEXT = 512
FIXED = compile_json_schema({"const": "fixed"}).text


@pytest.fixture
def code_sets(byte_tokenizer) -> CodeSets:
    return CodeSets(byte_tokenizer, list[CodeSetReady]().append)


@pytest.fixture
def intake(make_backend, code_sets) -> Intake:
    return Intake(make_backend(context_tokens=CONTEXT), code_sets, speculate=True)


@pytest.fixture
def constrained(intake, byte_tokenizer):
    """Makes a sequence that has got its grammar."""

    def make(submit: Submit) -> Sequence:
        made = intake.sequence(submit)
        intake.constrain(made, Matcher(byte_tokenizer, submit.grammar))
        return made

    return make


def refusal(intake: Intake, submit: Submit):
    with pytest.raises(Refused) as caught:
        intake.sequence(submit)
    return caught.value.output


def test_a_request_becomes_a_sequence(intake):
    asked = Submit(7, [1, 2, 3], 5, tenant="ward", shared=2, priority=Priority.BULK)
    made = intake.sequence(asked)
    assert (made.id, made.tokens, made.prompt_length, made.max_tokens) == (7, [1, 2, 3], 3, 5)
    assert (made.tenant, made.shared, made.priority) == ("ward", 2, Priority.BULK)
    assert (made.slot, made.cached, made.finish) == (-1, 0, None)
    assert asked.tokens is not made.tokens


@pytest.mark.parametrize("length, most", [(0, 5), (5, 0), (5, -1), (CONTEXT, 1), (1, CONTEXT)])
def test_what_does_not_fit_is_rejected(intake, length, most):
    answer = refusal(intake, Submit(7, [1] * length, most))
    assert (answer.id, answer.finish, answer.tokens) == (7, "rejected", [])


@pytest.mark.parametrize("token", [-1, END + 1, 2**31])
def test_what_is_no_token_is_rejected(intake, token):
    assert refusal(intake, Submit(7, [1, token, 2], 5)).finish == "rejected"
    assert refusal(intake, Submit(7, [1], 5, Sampling(logit_bias={token: 1.0}))).finish == "rejected"


@pytest.mark.parametrize("bias", [101.0, -math.inf, math.nan])
def test_a_bias_beyond_reason_is_rejected(intake, bias):
    assert refusal(intake, Submit(7, [1], 5, Sampling(logit_bias={1: bias}))).finish == "rejected"


def test_a_broken_grammar_ends_the_sequence(intake):
    made = intake.sequence(Submit(7, [1], 5, grammar="no grammar"))
    intake.constrain(made, GrammarFault("the matcher failed"))
    assert (made.finish, made.detail) == ("grammar_error", "the matcher failed")


def test_a_code_set_that_nobody_sent_is_rejected(intake):
    asked = Submit(7, [1], 5, grammar=FIXED, code_sets={END: "icd"})
    assert refusal(intake, asked).finish == "rejected"


def test_what_a_grammar_forces_at_once_is_there_at_once(constrained):
    made = constrained(Submit(7, [1], 5, grammar='start: "ab" /[cd]/'))
    assert (made.tokens, made.generated, made.finish) == ([1, *b"ab"], 2, None)
    assert constrained(Submit(7, [1], 50, grammar=FIXED)).finish == "stop"
    assert constrained(Submit(7, [1], 3, grammar=FIXED)).finish == "length"


def test_where_logprobs_are_asked_for_every_token_is_sampled(constrained):
    made = constrained(Submit(7, [1], 50, Sampling(logprobs=1), grammar=FIXED))
    assert (made.generated, made.finish) == (0, None)


@pytest.mark.parametrize("speculate, trimmable", [(True, True), (True, False), (False, True)])
def test_drafts_need_a_backend_that_can_take_them_back(make_backend, code_sets, speculate, trimmable):
    backend = make_backend()
    backend.trimmable = trimmable
    made = Intake(backend, code_sets, speculate=speculate).sequence(Submit(7, [1], 5))
    assert (made.lookup is not None) == (speculate and trimmable)


@pytest.mark.parametrize("grammar", [None, "start: /a+/"])
def test_who_answers_alike_learns_from_those_before(intake, grammar):
    kinds = [None, "start: /a+/"]
    untaught = intake.sequence(Submit(1, [1], 5)).lookup.acceptance
    first = intake.sequence(Submit(2, [1], 5, grammar=grammar))
    for _ in range(100):
        first.lookup.learn([1, 2], [3])
    for kind in kinds:
        fresh = intake.sequence(Submit(3, [1], 5, grammar=kind)).lookup.acceptance
        assert fresh < 0.1 if kind == grammar else fresh == untaught


@pytest.mark.parametrize(
    "length, warmed",
    [(65, 64), (128, 64), (129, 128), (192, 128), (256, 128), (257, 256), (300, 256), (CONTEXT, 384)],
)
def test_what_lies_before_the_last_cut_is_warmed(intake, length, warmed):
    made = intake.warm_up(Warm([1] * length), -3)
    assert (made.id, made.warming, made.prefill_length) == (-3, True, warmed)
    assert made.shared >= made.prefill_length


@pytest.mark.parametrize("length", [0, 1, 64, CONTEXT + 1, 5000])
def test_what_cannot_be_warmed_is_left(intake, length):
    assert intake.warm_up(Warm([1] * length), -1) is None
