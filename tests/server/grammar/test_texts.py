"""Choices, regexes and Lark grammars, over bytes and over the vocabulary of real weights."""

from contextlib import suppress
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.engine.matcher import Matcher
from server.errors import InvalidGrammar
from server.grammar.texts import (
    MAX_CHOICE_CHARACTERS,
    MAX_REGEX_CHARACTERS,
    compile_choice,
    compile_lark,
    compile_regex,
)

pytestmark = pytest.mark.filterwarnings("ignore:llama_token:DeprecationWarning")

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
LONGEST_COMPILE_S = 3


@pytest.fixture(scope="module")
def tokenizer(vocabulary):
    return vocabulary.guidance_tokenizer()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.lists(TEXTS, min_size=1, max_size=5), TEXTS)
def test_a_choice_is_one_of_the_texts_and_nothing_else(accepts, choices, other):
    grammar = compile_choice(choices).text
    assert all(accepts(grammar, choice) for choice in choices)
    assert accepts(grammar, other) == (other in choices)


def test_choices_that_are_too_long_are_refused():
    with pytest.raises(InvalidGrammar, match="longer than"):
        compile_choice(["a" * MAX_CHOICE_CHARACTERS, "b"])


def test_many_choices_compile_in_time():
    started = perf_counter()
    compile_choice([f"choice number {number}" for number in range(6_000)])
    assert perf_counter() - started < LONGEST_COMPILE_S


@pytest.mark.parametrize(
    "pattern, yes, no",
    [
        ("^a$", ["a"], ["^a$", "ba", "ab", "a\n"]),
        (r"\Aa|^b\z", ["a", "b"], ["ab", "xb"]),
        ("[A-Z][0-9]{2}", ["J18"], ["j18", "J1", "J181", "xJ18"]),
        ("(?i)yes|no", ["YES", "No"], ["maybe"]),
        (r"\d+", ["12", "٣"], ["a", "½"]),
        (r"[0-9]+", ["12"], ["٣"]),
        (r"\p{Lu}\p{Ll}*", ["Élan"], ["élan"]),
        (r"a\.b", ["a.b"], ["axb"]),
        (".", ["é", "🙂"], ["\n", "ab"]),
        ("(?s).", ["\n"], [""]),
        ("a|", ["a", ""], ["b"]),
        ("/", ["/"], [""]),
        ('"', ['"'], [""]),
    ],
)
def test_a_regex_is_matched_as_a_whole_in_rusts_dialect(accepts, pattern, yes, no):
    grammar = compile_regex(pattern).text
    assert [text for text in yes if not accepts(grammar, text)] == []
    assert [text for text in no if accepts(grammar, text)] == []


@pytest.mark.parametrize(
    "pattern",
    [
        "a^b",
        "a$b",
        "x(^a|b)",
        "(?m)^a",
        r"\bword\b",
        "(?=a)b",
        "(?!a)b",
        "(?<=a)b",
        r"(a)\1",
        "(",
        "a)|(b",
        "[z-a]",
        "a{2,1}",
        r"\xff(?-u:\xff)",
        "(?-u:.)",
        r"(?-u)\xff",
        "x" * (MAX_REGEX_CHARACTERS + 1),
    ],
    ids=lambda pattern: pattern[:12],
)
def test_a_regex_that_cannot_be_forced_exactly_is_refused(pattern):
    with pytest.raises(InvalidGrammar) as caught:
        compile_regex(pattern)
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 300


@pytest.mark.parametrize(
    "pattern",
    ["(a{1000}){1000}", "((((a{10}){10}){10}){10}){10}", "(a|b|ab)*c{5000}", "(x+x+)+y", "[a-z]{1,5000}" * 3],
)
def test_an_expensive_regex_is_compiled_or_refused_in_time(pattern):
    started = perf_counter()
    with suppress(InvalidGrammar):
        compile_regex(pattern)
    assert perf_counter() - started < LONGEST_COMPILE_S


def test_a_grammar_of_arithmetic(accepts):
    grammar = compile_lark(
        r"""
        start: sum
        sum: term (("+" | "-") term)*   // left to right
        term: NUMBER | "(" sum ")"
        %import common.INT -> NUMBER
        """
    ).text
    assert accepts(grammar, "1+(2-3)")
    assert not accepts(grammar, "1+(2-3")


@pytest.mark.parametrize(
    "grammar",
    [
        "",
        "start: missing",
        "begin: /a/",
        "start: start",
        'start: "a" start',
        "start: /(?=a)b/",
        "start: A\nA: A",
    ],
)
def test_a_grammar_that_cannot_be_forced_is_refused(grammar):
    with pytest.raises(InvalidGrammar) as caught:
        compile_lark(grammar)
    assert "\n" not in caught.value.message


def control_tokens(vocabulary) -> set[int]:
    return {
        token
        for text in vocabulary.control_texts
        for token in vocabulary.tokenize(text, control=True)
        if token not in vocabulary.end_of_generation
    }


@pytest.mark.parametrize(
    "pattern", ["(?s).*", r"[^a]*", r"\P{L}*", r"(?s).*<\|im_start\|>.*", "(<|im_end|>)*x"]
)
def test_no_regex_lets_a_control_token_through(vocabulary, tokenizer, pattern):
    assert not let_through(vocabulary, Matcher(tokenizer, compile_regex(pattern).text))


@pytest.mark.parametrize("text", ["<|im_start|>", "<|im_end|>", "\ufffd", "\xff"])
def test_a_control_text_is_written_as_text(vocabulary, tokenizer, text):
    for grammar in (
        compile_choice([text, "other"]),
        compile_choice([text]),
        compile_lark(f'start: "{text}"'),
    ):
        matcher = Matcher(tokenizer, grammar.text)
        assert not let_through(vocabulary, matcher)
        written = matcher.forced()
        while not matcher.finished:
            ids = [int(each) for each in matcher.allowed().ids if each not in vocabulary.end_of_generation]
            if not ids:
                break
            best = max(
                ids, key=lambda each: len(vocabulary.piece(each)) * (vocabulary.piece(each)[:1] != b"o")
            )
            matcher.accept(best)
            written += [best, *matcher.forced()]
        assert control_tokens(vocabulary).isdisjoint(written)
        plain = [each for each in written if each not in vocabulary.end_of_generation]
        assert b"".join(map(vocabulary.piece, plain)).decode() == text


def let_through(vocabulary, matcher: Matcher) -> set[int]:
    return control_tokens(vocabulary) & set(matcher.allowed().ids.tolist())
