"""Schemas with code fields; in the grammar a placeholder stands for code and closing mark."""

import pytest

from server.errors import InvalidGrammar
from server.grammar.code_systems import CodeSystem, CodeSystems
from server.grammar.coded import compile_coded_schema, compile_grounded, holds_codes
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


def refusal(schema: object) -> str:
    with pytest.raises(InvalidGrammar) as caught:
        compile_coded_schema(schema, SYSTEMS)
    return caught.value.message


def test_each_system_has_one_placeholder_in_order_of_use():
    found = compile_coded_schema(record(a=LOINC, b=ICD, c=LOINC), SYSTEMS)
    assert found.code_sets == {300: "loinc", 301: "icd"}
    assert found.text.count("<[300]>") == 2
    assert found.text.count("<[301]>") == 1


@pytest.mark.parametrize(
    "schema",
    [
        ICD,
        {"anyOf": [ICD, NULL]},
        {"anyOf": [NULL, {"enum": [1, None]}, {"$ref": "#/$defs/code"}], "$defs": {"code": ICD}},
        {"type": "array", "items": ICD, "maxItems": 3},
        record(code=ICD, why={"type": "string", "maxLength": 9}),
        record(["name"], name={"type": "string", "maxLength": 9}, code={"anyOf": [ICD, NULL]}),
        {
            "$ref": "#/$defs/finding",
            "$defs": {"finding": record(code={"$ref": "#/$defs/code"}), "code": {**ICD, "title": "Code"}},
        },
    ],
)
def test_where_codes_may_stand(schema):
    assert holds_codes(schema)
    assert compile_coded_schema(schema, SYSTEMS).code_sets == {300: "icd"}


def test_a_code_that_may_be_null_can_be():
    text = compile_coded_schema(record(code={"anyOf": [ICD, NULL]}), SYSTEMS).text
    assert "null" in text


@pytest.mark.parametrize(
    "schema, said",
    [
        (record(a={"type": "array", "items": {"type": "string", "x-code-in": "icd9"}, "maxItems": 2}),
         '$.properties.a.items: x-code-in names no loaded code system: "icd9"'),
        (record(a={"type": "string", "x-code-in": 3}), "$.properties.a: x-code-in names no loaded"),
        ({"x-code-in": "icd"}, "$: 'type' is needed beside x-code-in"),
        ({"type": "integer", "x-code-in": "icd"}, '$: x-code-in needs "type": "string"'),
        ({**ICD, "pattern": "^E"}, "$: 'pattern' cannot be forced beside x-code-in"),
        (record(a={"oneOf": [ICD, NULL]}), "$.properties.a: x-code-in stands below objects"),
        (record(a={"allOf": [ICD]}), "$.properties.a: x-code-in stands below"),
        ({"properties": {"a": ICD}}, "$: x-code-in stands below"),
        ({"type": ["object", "null"], "properties": {"a": ICD}}, "$: x-code-in stands below"),
        ({"type": "array", "items": ICD}, "$: 'maxItems' is needed beside x-code-in"),
        ({"type": "array", "items": ICD, "maxItems": 2, "minItems": 1}, "$: 'minItems' cannot be forced"),
        ({"type": "array", "items": True, "maxItems": 2, "contains": ICD}, "$: 'contains' cannot be forced"),
        (record([], a=ICD), "$: the first property must be required"),
        ({**record(a=ICD), "additionalProperties": True}, "$: beside x-code-in additionalProp"),
        ({**record(a=ICD), "minProperties": 1}, "$: 'minProperties' cannot be forced beside x-code-in"),
        (record(a=ICD, b=True), "$.properties.b: true and false are no schemas beside x-code-in"),
        ({"anyOf": [ICD, {"type": "string"}]}, "$.anyOf: beside x-code-in no other choice can be a string"),
        ({"anyOf": [ICD, {"enum": ["none"]}]}, "$.anyOf: beside x-code-in no other choice can be a string"),
        ({"anyOf": [ICD, LOINC]}, "$.anyOf: beside x-code-in no other choice can be a string"),
        ({"$ref": "#/definitions/code", "definitions": {"code": ICD}}, "$: 'definitions' cannot be forced"),
        ({"$ref": "#/$defs/code", "$defs": {"other": ICD}}, "beside x-code-in a $ref names one of #/$defs"),
        ({"$ref": "#/$defs/a", "$defs": {"a": record(a=ICD, b={"$ref": "#/$defs/a"})}},
         "no part of a schema can hold itself"),
        (record(a=ICD, b=LOINC, c=RXNORM), "3 code systems"),
        ({**ICD, "title": 3}, "this is not a JSON schema"),
        ({**ICD, "description": "d" * 200_000}, "the schema is longer than"),
    ],
)  # fmt: skip
def test_what_cannot_be_forced_is_refused_by_path(schema, said):
    assert said in refusal(schema)


def test_a_task_has_codes_beside_quotes():
    quote = {"type": "string", "x-quote-of": "text", "x-max-words": 3}
    schema = {"type": "array", "items": record(quote=quote, code=ICD), "maxItems": 4}
    found = compile_grounded(schema, {"text": SourceText("Fever since Monday")}, SYSTEMS)
    assert found.code_sets == {300: "icd"}


def test_a_task_without_codes_is_as_it_was():
    quote = {"type": "string", "x-quote-of": "text", "x-max-words": 3}
    assert compile_grounded(quote, {"text": SourceText("Fever")}, CodeSystems()).code_sets == {}
