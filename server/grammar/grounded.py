"""Grounded grammars: JSON whose marked strings can only be verbatim spans of a source text.

A string schema is marked with `x-quote-of: <source>` and `x-max-words: <n>`, or with `x-value-of: <source>`
and `pattern`: then it is one of the texts that the pattern finds in the source. Properties are written in
the order of the schema; one that is not required is left out rather than null (small models all but never
write null where the examples before it hold strings), and one that the source has no value for cannot be
written at all. What holds no mark is left to llguidance's own JSON Schema support.
"""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from outlines.types import CFG

from server.grammar.spans import SourceText, span_terminal, substring_terminal

Schema = Mapping[str, Any]

_QUOTE = "x-quote-of"
_VALUE = "x-value-of"


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
        if _QUOTE in schema:
            return self._span(schema[_QUOTE], schema["x-max-words"])
        if _VALUE in schema:
            return _choice(self._values(schema))
        if "anyOf" in schema:
            return "(" + " | ".join(self._expression(choice) for choice in schema["anyOf"]) + ")"
        if "enum" in schema:
            return _choice(schema["enum"])
        match schema.get("type"):
            case "object":
                rule = self._object(schema)
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

    def _object(self, schema: Schema) -> str:
        """The first property must be a required one, so that every other can bring its comma along."""
        first, *others = schema["properties"].items()
        rest = [
            f"({_literal(',')} {self._property(name, part)}){'' if name in schema['required'] else '?'}"
            for name, part in others
            if self._satisfiable(_without_null(part))
        ]
        return " ".join([_literal("{"), self._property(*first), *rest, _literal("}")])

    def _property(self, name: str, schema: Schema) -> str:
        return f"{_literal(_compact(name) + ':')} {self._expression(_without_null(schema))}"

    def _array(self, items: Schema, max_items: int) -> str:
        if not self._satisfiable(items):
            return _literal("[]")
        rule = f"item_{len(self._rules)}"
        self._rules[rule] = ""
        self._rules[rule] = f"{rule}: {self._expression(items)}"
        more = f"({_literal(',')} {rule}){{0,{max_items - 1}}}" if max_items > 1 else ""
        return f"{_literal('[')} ({rule} {more})? {_literal(']')}"

    def _satisfiable(self, schema: Schema) -> bool:
        """Whether the sources hold what is required: of a text without words nothing can be quoted."""
        schema = self._resolve(schema)
        if _QUOTE in schema:
            return self._sources[schema[_QUOTE]].has_words
        if _VALUE in schema:
            return bool(self._values(schema))
        if "anyOf" in schema:
            return any(self._satisfiable(choice) for choice in schema["anyOf"])
        properties = schema.get("properties", {})
        return all(self._satisfiable(properties[name]) for name in schema.get("required", ()))

    def _values(self, schema: Schema) -> list[str]:
        return self._sources[schema[_VALUE]].matches(schema["pattern"])

    def _span(self, source: str, max_words: int) -> str:
        substring = f"SUBSTRING_{source.upper()}"
        self._rules.setdefault(substring, substring_terminal(substring, self._sources[source]))
        span = f"SPAN_{source.upper()}_{max_words}"
        self._rules.setdefault(span, span_terminal(span, substring, max_words))
        quote = _literal('"')
        return f"{quote} {span} {quote}"


def _without_null(schema: Schema) -> Schema:
    """A nullable schema without its null."""
    choices = [choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"]
    return choices[0] if len(choices) == 1 else schema


def _choice(members: Iterable[Any]) -> str:
    return "(" + " | ".join(_literal(_compact(member)) for member in members) + ")"


def _compact(value: Any) -> str:
    """`value` as the model writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _literal(text: str) -> str:
    return json.dumps(text)
