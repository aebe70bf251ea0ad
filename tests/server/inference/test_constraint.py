import pytest

from server.errors import InvalidGrammar
from server.inference.constraint import GroundedConstraint, SchemaConstraint
from server.privacy.findings import Finding
from server.privacy.pseudonyms import PseudonymizedText

NAME = "Maria Alvarez"


def seen(text: str) -> PseudonymizedText:
    """`text` as the model sees it, the one name of this module replaced."""
    start = text.find(NAME)
    findings = [] if start < 0 else [Finding(start, start + len(NAME), "NAME", 0)]
    return PseudonymizedText(text, findings, {0: "[NAME_1]"})


def compiled(schema) -> str:
    constraint = SchemaConstraint(schema)
    return constraint.compile([seen(text) for text in constraint.texts], []).text


def answer_of(properties: dict[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


@pytest.mark.parametrize("key", ["title", "description", "$comment", "examples", "default", "deprecated"])
def test_annotations_never_reach_the_grammar(key):
    value = [NAME] if key == "examples" else NAME
    schema = {"type": "array", key: value, "items": {"anyOf": [{"type": "null", key: value}]}}
    assert NAME not in compiled(schema)


@pytest.mark.parametrize(
    "name", ["title", "description", "default", "enum", "const", "properties", "$defs", "items"]
)
def test_a_property_may_have_the_name_of_a_keyword(accepts, name):
    grammar = compiled(answer_of({name: {"type": "string", "pattern": "^[ab]$", "title": NAME}}))
    assert accepts(grammar, f'{{"{name}":"a"}}')
    assert not accepts(grammar, f'{{"{name}":"c"}}')
    assert not accepts(grammar, "{}")
    assert NAME not in grammar


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "pattern": f"^{NAME}$"},
        {"type": "object", "properties": {NAME: {"type": "string"}}},
        {"const": {NAME: 1}},
        {"const": {NAME: [NAME]}},
        {"$ref": f"#/$defs/{NAME}", "$defs": {NAME: {"type": "null"}}},
    ],
)
def test_an_identifier_that_cannot_be_replaced_is_refused(schema):
    with pytest.raises(InvalidGrammar) as caught:
        compiled(schema)
    assert NAME not in caught.value.message


def test_literals_are_what_the_caller_wrote_once_each():
    schema = {
        "anyOf": [
            {"const": {"a": [NAME, 1], "b": {"title": "kept"}}},
            {"enum": ["x", NAME, None, 2]},
            {"$ref": "#/$defs/enum"},
        ],
        "$defs": {"enum": {"const": "deep"}},
    }
    assert SchemaConstraint(schema).texts[:4] == (NAME, "kept", "x", "deep")


def test_literals_are_replaced_as_the_model_sees_them(accepts):
    grammar = compiled({"anyOf": [{"enum": [f"{NAME}, RN", "nobody"]}, {"const": {"by": [NAME, 1]}}]})
    assert NAME not in grammar
    assert accepts(grammar, '"[NAME_1], RN"')
    assert accepts(grammar, '"nobody"')
    assert accepts(grammar, '{"by":["[NAME_1]",1]}')
    assert not accepts(grammar, f'"{NAME}, RN"')


def test_annotations_within_a_literal_belong_to_it(accepts):
    grammar = compiled({"const": {"title": "a", "default": 1}})
    assert accepts(grammar, '{"title":"a","default":1}')


def test_the_callers_schema_is_not_changed():
    schema = answer_of({"who": {"title": "t", "enum": [NAME]}})
    before = repr(schema)
    compiled(schema)
    assert repr(schema) == before


@pytest.mark.parametrize("schema", [{"not": {}}, {"type": "no such type"}])
def test_what_cannot_be_forced_is_refused(schema):
    with pytest.raises(InvalidGrammar):
        compiled(schema)


def test_a_grounded_answer_quotes_the_last_message_as_the_model_sees_it(accepts):
    schema = {"type": "string", "x-quote-of": "text", "x-max-words": 3}
    constraint = GroundedConstraint(schema, "text")
    assert constraint.texts == ()
    grammar = constraint.compile([], [seen("an earlier message"), seen(f"Seen by {NAME} today")]).text

    assert NAME not in grammar
    assert accepts(grammar, '"by [NAME_1] today"')
    assert not accepts(grammar, '"NAME_1"')
    assert not accepts(grammar, '"earlier"')
