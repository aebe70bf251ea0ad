"""Whether a choice between parts of a schema could begin with a code and with another string alike."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from server.grammar.marked import resolved
from server.grammar.marks import CODE_IN

Schema = Mapping[str, Any]


def codes_clash(choices: Sequence[Any], root: Schema) -> bool:
    """Whether one of the choices is a code, and another one may be a string, too."""
    found = [is_code for choice in choices for is_code in _texts(choice, root, frozenset())]
    return any(found) and len(found) > 1


def _texts(schema: Any, root: Schema, references: frozenset[str]) -> Iterator[bool]:
    """For each way to be a string, as far as can be told, whether it is to be a code."""
    reference = schema.get("$ref") if isinstance(schema, Mapping) else None
    if isinstance(reference, str):
        if reference not in references:
            yield from _texts(resolved(reference, root), root, references | {reference})
    elif isinstance(schema, Mapping) and isinstance(schema.get("anyOf"), list):
        for choice in schema["anyOf"]:
            yield from _texts(choice, root, references)
    elif _may_be_text(schema):
        yield isinstance(schema, Mapping) and CODE_IN in schema


def _may_be_text(schema: Any) -> bool:
    if not isinstance(schema, Mapping):
        return schema is not False
    if "const" in schema or "enum" in schema:
        members = schema.get("enum", [schema.get("const")])
        return any(isinstance(each, str) for each in members)
    kinds = schema.get("type", "string")
    return "string" in ([kinds] if isinstance(kinds, str) else kinds)
