import pytest

from server.grammar.subschemas import resolve, subschemas

SCHEMA = {
    "properties": {"a/b": {"items": [{"type": "null"}, True]}, "enum": {"enum": [{"type": "x"}]}},
    "anyOf": [{"not": {}}],
    "$defs": {"t~": {"const": {"properties": {"no": {}}}}},
}


def test_every_schema_is_found_with_its_place_and_nothing_else():
    places = [
        "#",
        "#/properties/a~1b",
        "#/properties/a~1b/items/0",
        "#/properties/enum",
        "#/anyOf/0",
        "#/anyOf/0/not",
        "#/$defs/t~0",
    ]
    assert [place for place, _ in subschemas(SCHEMA)] == places


def test_a_place_leads_to_its_schema():
    for place, part in subschemas(SCHEMA):
        assert resolve(place, SCHEMA) is part


@pytest.mark.parametrize("reference", ["#/nowhere", "#/anyOf/7", "#/anyOf/x"])
def test_what_is_not_there_is_not_found(reference):
    with pytest.raises((KeyError, IndexError, TypeError)):
        resolve(reference, SCHEMA)
