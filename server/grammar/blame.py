"""Which part of a JSON Schema is the one that cannot be forced. llguidance tells why, and seldom where."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from server.grammar.subschemas import children, subschemas

_LIMIT_S = 0.5
_LONG_S = 0.25

_UNSUPPORTED = frozenset(
    {
        *("not", "if", "then", "else", "dependentRequired", "dependentSchemas", "dependencies"),
        *("contains", "minContains", "maxContains", "uniqueItems", "unevaluatedItems"),
        *("propertyNames", "unevaluatedProperties", "$dynamicRef", "$recursiveRef"),
    }
)


def place_of_fault(schema: Mapping[str, Any], fault_of: Callable[[Mapping[str, Any]], str]) -> str:
    """JSON pointer of the innermost part for which `fault_of` gives a reason, as it does for all of `schema`.

    The search ends after half a second, wherever it is then, or does not begin where one try takes a quarter.
    """
    named = next(
        (f"{at}/{keyword}" for at, part in subschemas(schema) for keyword in part if keyword in _UNSUPPORTED),
        None,
    )
    if named:
        return named
    started_s = time.monotonic()
    fault_of(schema)
    return "#" if time.monotonic() - started_s > _LONG_S else _innermost(schema, fault_of)


def _innermost(schema: Mapping[str, Any], fault_of: Callable[[Mapping[str, Any]], str]) -> str:
    definitions = {key: schema[key] for key in ("$schema", "$defs", "definitions") if key in schema}
    end_s = time.monotonic() + _LIMIT_S
    place, inner = "#", schema
    while time.monotonic() < end_s:
        found = next(
            (
                (at, part)
                for at, part in children(inner, place)
                if isinstance(part, Mapping)
                and fault_of({**definitions, **part})
                and time.monotonic() < end_s
            ),
            None,
        )
        if found is None:
            break
        place, inner = found
    return place
