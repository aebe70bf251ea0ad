import datetime
import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from server.errors import InvalidGrammar
from server.grammar.calendar import FORMATS
from server.grammar.compiler import compile_json_schema
from server.grammar.exact import exactly


def test_a_declared_name_has_one_spelling(accepts):
    grammar = compile_json_schema({"type": "object", "properties": {"a": {"type": "integer"}}}).text
    assert accepts(grammar, '{"a":1}')
    assert not accepts(grammar, '{"\\u0061":"x"}')
    assert accepts(grammar, '{"b":"x"}')


@pytest.mark.parametrize(
    "text, good",
    [
        ("2024-02-29", True),
        ("2023-02-29", False),
        ("1900-02-29", False),
        ("2000-02-29", True),
        ("0000-01-01", False),
        ("2023-04-31", False),
    ],
)
def test_a_date_is_one_of_the_calendar(accepts, text, good):
    assert accepts(compile_json_schema({"type": "string", "format": "date"}).text, f'"{text}"') == good


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 9999), st.integers(1, 12), st.integers(1, 31))
def test_the_calendar_is_the_one_of_python(year, month, day):
    text = f"{year:04}-{month:02}-{day:02}"
    try:
        datetime.date.fromisoformat(text)
    except ValueError:
        assert not re.fullmatch(FORMATS["date"], text)
    else:
        assert re.fullmatch(FORMATS["date"], text)


@pytest.mark.parametrize(
    "text, good",
    [
        ("2024-02-29T23:59:59Z", True),
        ("2024-02-29T23:59:59.5+14:00", True),
        ("2024-02-29T23:59:60Z", False),
        ("2024-02-29T23:59:59", False),
        ("2024-02-30T23:59:59Z", False),
    ],
)
def test_a_point_in_time_has_a_date_and_a_zone(accepts, text, good):
    assert accepts(compile_json_schema({"type": "string", "format": "date-time"}).text, f'"{text}"') == good


def test_a_format_is_rewritten_beside_what_stands_there():
    schema = {"properties": {"format": {"type": "string", "format": "date", "pattern": "^2"}}}
    part = exactly(schema)["properties"]["format"]
    assert part["pattern"] == "^2"
    assert [list(each) for each in part["allOf"]] == [["pattern"]]
    assert exactly({"enum": [{"format": "date"}]}) == {"enum": [{"format": "date"}]}


@pytest.mark.parametrize(
    "schema, place",
    [
        ({"properties": {"a/b": {"type": "number", "multipleOf": 0.1}}}, "#/properties/a~1b/multipleOf"),
        ({"items": {"type": "object", "minProperties": 2}}, "#/items/minProperties"),
    ],
)
def test_what_would_be_loosened_is_refused_by_name_and_place(schema, place):
    with pytest.raises(InvalidGrammar, match=re.escape(place)):
        compile_json_schema(schema)


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "number", "multipleOf": 0.25},
        {"type": "number", "multipleOf": 3},
        {"type": "object", "minProperties": 1},
        {"type": "object", "properties": {"a": {}}, "required": ["a"], "minProperties": 2},
        {"enum": [{"multipleOf": 0.1}]},
    ],
)
def test_what_can_be_forced_is_taken(schema):
    assert compile_json_schema(schema).text


def test_nobody_loosens_the_compiler_from_within_a_schema():
    with pytest.raises(InvalidGrammar, match="x-guidance"):
        compile_json_schema({"x-guidance": {"lenient": True}, "not": {}})


@pytest.mark.parametrize("inner, good", [("07", True), ("07#", True), ("04", False)])
def test_one_draft_holds_for_all_of_a_schema(inner, good):
    drafts = {
        "07": "http://json-schema.org/draft-07/schema",
        "07#": "http://json-schema.org/draft-07/schema#",
        "04": "http://json-schema.org/draft-04/schema#",
    }
    schema = {"$schema": drafts["07"], "properties": {"a": {"$schema": drafts[inner], "type": "string"}}}
    if good:
        assert compile_json_schema(schema).text
        return
    with pytest.raises(InvalidGrammar, match=re.escape("#/properties/a/$schema")):
        compile_json_schema(schema)
