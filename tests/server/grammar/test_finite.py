import pytest

from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema

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
