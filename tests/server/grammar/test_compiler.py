import json
from typing import Any, Literal

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from outlines.types import CFG, Regex
from pydantic import BaseModel

from server.errors import InvalidGrammar
from server.grammar.compiler import (
    ANY_OBJECT,
    MAX_SCHEMA_CHARACTERS,
    compile_json_schema,
    compile_output_type,
)

SCHEMAS: list[dict[str, Any]] = [
    {"const": 'héllo "\\\n'},
    {"const": {"a": [1, None]}},
    {"enum": ["a", "ab", 1, True, None, "\u2028"]},
    {"type": "boolean"},
    {"type": "null"},
    {"type": "integer", "minimum": -3, "maximum": 120},
    {"type": "number", "minimum": 0, "maximum": 1},
    {"type": "string", "minLength": 2, "maxLength": 5},
    {"type": "string", "pattern": "^[A-Z][0-9]{2}(\\.[0-9]{1,4})?$"},
    {"type": "string", "format": "date"},
    {"type": "array", "items": {"type": "boolean"}, "minItems": 1, "maxItems": 3},
    {"type": ["integer", "null"], "maximum": 5, "minimum": 0},
    {"anyOf": [{"type": "boolean"}, {"const": "unknown"}]},
    {"$ref": "#/$defs/unit", "$defs": {"unit": {"enum": ["mg", "ml"]}}},
    {
        "type": "object",
        "properties": {
            "title": {"type": "string", "maxLength": 3},
            "läge": {"enum": ["på", "av"]},
            "deep": {
                "type": "object",
                "properties": {"x": {"type": "boolean"}},
                "required": ["x"],
                "additionalProperties": False,
            },
        },
        "required": ["title", "läge"],
        "additionalProperties": False,
    },
]

REFUSED: list[dict[str, Any]] = [
    {"type": "string", "minLength": 5, "maxLength": 2},
    {"type": "integer", "minimum": 5, "maximum": 2},
    {"type": "array", "minItems": 3, "maxItems": 1},
    {"type": "array", "uniqueItems": True},
    {"enum": []},
    {"allOf": [{"const": 1}, {"const": 2}]},
    {"type": "object", "required": ["a"], "additionalProperties": False},
    {"$ref": "http://example.org/schema.json"},
    {"$ref": "file:///etc/passwd"},
    {"$ref": "#/$defs/missing"},
    {"not": {"type": "string"}},
    {"if": {"type": "string"}, "then": {"minLength": 1}},
    {"type": "string", "pattern": "^(?=a)b$"},
    {"type": "string", "pattern": "^(a)\\1$"},
    {"type": "string", "pattern": "("},
    {"type": "string", "pattern": "[z-a]"},
    {"type": "string", "format": "no such format"},
    {"type": "no such type"},
    {"type": 3},
    {"type": "string", "minLength": -1},
    {"properties": []},
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=json.dumps)
@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 2**32))
def test_whatever_is_written_fits_the_schema(walk, schema, seed):
    jsonschema.validate(json.loads(walk(compile_json_schema(schema).text, seed)), schema)


@pytest.mark.parametrize(
    "text", ['{"a": [1,2]}', '{"a":[1, 2]}', ' {"a":[1,2]}', '{"a":[1,2]}\n', '{"a" :[1,2]}']
)
def test_nothing_blank_is_written_between(accepts, text):
    grammar = compile_json_schema(ANY_OBJECT).text
    assert accepts(grammar, '{"a":[1,2]}')
    assert not accepts(grammar, text)


@pytest.mark.parametrize("schema", REFUSED, ids=json.dumps)
def test_what_cannot_be_forced_is_refused_in_one_line(schema):
    with pytest.raises(InvalidGrammar) as caught:
        compile_json_schema(schema)
    assert "\n" not in caught.value.message
    assert caught.value.message.rstrip()[-1] != ":"


def test_a_refusal_says_what_cannot_be_forced():
    with pytest.raises(InvalidGrammar, match="look-around"):
        compile_json_schema({"type": "string", "pattern": "^(?=a)b$"})
    with pytest.raises(InvalidGrammar, match=r"\$\.properties\.a\.minLength breaks its rule 'minimum'"):
        compile_json_schema({"properties": {"a": {"minLength": -1}}})


def test_a_refusal_stays_short():
    with pytest.raises(InvalidGrammar) as caught:
        compile_json_schema({"properties": {"a": ["x" * 10_000]}})
    assert len(caught.value.message) < 200


def test_a_schema_beyond_the_limit_is_refused():
    with pytest.raises(InvalidGrammar, match="longer than"):
        compile_json_schema({"enum": ["x" * MAX_SCHEMA_CHARACTERS]})


def test_any_object_is_an_object(accepts):
    grammar = compile_json_schema(ANY_OBJECT).text
    assert accepts(grammar, '{"a":[1,{"b":null}]}')
    assert accepts(grammar, "{}")
    assert not accepts(grammar, "[]")


class Answer(BaseModel):
    code: Literal["a", "b"]
    count: int


@pytest.mark.parametrize(
    "output_type, yes, no",
    [
        (Answer, '{"code":"a","count":1}', '{"code":"c","count":1}'),
        (Literal["yes", "no"], "yes", "maybe"),
        (Regex("[a-c]{2}"), "ab", "abc"),
        (bool, "True", "true."),
        (CFG('start: "x" /[0-9]+/'), "x12", "12"),
    ],
    ids=["model", "choice", "regex", "builtin", "lark"],
)
def test_each_kind_of_output_type(accepts, output_type, yes, no):
    grammar = compile_output_type(output_type).text
    assert accepts(grammar, yes)
    assert not accepts(grammar, no)


@pytest.mark.parametrize("output_type", [Regex("(?=a)b"), Regex("("), CFG("start: missing"), CFG("")])
def test_an_output_type_that_cannot_be_forced_is_refused_in_one_line(output_type):
    with pytest.raises(InvalidGrammar) as caught:
        compile_output_type(output_type)
    assert "\n" not in caught.value.message
