"""Grounded grammars: JSON whose marked strings can only be verbatim spans of a source text.

The marks are those of `server.grammar.marks`. Properties are written in
the order of the schema; one that is not required is left out rather than null (small models all but never
write null where the examples before it hold strings), and one that the source has no value for cannot be
written at all. What holds no mark is left to llguidance's own JSON Schema support.
"""

import json
import math
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from outlines.types import CFG

from server.grammar.marks import CODE_IN, MAX_WORDS, QUOTE_OF, VALUE_OF, WITHOUT
from server.grammar.spans import SourceText, span_terminal, substring_terminal

Schema = Mapping[str, Any]

NO_PLACEHOLDERS: Mapping[str, int] = MappingProxyType({})


def grounded_type(
    schema: Schema, sources: Mapping[str, SourceText], placeholders: Mapping[str, int] = NO_PLACEHOLDERS
) -> CFG:
    """The Outlines output type of `schema` over `sources`, as one Lark grammar.

    `placeholders` are the token ids that stand for code systems, by their names.

    Raises ValueError where the first property of an object is not a required one: the others could not tell
    whether they need a comma.
    """
    return CFG(_LarkWriter(schema, sources, placeholders).write())


class _LarkWriter:
    """Collects Lark rules while it walks a schema."""

    def __init__(
        self, schema: Schema, sources: Mapping[str, SourceText], placeholders: Mapping[str, int]
    ) -> None:
        self._schema = schema
        self._definitions: Mapping[str, Schema] = schema.get("$defs", {})
        self._sources = sources
        self._placeholders = placeholders
        self._rules: dict[str, str] = {}
        self._substrings: dict[tuple[str, str | None], str] = {}

    def write(self) -> str:
        start = f"start: {self._expression(self._schema)}"
        return "\n".join([start, *self._rules.values()])

    def _expression(self, schema: Schema) -> str:
        schema = self._resolve(schema)
        if QUOTE_OF in schema:
            return self._span(schema)
        if VALUE_OF in schema:
            return _choice(self._values(schema))
        if CODE_IN in schema:
            return self._code(schema)
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
        required = schema.get("required", ())
        first, *others = schema["properties"].items()
        if first[0] not in required:
            raise ValueError(f"the first property, {first[0]}, must be required")
        rest = [
            f"({_literal(',')} {self._property(name, part)}){'' if name in required else '?'}"
            for name, part in others
            if name in required or self._capacity(_without_null(part))
        ]
        return " ".join([_literal("{"), self._property(*first), *rest, _literal("}")])

    def _property(self, name: str, schema: Schema) -> str:
        return f"{_literal(_compact(name) + ':')} {self._expression(_without_null(schema))}"

    def _array(self, items: Schema, max_items: float) -> str:
        max_items = min(max_items, self._capacity(items))
        if not max_items:
            return _literal("[]")
        rule = f"item_{len(self._rules)}"
        self._rules[rule] = ""
        self._rules[rule] = f"{rule}: {self._expression(items)}"
        more = f"({_literal(',')} {rule}){{0,{max_items - 1:g}}}" if max_items > 1 else ""
        return f"{_literal('[')} ({rule} {more})? {_literal(']')}"

    def _capacity(self, schema: Schema) -> float:
        """How many different findings the sources have words for; none where a required one has no value."""
        schema = self._resolve(schema)
        if QUOTE_OF in schema:
            return self._sources[schema[QUOTE_OF]].count_words(schema.get(WITHOUT))
        if VALUE_OF in schema:
            return math.inf if self._values(schema) else 0
        if "anyOf" in schema:
            return max(self._capacity(choice) for choice in schema["anyOf"])
        properties = schema.get("properties", {})
        return min(
            (self._capacity(properties[name]) for name in schema.get("required", ())), default=math.inf
        )

    def _values(self, schema: Schema) -> list[str]:
        return self._sources[schema[VALUE_OF]].matches(schema["pattern"])

    def _code(self, schema: Schema) -> str:
        """The opening quotation mark, and what stands for a code and the closing one."""
        quote = _literal('"')
        return f"{quote} <[{self._placeholders[schema[CODE_IN]]}]>"

    def _span(self, schema: Schema) -> str:
        source, without, max_words = schema[QUOTE_OF], schema.get(WITHOUT), schema[MAX_WORDS]
        substring = self._substrings.setdefault((source, without), f"SUBSTRING_{len(self._substrings)}")
        if substring not in self._rules:
            self._rules[substring] = substring_terminal(substring, self._sources[source], without)
        span = f"{substring}_{max_words}"
        self._rules[span] = span_terminal(span, substring, max_words)
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
