import json
import re

import pytest

from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema
from server.grammar.patterns import is_wider_for_names, needs_ascii


def grammar(pattern: str) -> str:
    return compile_json_schema({"type": "string", "pattern": pattern}).text


@pytest.mark.parametrize(
    "pattern",
    ["[a[b]]", "[^a&&b]", "[[:alpha:]]", "a*+a", "\\Aa", "a\\Z", "(?s).", "x{,3}", "("],
)
def test_what_dialects_read_differently_is_refused(pattern):
    with pytest.raises(InvalidGrammar, match="pattern cannot be forced"):
        grammar(pattern)


@pytest.mark.parametrize(
    "pattern", ["^[^,]*$", "^\\d{3}\\\\D$", "^(?:a|b)+?$", "^[]^-]$", "(?i)ab", "^[\\w.+-]+$"]
)
def test_what_all_read_alike_is_taken(pattern):
    assert grammar(pattern)


@pytest.mark.parametrize(
    "pattern, sign", [("^\\D$", "٣"), ("^[^\\d]$", "٣"), ("^\\W$", "é"), ("^[\\W\\d]$", "é")]
)
def test_no_sign_is_let_through_that_python_refuses(accepts, pattern, sign):
    assert not re.search(pattern, sign)
    assert not accepts(grammar(pattern), json.dumps(sign, ensure_ascii=False))
    assert accepts(grammar(pattern), '"-"')


def test_an_escaped_backslash_is_no_class():
    assert needs_ascii("\\D")
    assert not needs_ascii("\\\\D")
    assert not needs_ascii("[^D]")


@pytest.mark.parametrize("pattern, expected", [("^x-", False), ("^\\w+", True), ("a$", True), ("[$]", False)])
def test_names_beside_a_pattern(accepts, pattern, expected):
    assert is_wider_for_names(pattern) == expected
    schema = {"type": "object", "patternProperties": {pattern: {"type": "integer"}}}
    assert accepts(compile_json_schema(schema).text, '{"é":"x"}') != expected


@pytest.mark.parametrize("sign, good", [("a", True), ('"', False), ("\\", False), ("\n", True)])
def test_what_a_class_leaves_out_is_not_written_as_an_escape(accepts, sign, good):
    assert accepts(grammar('^[^"\\\\]$'), json.dumps(sign)) == good
