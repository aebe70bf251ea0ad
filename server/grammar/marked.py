"""Where in a JSON Schema marks stand."""

from collections.abc import Mapping, Set
from typing import Any

from server.grammar.marks import DEFINITIONS, LITERALS, OPERATORS_MARKS, PROPERTY_MAPS


def without_marks(schema: Any, *, of_properties: bool = False) -> Any:
    """`schema` as JSON Schema knows it; `of_properties` where its keys are names."""
    return without_keywords(schema, OPERATORS_MARKS, of_properties=of_properties)


def without_keywords(schema: Any, dropped: Set[str], *, of_properties: bool = False) -> Any:
    """`schema` without the `dropped` words of JSON Schema; `of_properties` where its keys are names."""
    if isinstance(schema, list):
        return [without_keywords(each, dropped) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: value
        if key in LITERALS and not of_properties
        else without_keywords(value, dropped, of_properties=key in PROPERTY_MAPS and not of_properties)
        for key, value in schema.items()
        if of_properties or key not in dropped
    }


class MarkedParts:
    """Which parts of a schema hold a mark, themselves or behind a `$ref`."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._found: dict[int, tuple[bool, frozenset[str]]] = {}
        self._marked: set[str] = set()
        self._read(root)
        references = frozenset().union(*(found for _, found in self._found.values()))
        while added := {each for each in references - self._marked if resolved(each, root) in self}:
            self._marked |= added

    def __contains__(self, part: Any) -> bool:
        """Whether `part`, which must be one of the root's own objects, holds a mark."""
        marked, references = self._found.get(id(part), (False, frozenset()))
        return marked or not references.isdisjoint(self._marked)

    def references(self, part: Any) -> frozenset[str]:
        """Every `$ref` in `part`, but for its definitions."""
        return self._found.get(id(part), (False, frozenset()))[1]

    def _read(self, schema: Any, *, of_properties: bool = False) -> tuple[bool, frozenset[str]]:
        """Definitions are read, but belong to whoever refers to them."""
        if isinstance(schema, list):
            return _joined([self._read(each) for each in schema])
        if not isinstance(schema, Mapping):
            return False, frozenset()
        parts = [(not of_properties and not OPERATORS_MARKS.isdisjoint(schema), _reference(schema))]
        for key, value in schema.items():
            if key in LITERALS and not of_properties:
                continue
            found = self._read(value, of_properties=key in PROPERTY_MAPS and not of_properties)
            if of_properties or key not in DEFINITIONS:
                parts.append(found)
        self._found[id(schema)] = _joined(parts)
        return self._found[id(schema)]


def resolved(reference: str, root: Mapping[str, Any]) -> Any:
    """The part of `root` that the JSON pointer behind `#` names, None where there is none."""
    if not reference.startswith("#"):
        return None
    part: Any = root
    for step in reference[1:].split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        if not isinstance(part, Mapping) or name not in part:
            return None
        part = part[name]
    return part


def _reference(schema: Mapping[str, Any]) -> frozenset[str]:
    reference = schema.get("$ref")
    return frozenset({reference}) if isinstance(reference, str) else frozenset()


def _joined(parts: list[tuple[bool, frozenset[str]]]) -> tuple[bool, frozenset[str]]:
    return any(marked for marked, _ in parts), frozenset().union(*(references for _, references in parts))
