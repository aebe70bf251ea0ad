"""Code sets in the engine: compiled beside its turns, then used by any number of requests."""

import importlib
import json
import threading
import warnings
from random import Random

import pytest

from server.engine.code_sets import CodeSets, CodeSetUnready, UnknownCodeSet
from server.engine.matcher import Matcher
from server.engine.matcher_stack import CodeMatchers, MatcherStack
from server.engine.protocol import CodeSet, CodeSetReady, Sampling, Submit
from server.grammar.code_pattern import code_grammar

END, ONE, OTHER = 256, 257, 258
CODES = ["E11", "E11.9", "E10.65", "A00", "Z99"]
SET = CodeSet("icd", code_grammar(CODES))
GRAMMAR = f'start: "[\\"" <[{ONE}]> ",\\"" <[{ONE}]> "]"'


@pytest.fixture
def tokenizer(coded_tokenizer):
    return coded_tokenizer()


@pytest.fixture
def defined(tokenizer):
    """Code sets of which one is sent, and what was reported of it."""
    reports: list[CodeSetReady] = []
    told = threading.Event()

    def report(ready: CodeSetReady) -> None:
        reports.append(ready)
        told.set()

    def define(code_set: CodeSet) -> tuple[CodeSets, list[CodeSetReady]]:
        sets = CodeSets(tokenizer, report)
        sets.define(code_set)
        assert told.wait(10)
        return sets, reports

    return define


def test_what_was_sent_is_ready_when_that_is_told(defined):
    sets, reports = defined(SET)
    assert [(each.name, each.fault) for each in reports] == [("icd", "")]
    sets.check({ONE: "icd"})


def test_a_set_that_cannot_be_compiled_is_told_and_refused(defined):
    sets, reports = defined(CodeSet("icd", "no grammar"))
    assert reports[0].fault
    with pytest.raises(UnknownCodeSet):
        sets.check({ONE: "icd"})


def test_a_set_is_not_ready_while_it_is_compiled(tokenizer):
    sets = CodeSets(tokenizer, list[CodeSetReady]().append)
    with sets._one_at_a_time:
        sets.define(SET)
        with pytest.raises(CodeSetUnready):
            sets.check({ONE: "icd"})


@pytest.mark.parametrize(
    "wanted", [{ONE: "loinc"}, {ord("a"): "icd"}, {END: "icd"}, {-1: "icd"}, {9999: "icd"}]
)
def test_what_is_not_there_or_could_be_in_an_answer_is_refused(defined, wanted):
    sets, _ = defined(SET)
    with pytest.raises(UnknownCodeSet):
        sets.check(wanted)


def test_a_grammar_without_codes_is_left_as_it_is(defined, tokenizer):
    sets, _ = defined(SET)
    main = Matcher(tokenizer, "start: /a/")
    assert sets.stack(main, {}) is main


def asked(number: int, **options) -> Submit:
    sampling = options.pop("sampling", Sampling(temperature=1.0, seed=number))
    return Submit(number, [1, 2, 3, number], 40, sampling, GRAMMAR, code_sets={ONE: "icd"}, **options)


@pytest.fixture
def make_coded_engine(make_engine, tokenizer):
    def make(**sizes):
        engine = make_engine(tokenizer=tokenizer, context=64, **sizes)
        engine.send(SET)
        engine.turn()
        assert not engine.wait_report().fault
        return engine

    return make


def test_answers_of_the_engine_hold_members_only(make_coded_engine):
    engine = make_coded_engine(slots=3)
    answers = engine.serve(*map(asked, range(20)))
    assert {answer.finish for answer in answers} == {"stop"}
    for answer in answers:
        found = json.loads(bytes(token for token in answer.tokens if token != END))
        assert len(found) == 2
        assert set(found) <= set(CODES)


@pytest.mark.parametrize("memory", [None, 2])
def test_drafts_change_nothing(make_coded_engine, memory):
    told = []
    for speculate in (True, False):
        engine = make_coded_engine(slots=2, memory=memory, speculate=speculate)
        answers = engine.serve(*(asked(number, sampling=Sampling()) for number in range(8)))
        told.append(sorted((answer.id, answer.tokens, answer.finish) for answer in answers))
    assert told[0] == told[1]


def test_with_logprobs_nothing_is_forced_and_the_codes_are_members(make_coded_engine):
    engine = make_coded_engine()
    (answer,) = engine.serve(asked(1, sampling=Sampling(temperature=1.0, seed=1, logprobs=1)))
    assert set(json.loads(bytes(answer.tokens))) <= set(CODES)


def test_a_request_that_comes_too_early_is_told_so(make_engine, tokenizer):
    engine = make_engine(tokenizer=tokenizer, context=64)
    with engine._loop._code_sets._one_at_a_time:
        engine.send(SET)
        (answer,) = engine.serve(asked(1))
    assert (answer.finish, answer.tokens) == ("unready", [])
    engine.wait_report()
    assert engine.serve(asked(2))[-1].finish == "stop"


def test_an_answer_cut_short_within_a_code_ends_as_any_other(make_coded_engine):
    engine = make_coded_engine()
    short = asked(1)
    short = Submit(1, short.tokens, 4, short.sampling, GRAMMAR, code_sets={ONE: "icd"})
    (answer,) = engine.serve(short)
    assert answer.finish == "length"
    assert engine.serve(asked(2))[-1].finish == "stop"


@pytest.fixture(scope="module")
def icd():
    """ICD-10-CM, as a package has it that reads its own data in a deprecated way."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return importlib.import_module("simple_icd_10_cm")


@pytest.mark.filterwarnings("ignore:llama_token:DeprecationWarning")
def test_all_billable_codes_of_icd_10_cm_can_be_served(vocabulary, icd):
    codes = list({code: None for code in icd.get_all_codes() if icd.is_leaf(code)})
    assert len(codes) > 70_000
    tokenizer = vocabulary.guidance_tokenizer()
    placeholder = vocabulary.placeholders[0]
    sets = {placeholder: CodeMatchers(Matcher(tokenizer, code_grammar(codes)))}
    grammar = f'start: "{{\\"code\\":\\"" <[{placeholder}]> "}}"'

    for code in [codes[0], codes[-1], *Random(1).sample(codes, 60)]:
        matcher = MatcherStack(Matcher(tokenizer, grammar), sets)
        assert vocabulary.piece(matcher.forced()[-1]) == b'":"'
        for token in vocabulary.tokenize(f'{code}"', control=False):
            matcher.accept(token)
        matcher.forced()
        assert matcher.finished

    for category in Random(1).sample([code for code in icd.get_all_codes() if not icd.is_leaf(code)], 60):
        matcher = MatcherStack(Matcher(tokenizer, grammar), sets)
        matcher.forced()
        tokens = vocabulary.tokenize(f'{category}"', control=False)
        assert len(matcher.valid(tokens)) < len(tokens)
