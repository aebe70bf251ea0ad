"""How deep a schema can be, its references followed: llguidance compiles it by recursion.

A chain of 3,000 references overflows its stack, which ends the process (llguidance 1.9.1; 1,000 pass).
"""

from collections.abc import Mapping
from typing import Any

from server.grammar.subschemas import children, resolve

MOST_LEVELS = 800

_NOT_ENTERED = ("$defs", "definitions")


def is_too_deep(schema: Any) -> bool:
    """Whether `schema` may have more levels than can be compiled safely.

    Each reference is entered once, in an order that llguidance chooses: at worst all within each other.
    """
    known: set[str] = set()
    levels, waiting = _measure(schema)
    while waiting and levels <= MOST_LEVELS:
        reference = waiting.pop()
        if reference in known:
            continue
        known.add(reference)
        try:
            more, references = _measure(resolve(reference, schema))
        except (KeyError, IndexError, TypeError):
            continue  # not there: the compiler says so
        levels += 1 + more
        waiting |= references
    return levels > MOST_LEVELS


def _measure(schema: Any) -> tuple[int, set[str]]:
    """Levels of schemas within each other, and the references in them."""
    references: set[str] = set()
    deepest, level = 0, [schema]
    while level:
        deepest += 1
        parts = [part for part in level if isinstance(part, Mapping)]
        references |= {
            part["$ref"]
            for part in parts
            if isinstance(part.get("$ref"), str) and part["$ref"].startswith("#")
        }
        level = [below for part in parts for below in _entered(part)]
    return deepest, references


def _entered(schema: Mapping[str, Any]) -> list[Any]:
    compiled = {keyword: value for keyword, value in schema.items() if keyword not in _NOT_ENTERED}
    return [below for _, below in children(compiled, "")]
