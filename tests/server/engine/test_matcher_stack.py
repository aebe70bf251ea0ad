"""Codes inside a grammar: what is written token by token, forced, drafted or forked is the same."""

import json
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.matcher import GrammarFault, Matcher
from server.engine.matcher_stack import CodeMatchers, MatcherStack
from server.grammar.code_pattern import code_grammar

END, ONE, OTHER = 256, 257, 258
PIECES = (
    b'":"',
    b'","',
    b'{"',
    b'"}',
    b'":',
    b"E1",
    b"E11",
    b".9",
    b"1.",
    b"null",
    b'"E',
    b'9"',
    b'",',
    b"19",
)
CODES = ["E11", "E11.9", "E11.65", "E10", "A00", "Z", "99"]
DRUGS = ["1191", "119", "E1", "5640"]
PLAIN = ["A", "AB"]
GRAMMAR = (
    f'start: "{{\\"code\\":" (null | "\\"" <[{ONE}]>) ",\\"drugs\\":[" (drug ("," drug){{0,2}})? "]"'
    f' (",\\"same\\":\\"" <[{ONE}]>)? "}}"\n'
    f'drug: "\\"" <[{OTHER}]>\n'
    'null: "null"\n'
)
SEEDS = st.integers(0, 2**32)


@pytest.fixture(scope="module")
def tokenizer(coded_tokenizer):
    return coded_tokenizer(*PIECES)


@pytest.fixture(scope="module")
def text_of(tokenizer):
    return lambda tokens: tokenizer.decode_bytes([token for token in tokens if token != END]).decode()


@pytest.fixture(scope="module")
def sets(tokenizer):
    return {
        placeholder: CodeMatchers(Matcher(tokenizer, code_grammar(codes)))
        for placeholder, codes in ((ONE, CODES), (OTHER, DRUGS))
    }


@pytest.fixture(scope="module")
def make(tokenizer, sets):
    return lambda grammar=GRAMMAR: MatcherStack(Matcher(tokenizer, grammar), sets)


def accepted(matcher: MatcherStack, tokens: list[int]) -> int:
    """How many of `tokens` a fork of `matcher` takes one after another."""
    fork = matcher.fork()
    for count, token in enumerate(tokens):
        try:
            fork.accept(token)
        except GrammarFault:
            return count
    return len(tokens)


def drafted(matcher: MatcherStack, random: Random) -> list[int]:
    """What might follow, mostly right; a placeholder or some other token among it at times."""
    fork, tokens = matcher.fork(), []
    while not fork.finished and len(tokens) < 8:
        tokens.append(random.choice(fork.allowed().ids.tolist()))
        fork.accept(tokens[-1])
    if tokens and random.random() < 0.5:
        tokens.insert(random.randrange(len(tokens)), random.choice([ONE, OTHER, ord("E"), ord('"'), 260]))
    return tokens


@settings(max_examples=150, deadline=None)
@given(SEEDS)
def test_whatever_is_written_holds_members_only_and_drafts_and_forks_agree(make, text_of, seed):
    random = Random(seed)
    matcher, written = make(), []
    while not matcher.finished:
        if random.random() < 0.3:
            matcher = matcher.fork()
        if random.random() < 0.3:
            draft = drafted(matcher, random)
            assert len(matcher.valid(draft)) == accepted(matcher, draft)
            assert matcher.valid(draft) == draft[: accepted(matcher, draft)]
        if random.random() < 0.3:
            stepwise = matcher.fork()
            forced = matcher.forced()
            for token in forced:
                assert stepwise.allowed().ids.tolist() == [token]
                stepwise.accept(token)
            assert stepwise.finished == matcher.finished
            written += forced
            continue
        ids = matcher.allowed().ids.tolist()
        assert not {ONE, OTHER} & set(ids)
        written.append(random.choice(ids))
        matcher.accept(written[-1])

    document = json.loads(text_of(written))
    assert document["code"] is None or document["code"] in CODES
    assert set(document["drugs"]) <= set(DRUGS)
    assert document.get("same", "Z") in CODES


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("whole", [True, False])
def test_every_member_can_be_written_however_it_is_cut(make, tokenizer, code, whole):
    matcher = make()
    text = f'{{"code":"{code}","drugs":["119","5640"],"same":"{code}"}}'
    before = '{"code":"'
    tokens = tokenizer.tokenize_str(before) + list(f'{code}"'.encode())
    rest = text[len(before) + len(code) + 1 :].encode()
    tokens += list(rest)
    if whole:
        assert matcher.valid(tokens) == tokens
    for token in tokens:
        matcher.accept(token)
    assert matcher.finished


@pytest.mark.parametrize(
    "text", ['"E12"', '"E1"', '"e11"', '""', '"E11.9.9"', '"1191"', "nul1", "119", '"nul']
)
def test_what_is_no_member_is_refused(make, text):
    tokens = list(f'{{"code":{text},'.encode())
    assert len(make().valid(tokens)) < len(tokens)
    assert accepted(make(), tokens) == len(make().valid(tokens))


def test_after_a_refusal_nothing_is_vouched_for(make):
    matcher = make()
    for token in b'{"code":"E1':
        matcher.accept(token)
    with pytest.raises(GrammarFault):
        matcher.accept(ord("x"))
    for ask in (
        matcher.allowed,
        matcher.forced,
        lambda: matcher.accept(ord("1")),
        lambda: matcher.valid([1]),
    ):
        with pytest.raises(GrammarFault):
            ask()
    assert not matcher.finished


@pytest.mark.parametrize("placeholder", [ONE, OTHER])
def test_a_placeholder_is_no_token_of_an_answer(make, placeholder):
    matcher = make()
    for token in b'{"code":"':
        matcher.accept(token)
    assert matcher.valid([placeholder]) == []
    assert placeholder not in matcher.allowed()
    with pytest.raises(GrammarFault):
        matcher.accept(placeholder)


def test_what_stands_alone_may_be_a_code(make, text_of):
    matcher = make(f'start: "\\"" <[{ONE}]>')
    written = matcher.forced()
    for token in b'E11"':
        assert not matcher.finished
        matcher.accept(token)
        written.append(token)
    assert text_of(written) == '"E11"'
    assert matcher.finished


def test_the_one_member_of_a_set_is_forced_with_what_follows(tokenizer, text_of):
    only = {ONE: CodeMatchers(Matcher(tokenizer, code_grammar(["E11.9"])))}
    matcher = MatcherStack(Matcher(tokenizer, f'start: "[\\"" <[{ONE}]> ",\\"" <[{ONE}]> "]"'), only)
    assert text_of(matcher.forced()) == '["E11.9","E11.9"]'
    assert matcher.finished


def test_two_readings_of_one_token_are_a_fault(make):
    matcher = make(f'start: "\\"" (<[{ONE}]> | <[{OTHER}]>)')
    matcher.accept(ord('"'))
    with pytest.raises(GrammarFault):
        matcher.allowed()


def test_a_code_that_ends_where_another_goes_on_is_told_by_its_end(tokenizer):
    codes = CodeMatchers(Matcher(tokenizer, code_grammar(PLAIN)))
    for code in PLAIN:
        matcher = codes.matcher()
        for token in f'{code}"'.encode():
            assert not matcher.finished
            matcher.accept(token)
        assert matcher.finished
    assert codes.matcher().allowed().ids.tolist() == codes.first.ids.tolist()
