import pytest

from server.grammar.marked import MarkedParts, resolved, without_marks

QUOTE = {"type": "string", "x-quote-of": "text"}


@pytest.mark.parametrize(
    "schema",
    [
        QUOTE,
        {"x-max-words": 3},
        {"type": "object", "properties": {"a": QUOTE}},
        {"anyOf": [{"type": "null"}, QUOTE]},
        {"not": QUOTE},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": QUOTE}},
        {"$ref": "#/properties/a", "properties": {"a": QUOTE}},
    ],
)
def test_a_mark_is_found_wherever_it_stands(schema):
    assert schema in MarkedParts(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string"},
        {"properties": {"x-quote-of": {"type": "string"}}},
        {"const": QUOTE},
        {"enum": [QUOTE]},
        {"type": "null", "$defs": {"a": QUOTE}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
        {"$ref": "http://example.org/a"},
        {"$ref": "#/$defs/missing"},
    ],
)
def test_what_only_looks_like_a_mark_is_none(schema):
    assert schema not in MarkedParts(schema)


def test_marks_are_taken_out_and_nothing_else():
    schema = {"properties": {"x-quote-of": QUOTE | {"x-max-words": 3}}, "const": {"x-quote-of": 1}}
    assert without_marks(schema) == {
        "properties": {"x-quote-of": {"type": "string"}},
        "const": {"x-quote-of": 1},
    }


def test_a_pointer_leads_to_a_part():
    root = {"$defs": {"a/b": {"~": 1}}}
    assert resolved("#/$defs/a~1b", root) == {"~": 1}
    assert resolved("#/$defs/a~1b/~0", root) == 1
    assert resolved("#", root) is root
    assert resolved("#/$defs/c", root) is None
