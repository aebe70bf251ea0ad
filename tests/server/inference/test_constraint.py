import json
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import InvalidGrammar
from server.inference.constraint import GroundedConstraint, SchemaConstraint
from server.privacy.findings import Finding
from server.privacy.pseudonyms import PseudonymizedText, pseudonymize

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


OTHERWISE = "ALVAREZ, MARIA"


def both_names(*texts: str):
    """`texts` of a request in which one person has two names."""
    names = re.compile(f"{NAME}|{OTHERWISE}")
    findings = [[Finding(*match.span(), "NAME", 0) for match in names.finditer(text)] for text in texts]
    return pseudonymize(texts, findings)


def test_a_member_of_an_enum_comes_back_as_the_schema_spells_it(accepts):
    constraint = SchemaConstraint({"enum": [OTHERWISE, NAME, f"{OTHERWISE} ({NAME})"]})
    deidentified = both_names(f"Patient: {NAME}", *constraint.texts)
    grammar = constraint.compile(deidentified.texts[1:], []).text

    for written in ("[NAME_1]", "[NAME_1_2]", "[NAME_1_2] ([NAME_1])"):
        assert accepts(grammar, f'"{written}"')
        constraint.check(f'"{deidentified.vault.restore(written)}"')
    assert NAME not in grammar
    assert OTHERWISE not in grammar


QUOTE = {"type": "string", "x-quote-of": "text", "title": NAME}


def test_a_caller_may_ask_for_quotes_of_the_last_user_message(accepts):
    constraint = SchemaConstraint(answer_of({"who": QUOTE, "by": {"enum": [OTHERWISE]}}))
    deidentified = both_names(f"Patient: {NAME}", f"Seen: {OTHERWISE} today", *constraint.texts)
    first, last, *texts = deidentified.texts
    grammar = constraint.compile(texts, [first, last]).text

    assert accepts(grammar, '{"who":"Seen: [NAME_1_2] today","by":"[NAME_1_2]"}')
    assert deidentified.vault.restore("Seen: [NAME_1_2] today") == last.original
    for wrong in ("[NAME_1]", "NAME_1_2", "Patient"):
        assert not accepts(grammar, f'{{"who":"{wrong}","by":"[NAME_1_2]"}}')


def test_without_a_message_of_a_user_there_is_nothing_to_quote():
    constraint = SchemaConstraint(answer_of({"a": QUOTE | {"title": ""}}))
    with pytest.raises(InvalidGrammar, match="nothing to quote"):
        constraint.compile([seen(text) for text in constraint.texts], [])


@pytest.mark.parametrize(
    "other",
    [{"not": {}}, {"type": "no such type"}, {"$ref": "#/$defs/missing"}, {"minimum": 5, "maximum": 2}],
)
def test_beside_quotes_the_rest_of_a_schema_is_checked_as_ever(other):
    constraint = SchemaConstraint(answer_of({"a": QUOTE | {"title": ""}, "b": {"type": "integer"} | other}))
    with pytest.raises(InvalidGrammar):
        constraint.compile([seen(text) for text in constraint.texts], [seen("fever")])


def test_names_of_marks_are_names_where_properties_stand(accepts):
    grammar = compiled(
        answer_of({"x-quote-of": {"type": "null"}, "x-max-words": {"const": {"x-quote-of": 1}}})
    )
    assert accepts(grammar, '{"x-quote-of":null,"x-max-words":{"x-quote-of":1}}')


@pytest.mark.parametrize(
    "place", [lambda x: x, lambda x: {"anyOf": [x]}, lambda x: answer_of({"a": x | QUOTE})]
)
def test_options_of_llguidance_are_refused(place):
    constraint = SchemaConstraint(place({"not": {"const": "a"}, "x-guidance": {"lenient": True}}))
    with pytest.raises(InvalidGrammar, match="'x-guidance' is not supported"):
        constraint.compile([seen(text) for text in constraint.texts], [seen("fever")])


PIECES = st.sampled_from(
    [
        NAME,
        OTHERWISE,
        "[NAME_1]",
        "[NAME_1_2]",
        '"',
        "\\",
        "\n",
        "\r\n",
        "\t",
        "\x00",
        " ",
        "a",
        "0.5",
        "🙂",
        "é",
        "-",
    ]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.lists(PIECES, max_size=12).map("".join),
    st.lists(PIECES, max_size=12).map("".join),
    st.integers(0, 2**32),
)
def test_a_quote_is_in_the_message_to_the_letter_whoever_it_names(walk, first, last, seed):
    constraint = SchemaConstraint({"type": "array", "items": QUOTE | {"title": ""}, "maxItems": 4})
    deidentified = both_names(first, last, *constraint.texts)
    grammar = constraint.compile(deidentified.texts[2:], deidentified.texts[:2]).text
    written = walk(grammar, seed)
    assert NAME not in written
    assert OTHERWISE not in written

    restorer = deidentified.vault.restorer(json=True)
    answer = restorer.feed(written) + restorer.flush()
    constraint.check(answer)
    assert all(quote in last for quote in json.loads(answer))
