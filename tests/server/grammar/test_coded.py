"""Schemas with code fields; in the grammar a placeholder stands for code and closing mark."""

import pytest

from server.errors import InvalidGrammar
from server.grammar.code_systems import CodeSystem, CodeSystems
from server.grammar.coded import compile_marked
from server.grammar.marks import CALLERS_MARKS
from server.grammar.spans import SourceText

SYSTEMS = CodeSystems(
    [CodeSystem(name, None, "0" * 64, {"A": "a"}) for name in ("icd", "loinc", "rxnorm")], [300, 301]
)
ICD = {"type": "string", "x-code-in": "icd"}
LOINC = {"type": "string", "x-code-in": "loinc"}
RXNORM = {"type": "string", "x-code-in": "rxnorm"}
NULL = {"type": "null"}


def record(required: list[str] | None = None, **properties: object) -> dict[str, object]:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


def compiled(schema):
    return compile_marked(schema, {}, SYSTEMS, CALLERS_MARKS)


def refusal(schema: object) -> str:
    with pytest.raises(InvalidGrammar) as caught:
        compiled(schema)
    return caught.value.message


def test_each_system_has_one_placeholder_in_order_of_use():
    found = compiled(record(a=LOINC, b=ICD, c=LOINC))
    assert found.code_sets == {300: "loinc", 301: "icd"}
    assert found.text.count("<[300]>") == 2
    assert found.text.count("<[301]>") == 1


@pytest.mark.parametrize(
    "schema",
    [
        ICD,
        {"anyOf": [ICD, NULL]},
        {"anyOf": [NULL, {"enum": [1, None]}, {"$ref": "#/$defs/code"}], "$defs": {"code": ICD}},
        {"type": "array", "items": ICD, "minItems": 1},
        {"type": ["string", "null"], "x-code-in": "icd"},
        {"anyOf": [ICD, {"type": "integer"}, {"const": None}]},
        record([], code=ICD, note=True),
        record(code=ICD, why={"type": "string", "maxLength": 9}),
        record(["name"], name={"type": "string", "maxLength": 9}, code={"anyOf": [ICD, NULL]}),
        {
            "$ref": "#/$defs/finding",
            "$defs": {"finding": record(code={"$ref": "#/$defs/code"}), "code": {**ICD, "title": "Code"}},
        },
    ],
)
def test_where_codes_may_stand(schema):
    assert compiled(schema).code_sets == {300: "icd"}


def test_a_code_that_may_be_null_can_be():
    text = compiled(record(code={"anyOf": [ICD, NULL]})).text
    assert "null" in text


@pytest.mark.parametrize(
    "schema, said",
    [
        (record(a={"type": "array", "items": {"type": "string", "x-code-in": "icd9"}, "maxItems": 2}),
         "$.properties.a.items: 'x-code-in' names no loaded code system: \"icd9\""),
        (record(a={"type": "string", "x-code-in": 3}), "$.properties.a: 'x-code-in' names no loaded"),
        ({"x-code-in": "icd"}, "$: only a 'string', or a 'string' or 'null', can be marked"),
        ({"type": "integer", "x-code-in": "icd"}, "$: only a 'string'"),
        ({**ICD, "pattern": "^E"}, "$: 'pattern' cannot stand here beside or above"),
        ({**ICD, "x-quote-of": "text"}, "$: 'x-code-in' cannot stand here beside or above"),
        (record(a={"oneOf": [ICD, NULL]}), "$.properties.a: 'oneOf' cannot stand here beside or above"),
        (record(a={"allOf": [ICD]}), "$.properties.a: 'allOf' cannot stand here"),
        ({"properties": {"a": ICD}}, "'type' must say what kind of value this is"),
        ({"type": "array", "items": True, "maxItems": 2, "contains": ICD}, "$: 'contains' cannot stand here"),
        ({**record(a=ICD), "additionalProperties": True}, "$: 'additionalProperties' can only be false"),
        ({**record(a=ICD), "minProperties": 1}, "$: 'minProperties' cannot stand here"),
        ({"anyOf": [ICD, {"type": "string"}]}, "$: beside 'x-code-in' no other choice can be a string"),
        ({"anyOf": [ICD, {"enum": ["none"]}]}, "$: beside 'x-code-in' no other choice"),
        ({"anyOf": [ICD, {"const": "none"}]}, "$: beside 'x-code-in' no other choice"),
        ({"anyOf": [ICD, LOINC]}, "$: beside 'x-code-in' no other choice"),
        ({"anyOf": [{"anyOf": [ICD, NULL]}, {"$ref": "#/$defs/a"}], "$defs": {"a": {"type": ["string"]}}},
         "$: beside 'x-code-in' no other choice"),
        ({"$ref": "#/$defs/a", "$defs": {"a": record(a=ICD, b={"$ref": "#/$defs/a"})}},
         "cannot refer to itself"),
        (record(a=ICD, b=LOINC, c=RXNORM), "3 code systems"),
    ],
)  # fmt: skip
def test_what_cannot_be_forced_is_refused_by_path(schema, said):
    assert said in refusal(schema)


def test_a_task_has_codes_beside_quotes():
    quote = {"type": "string", "x-quote-of": "text", "x-max-words": 3}
    schema = {"type": "array", "items": record(quote=quote, code=ICD), "maxItems": 4}
    found = compile_marked(schema, {"text": SourceText("Fever since Monday")}, SYSTEMS)
    assert found.code_sets == {300: "icd"}


def test_a_task_without_codes_is_as_it_was():
    quote = {"type": "string", "x-quote-of": "text", "x-max-words": 3}
    assert compile_marked(quote, {"text": SourceText("Fever")}).code_sets == {}
