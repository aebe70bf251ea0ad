import json
from typing import Any

import pytest

from server.errors import GenerationFailed, InvalidOutput
from server.inference.conformity import Conformity, check_document

NAME = "Maximiliana Featherstonehaugh"
SHORT = {"type": "object", "properties": {"a": {"type": "string", "maxLength": 12}}, "required": ["a"]}


def test_a_document_of_the_schema_is_let_through():
    check_document('{"a":"Ann Lee"}', SHORT)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "string", "maxLength": 12},
        {"type": "string", "minLength": 40},
        {"type": "string", "pattern": "^[A-Z_0-9\\[\\]]+$"},
        {"enum": ["[NAME_1]"]},
    ],
)
def test_a_name_that_breaks_a_rule_fails_the_answer_and_is_not_told(schema: dict[str, Any]):
    with pytest.raises(InvalidOutput) as caught:
        check_document(json.dumps(NAME), schema)
    assert NAME not in caught.value.message
    assert isinstance(caught.value, GenerationFailed)
    assert (caught.value.code, caught.value.status) == ("invalid_output", 500)


def test_the_rule_that_is_broken_is_named():
    with pytest.raises(InvalidOutput, match=r"'properties\.a\.maxLength'"):
        check_document(json.dumps({"a": NAME}), SHORT)


@pytest.mark.parametrize("pattern", [r"^\w+\s\w+$", "^(?P<a>[a-zA-Z ]+)$", "F"])
def test_a_pattern_is_read_in_the_dialect_that_was_forced(pattern):
    check_document(json.dumps(NAME), {"type": "string", "pattern": pattern})


@pytest.mark.parametrize(
    "text, schema",
    [
        ('{"a":', SHORT),
        ('"a"', {"$ref": "http://127.0.0.1:1/schema.json"}),
        ('{"a":1}', {"patternProperties": {"\\p{Lu}": {}}}),
    ],
)
def test_what_cannot_be_checked_is_not_let_through(text, schema):
    with pytest.raises(InvalidOutput, match="cannot be held against"):
        check_document(text, schema)


def test_digits_of_a_pattern_are_those_that_the_grammar_forces():
    check_document('"12"', {"type": "string", "pattern": r"^\d+$"})
    with pytest.raises(InvalidOutput):
        check_document('"١٢"', {"type": "string", "pattern": r"^\d+$"})


class Checked(Exception):
    """The check was made."""


def check(text: str) -> None:
    raise Checked(text)


async def test_only_what_restoring_has_changed_is_looked_at():
    conformity = Conformity(check)
    conformity.add("see [NAM", "see ")
    conformity.add("x", "[NAMx")
    await conformity.verify()
    conformity.add("[NAME_1]", NAME)
    with pytest.raises(Checked, match=rf"^see \[NAMx{NAME}$"):
        await conformity.verify()
