"""Grounded grammars: JSON whose marked strings can only be verbatim spans of a source text.

A string schema is marked with `x-quote-of: <source>` or `x-value-of: <source>`, and `x-max-words: <n>`; a
value may also begin or end between a number and its unit. Objects are written with all their properties,
in order; what holds no mark is left to llguidance's own JSON Schema support.
"""

import json
from collections.abc import Mapping
from typing import Any

from outlines.types import CFG

from server.grammar.spans import SourceText, SpanKind, span_terminal, substring_terminal

Schema = Mapping[str, Any]

_MARKS: dict[str, SpanKind] = {"x-quote-of": "quote", "x-value-of": "value"}


def grounded_type(schema: Schema, sources: Mapping[str, SourceText]) -> CFG:
    """The Outlines output type of `schema` over `sources`, as one Lark grammar."""
    return CFG(_LarkWriter(schema, sources).write())


class _LarkWriter:
    """Collects Lark rules while it walks a schema."""

    def __init__(self, schema: Schema, sources: Mapping[str, SourceText]) -> None:
        self._schema = schema
        self._definitions: Mapping[str, Schema] = schema.get("$defs", {})
        self._sources = sources
        self._rules: dict[str, str] = {}

    def write(self) -> str:
        start = f"start: {self._expression(self._schema)}"
        return "\n".join([start, *self._rules.values()])

    def _expression(self, schema: Schema) -> str:
        schema = self._resolve(schema)
        for mark, kind in _MARKS.items():
            if mark in schema:
                return self._span(kind, schema[mark], schema["x-max-words"])
        if "anyOf" in schema:
            return "(" + " | ".join(self._expression(choice) for choice in schema["anyOf"]) + ")"
        if "enum" in schema:
            return "(" + " | ".join(_literal(json.dumps(member)) for member in schema["enum"]) + ")"
        match schema.get("type"):
            case "object":
                rule = self._object(schema["properties"])
            case "array":
                rule = self._array(schema["items"], schema["maxItems"])
            case "null":
                rule = _literal("null")
            case _:
                rule = f"%json {json.dumps(dict(schema), ensure_ascii=False)}"
        return rule

    def _resolve(self, schema: Schema) -> Schema:
        reference = schema.get("$ref")
        return self._definitions[reference.rsplit("/", 1)[-1]] if reference else schema

    def _object(self, properties: Mapping[str, Schema]) -> str:
        fields = [
            f"{_literal(json.dumps(name) + ':')} {self._expression(part)}"
            for name, part in properties.items()
        ]
        return " ".join([_literal("{"), f" {_literal(',')} ".join(fields), _literal("}")])

    def _array(self, items: Schema, max_items: int) -> str:
        if not self._satisfiable(items):
            return _literal("[]")
        rule = f"item_{len(self._rules)}"
        self._rules[rule] = ""
        self._rules[rule] = f"{rule}: {self._expression(items)}"
        more = f"({_literal(',')} {rule}){{0,{max_items - 1}}}"
        return f"{_literal('[')} ({rule} {more})? {_literal(']')}"

    def _satisfiable(self, schema: Schema) -> bool:
        """Whether every required quote can hold a word; of a text without words nothing can be quoted."""
        schema = self._resolve(schema)
        for mark in _MARKS:
            if mark in schema:
                return self._sources[schema[mark]].has_words
        if "anyOf" in schema:
            return any(self._satisfiable(choice) for choice in schema["anyOf"])
        return all(self._satisfiable(part) for part in schema.get("properties", {}).values())

    def _span(self, kind: SpanKind, source: str, max_words: int) -> str:
        substring = f"{kind}_of_{source}".upper()
        self._rules.setdefault(substring, substring_terminal(substring, self._sources[source], kind))
        span = f"{substring}_{max_words}"
        self._rules.setdefault(span, span_terminal(span, substring, max_words))
        quote = _literal('"')
        return f"{quote} {span} {quote}"


def _literal(text: str) -> str:
    return json.dumps(text)
