import pytest

from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema
from server.grammar.shortest import TooLong, shortest_document

NODE = {"type": "object", "properties": {"next": {"$ref": "#/$defs/node"}}, "additionalProperties": False}


def with_node(node: dict) -> dict:
    return {"$ref": "#/$defs/node", "$defs": {"node": node}}


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        with_node(NODE | {"required": ["next"]}),
        with_node({"type": "array", "items": {"$ref": "#/$defs/node"}, "minItems": 1}),
        with_node({"anyOf": [{"$ref": "#/$defs/node"}, NODE | {"required": ["next"]}]}),
    ],
)
def test_a_schema_without_a_document_that_ends_is_refused(schema):
    with pytest.raises(InvalidGrammar):
        compile_json_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        with_node(NODE),
        with_node({"type": "array", "items": {"$ref": "#/$defs/node"}}),
        with_node({"anyOf": [{"type": "null"}, NODE | {"required": ["next"]}]}),
        {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a", "b"]},
    ],
)
def test_a_schema_that_may_end_is_taken(schema):
    assert compile_json_schema(schema).text


DAG = {f"d{n}": {"type": "array", "items": {"$ref": f"#/$defs/d{n + 1}"}, "minItems": 9} for n in range(30)}


@pytest.mark.parametrize(
    "schema, expected",
    [
        (True, "0"),
        (False, None),
        ({"type": "string", "minLength": 3}, '"   "'),
        ({"enum": ["long", 1, None]}, "1"),
        ({"type": ["string", "null"]}, '""'),
        ({"const": {"a": [1, "ä"]}}, '{"a":[1,"ä"]}'),
        (
            {"type": "array", "prefixItems": [{"const": "x"}], "items": {"type": "null"}, "minItems": 3},
            '["x",null,null]',
        ),
        (
            {"allOf": [{"type": "object", "required": ["a"]}, {"type": "object", "required": ["bc"]}]},
            '{"bc":0}',
        ),
        ({"anyOf": [{"const": "long"}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"const": 1}}}, "0"),
        (
            {
                "$ref": "#/$defs/a",
                "$defs": {
                    "a": {"anyOf": [{"$ref": "#/$defs/b"}, {"const": "x"}]},
                    "b": {
                        "type": "object",
                        "properties": {"a": {"$ref": "#/$defs/a"}},
                        "required": ["a"],
                    },
                },
            },
            '"x"',
        ),
    ],
)
def test_nothing_shorter_fits(schema, expected):
    assert shortest_document(schema) == expected


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "minLength": 10**9},
        {"type": "array", "minItems": 10**6},
        {"$ref": "#/$defs/d0", "$defs": {**DAG, "d30": {"type": "null"}}},
    ],
)
def test_what_no_answer_could_hold_is_told_at_once(schema):
    with pytest.raises(TooLong):
        shortest_document(schema)


def test_a_reference_to_nowhere_is_left_to_the_compiler():
    assert shortest_document({"$ref": "#/$defs/missing"}) == "0"
