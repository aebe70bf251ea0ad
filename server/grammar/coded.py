"""Codes among the marks of a schema: which systems it refers to, and its grammar with their placeholders."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from server.grammar.code_systems import NO_CODE_SYSTEMS, CodeSystems
from server.grammar.compiler import Grammar, compile_output_type
from server.grammar.grounded import grounded_type
from server.grammar.marks import CODE_IN, OPERATORS_MARKS
from server.grammar.spans import SourceText

Schema = Mapping[str, Any]


def compile_marked(
    schema: Schema,
    sources: Mapping[str, SourceText],
    systems: CodeSystems = NO_CODE_SYSTEMS,
    marks: frozenset[str] = OPERATORS_MARKS,
) -> Grammar:
    """Compile a schema whose marked strings are spans of `sources` or codes of `systems`.

    Raises InvalidGrammar, with path and reason, where a mark would not be honoured.
    """
    names = dict.fromkeys(name for name in _names(schema) if name in systems)
    placeholders = systems.placeholders(list(names))
    grammar = compile_output_type(grounded_type(schema, sources, marks, placeholders))
    return replace(grammar, code_sets={token: name for name, token in placeholders.items()})


def _names(schema: Any) -> Iterator[str]:
    """What the marks name, in their order."""
    if isinstance(schema, Mapping):
        if isinstance(schema.get(CODE_IN), str):
            yield schema[CODE_IN]
        for part in schema.values():
            yield from _names(part)
    elif isinstance(schema, list):
        for part in schema:
            yield from _names(part)
