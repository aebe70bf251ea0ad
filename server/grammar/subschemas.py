"""Where the parts of a JSON Schema are that are schemas themselves.

Source: JSON Schema 2020-12, core and validation vocabularies, with the older drafts' names.
"""

from collections.abc import Iterator, Mapping
from typing import Any

OF_ONE = frozenset(
    {
        *("items", "additionalItems", "contains", "unevaluatedItems"),
        *("additionalProperties", "propertyNames", "unevaluatedProperties"),
        *("not", "if", "then", "else", "contentSchema"),
    }
)
OF_MANY = frozenset({"allOf", "anyOf", "oneOf", "prefixItems", "items"})
OF_NAMES = frozenset(
    {"properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies"}
)


def subschemas(schema: Any, place: str = "#") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """`schema` and every schema below it, outermost first, each with its JSON pointer."""
    waiting = [(place, schema)]
    while waiting:
        at, part = waiting.pop()
        if isinstance(part, Mapping):
            yield at, part
            waiting += reversed(list(children(part, at)))


def children(schema: Mapping[str, Any], place: str) -> Iterator[tuple[str, Any]]:
    """The schemas directly below `schema`, which is at `place`, in the order of its keywords."""
    for keyword, value in schema.items():
        at = f"{place}/{pointer_step(keyword)}"
        if keyword in OF_NAMES and isinstance(value, Mapping):
            yield from ((f"{at}/{pointer_step(name)}", part) for name, part in value.items())
        elif keyword in OF_MANY and isinstance(value, list):
            yield from ((f"{at}/{index}", part) for index, part in enumerate(value))
        elif keyword in OF_ONE:
            yield at, value


def pointer_step(name: str) -> str:
    """`name` as one step of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def resolve(reference: str, root: Any) -> Any:
    """The part of `root` that a `#` reference names; KeyError where there is none."""
    part = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        part = part[int(name)] if isinstance(part, list) and name.isdecimal() else part[name]
    return part
