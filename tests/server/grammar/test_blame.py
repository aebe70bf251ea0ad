import re

import pytest

from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema

DEEP = {
    "properties": {"a": {"items": {"anyOf": [{"type": "null"}, {"type": "string", "pattern": "^(?=b)c$"}]}}}
}


@pytest.mark.parametrize(
    "schema, place",
    [
        ({"not": {}}, "#/not"),
        ({"properties": {"x": {"type": "array", "uniqueItems": True}}}, "#/properties/x/uniqueItems"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"if": {}, "then": {}}}}, "#/$defs/a/if"),
        (DEEP, "#/properties/a/items/anyOf/1"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "string", "format": "nothing"}}}, "#/$defs/a"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "#"),
    ],
)
def test_a_refusal_names_the_part_at_fault(schema, place):
    with pytest.raises(InvalidGrammar, match=re.escape(f"{place} cannot be forced")):
        compile_json_schema(schema)


def test_names_that_look_like_keywords_are_not_blamed():
    schema = {"properties": {"not": {"type": "string"}, "if": {"type": "string", "format": "nothing"}}}
    with pytest.raises(InvalidGrammar, match="#/properties/if cannot"):
        compile_json_schema(schema)
