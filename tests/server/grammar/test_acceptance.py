import pytest

from server.grammar.acceptance import accepts
from server.grammar.compiler import compile_json_schema
from server.grammar.texts import compile_lark, compile_regex


@pytest.mark.parametrize("text, expected", [("ab", True), ("a", False), ("abc", False), ("", False)])
def test_only_whole_sentences_are_accepted(text, expected):
    assert accepts(compile_regex("a[bx]"), text) is expected


def test_what_may_go_on_may_also_end():
    grammar = compile_regex("[é🙂]*")
    assert accepts(grammar, "")
    assert accepts(grammar, "é🙂é")
    assert not accepts(grammar, "e")


def test_grammars_and_documents():
    assert accepts(compile_lark('start: "a" start? "b"'), "aabb")
    assert not accepts(compile_lark('start: "a" start? "b"'), "aab")
    assert accepts(compile_json_schema({"type": "array", "items": {"type": "integer"}}), "[1,2]")
