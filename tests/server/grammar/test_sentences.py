import pytest

from server.errors import InvalidGrammar
from server.grammar.texts import compile_lark


@pytest.mark.parametrize(
    "grammar",
    [
        "start: start",
        'start: "a" start',
        'start: "a" b | start "c"\nb: "d" start\n | start',
        'start: ("a" start)+ "b"',
        'start: ("a" start)~1..3',
        'start: ("a" start){1,3}',
        'start: ("a" | "b") start',
        'start: a\na: "x" b\nb: "y" a',
    ],
)
def test_a_grammar_without_a_sentence_that_ends_is_refused(grammar):
    with pytest.raises(InvalidGrammar, match="none of its sentences ends"):
        compile_lark(grammar)


@pytest.mark.parametrize(
    "grammar",
    [
        'start: "a" start?',
        'start: "a" start | "b"',
        'start: "a" start\n  | "b"',
        'start: ("a" start)*',
        'start: "a" ["b" start]',
        'start: ("a" start)~0..3',
        'start: ("a" start){0,3} "b"',
        'start: ("a" start){,3} "b"',
        'start: b "c"\nb: "(" start ")" -> nested\n | A\nA: "x"+',
        "?start: a\n!a: /b/\n%ignore / /",
        '%import common.INT\nstart: (INT | "(" start ")") ("+" start)?',
    ],
)
def test_a_grammar_that_may_end_is_taken(grammar):
    assert compile_lark(grammar).text
