"""The shortest document of a JSON Schema, as far as its plain keywords tell.

A schema that requires itself compiles, and then forces an answer without end; one whose shortest document is
longer than the answer may be can only be cut off. Both are refused before the model is asked.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from server.grammar.subschemas import resolve, subschemas

MOST_CHARACTERS = 200_000

_SHORTEST = {"object": "{}", "array": "[]", "string": '""', "null": "null", "boolean": "true"}


class TooLong(Exception):
    """Every document is longer than any answer."""


def shortest_document(schema: Any) -> str | None:
    """Not longer than any document of `schema`, in compact JSON; None where none of its documents ends.

    It stands for a document's length: patterns and formats are left out. Raises TooLong.
    """
    return _Search(schema).run()


class _Search:
    """References are solved together: what each needs at the least, until no pass finds anything shorter."""

    def __init__(self, root: Any) -> None:
        self._root = root
        self._known: dict[str, str] = {}

    def run(self) -> str | None:
        references = {part["$ref"] for _, part in subschemas(self._root) if isinstance(part.get("$ref"), str)}
        own = sorted(reference for reference in references if reference.startswith("#"))
        while any(map(self._improve, own)):
            pass
        return self._of(self._root)

    def _improve(self, reference: str) -> bool:
        try:
            found = self._of(resolve(reference, self._root))
        except (KeyError, IndexError, TypeError):
            found = ""  # not there: the compiler says so
        known = self._known.get(reference)
        if found is None or (known is not None and len(known) <= len(found)):
            return False
        self._known[reference] = found
        return True

    def _of(self, schema: Any) -> str | None:
        if not isinstance(schema, Mapping):
            return None if schema is False else "0"
        needed = [self._plain(schema)]
        if "$ref" in schema:
            reference = str(schema["$ref"])
            needed.append(self._known.get(reference) if reference.startswith("#") else "")
        needed += [self._of(part) for part in _list(schema.get("allOf"))]
        needed += [
            self._least(schema[keyword]) for keyword in ("anyOf", "oneOf") if _list(schema.get(keyword))
        ]
        return _longest(needed)

    def _least(self, choices: Iterable[Any]) -> str | None:
        found = [document for document in map(self._of, choices) if document is not None]
        return min(found, key=len, default=None)

    def _plain(self, schema: Mapping[str, Any]) -> str | None:
        if "const" in schema:
            return _compact(schema["const"])
        if _list(schema.get("enum")):
            return min(map(_compact, schema["enum"]), key=len)
        types = schema.get("type", "number")
        found = [self._typed(schema, str(each)) for each in (types if isinstance(types, list) else [types])]
        return min((each for each in found if each is not None), key=len, default=None)

    def _typed(self, schema: Mapping[str, Any], kind: str) -> str | None:
        match kind:
            case "object":
                return self._object(schema)
            case "array":
                return self._array(schema)
            case "string":
                return f'"{" " * _count(schema.get("minLength"))}"'
        return _SHORTEST.get(kind, "0")

    def _object(self, schema: Mapping[str, Any]) -> str | None:
        properties = schema.get("properties", {})
        members = []
        for name in _list(schema.get("required")):
            value = self._of(properties.get(name, True)) if isinstance(properties, Mapping) else "0"
            if value is None:
                return None
            members.append(f"{_compact(name)}:{value}")
        return _bounded("{" + ",".join(members) + "}")

    def _array(self, schema: Mapping[str, Any]) -> str | None:
        count = _count(schema.get("minItems"))
        if not count:
            return "[]"
        first = [self._of(part) for part in _list(schema.get("prefixItems"))][:count]
        rest = self._of(schema.get("items", True)) if count > len(first) else "0"
        if rest is None or None in first:
            return None
        if (count - len(first)) * (len(rest) + 1) > MOST_CHARACTERS:
            raise TooLong
        items = [*(each for each in first if each is not None), *[rest] * (count - len(first))]
        return _bounded("[" + ",".join(items) + "]")


def _longest(documents: Iterable[str | None]) -> str | None:
    """What all of them need: a document that fits each is at least as long as the longest."""
    found = list(documents)
    return None if None in found else max((each for each in found if each is not None), key=len)


def _bounded(document: str) -> str:
    if len(document) > MOST_CHARACTERS:
        raise TooLong
    return document


def _count(value: Any) -> int:
    count = int(value) if isinstance(value, int | float) else 0
    if count > MOST_CHARACTERS:
        raise TooLong
    return max(count, 0)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
