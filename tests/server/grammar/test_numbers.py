import pytest

from server.errors import InvalidGrammar
from server.grammar.compiler import compile_json_schema
from server.grammar.numbers import with_safe_bounds


@pytest.mark.parametrize(
    "schema, yes, no",
    [
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 0.5}, "0.25", "0"),
        ({"type": "number", "exclusiveMaximum": 1}, "0.999", "0.99999999999999999999"),
        ({"type": "number", "exclusiveMaximum": 1}, "0.9", "1.0"),
        ({"type": "number", "exclusiveMaximum": 0, "minimum": -0.5}, "-0.25", "-0"),
        ({"type": "number", "exclusiveMinimum": -1}, "-0.9", "-0.99999999999999999999"),
        ({"type": "number", "exclusiveMinimum": 1, "maximum": 1.5}, "1.2", "1"),
        ({"type": "number", "exclusiveMinimum": 0.1}, "0.11", "0.10000000000000000001"),
        ({"type": "integer", "exclusiveMinimum": 4, "exclusiveMaximum": 6}, "5", "6"),
        ({"exclusiveMinimum": 4}, "5", "4"),
        (
            {
                "$schema": "http://json-schema.org/draft-04/schema#",
                "type": "number",
                "minimum": 0,
                "exclusiveMinimum": True,
            },
            "0.5",
            "0",
        ),
    ],
)
def test_a_bound_that_is_excluded_is_not_reached(accepts, schema, yes, no):
    text = compile_json_schema(schema).text
    assert accepts(text, yes)
    assert not accepts(text, no)


def test_the_stricter_of_two_bounds_holds():
    assert with_safe_bounds({"minimum": 5, "exclusiveMinimum": 1}) == {"minimum": 5}
    assert with_safe_bounds({"type": "integer", "maximum": 5, "exclusiveMaximum": 5.5}) == {
        "type": "integer",
        "maximum": 5,
    }


@pytest.mark.parametrize(
    "schema",
    [
        {"const": 2**53 + 1},
        {"enum": [1, {"a": [2**64]}]},
        {"const": 0.12345678901234567},
        {"type": "integer", "minimum": 2**53 + 1},
        {"type": "number", "exclusiveMinimum": 123456789012.5},
        {"allOf": [{"multipleOf": 65536}, {"multipleOf": 65537}]},
        {"type": "integer", "multipleOf": 1_000_000_007},
    ],
)
def test_numbers_that_would_come_back_as_others_are_refused(schema):
    with pytest.raises(InvalidGrammar):
        compile_json_schema(schema)
