"""Schemas with fields that hold codes (`x-code-in`): what may stand around them, and their grammar."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from server.errors import InvalidGrammar
from server.grammar.code_systems import CodeSystems
from server.grammar.compiler import Grammar, check_json_schema, compile_json_schema, compile_output_type
from server.grammar.exact import exactly
from server.grammar.grounded import grounded_type
from server.grammar.marks import CODE_IN
from server.grammar.spans import SourceText

Schema = Mapping[str, Any]

_ANNOTATIONS = frozenset({"title", "description", "default", "$defs", "$schema"})
_SCALARS = frozenset({"string", "number", "integer", "boolean", "null"})


def holds_codes(schema: Any) -> bool:
    """Whether `x-code-in` stands anywhere in `schema`."""
    if isinstance(schema, Mapping):
        return CODE_IN in schema or any(map(holds_codes, schema.values()))
    return isinstance(schema, list) and any(map(holds_codes, schema))


def compile_coded_schema(schema: Schema, systems: CodeSystems) -> Grammar:
    """Compile a caller's JSON Schema that holds codes; raises InvalidGrammar naming what cannot be forced.

    It must be one that could be forced without the codes, too.
    """
    plain = _without_marks(schema)
    check_json_schema(plain)
    grammar = compile_grounded(_with_nulls_kept(exactly(schema)), {}, systems)
    return replace(grammar, shortest=compile_json_schema(plain).shortest)


def compile_grounded(schema: Schema, sources: Mapping[str, SourceText], systems: CodeSystems) -> Grammar:
    """Compile a schema whose marked strings are spans of `sources` or codes of `systems`.

    Raises InvalidGrammar naming the path, and the system, where a mark cannot be followed.
    """
    names: list[str] = []
    if holds_codes(schema):
        names = list(dict.fromkeys(_CodeFields(schema, systems).systems()))
    placeholders = systems.placeholders(names)
    grammar = compile_output_type(grounded_type(schema, sources, placeholders))
    return replace(grammar, code_sets={token: name for name, token in placeholders.items()})


def _without_marks(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_marks(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _without_marks(value)
        for key, value in schema.items()
        if key != CODE_IN or isinstance(value, Mapping)
    }


def _with_nulls_kept(schema: Any) -> Any:
    """`schema` with its nulls as callers mean them: the grounded grammar leaves out what is of type null."""
    if isinstance(schema, list):
        return [_with_nulls_kept(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    if schema.get("type") == "null":
        return {"enum": [None]}
    return {key: _with_nulls_kept(value) for key, value in schema.items()}


class _CodeFields:
    """Walks a schema as its grammar is written, and refuses what would be left out of that."""

    def __init__(self, schema: Schema, systems: CodeSystems) -> None:
        self._schema = schema
        self._definitions: Mapping[str, Any] = schema.get("$defs", {})
        self._systems = systems

    def systems(self) -> Iterator[str]:
        """The system of each code field."""
        yield from self._walk(self._schema, "$", ())

    def _walk(self, schema: Any, path: str, references: tuple[str, ...]) -> Iterator[str]:
        if not isinstance(schema, Mapping):
            raise InvalidGrammar(f"{path}: true and false are no schemas beside {CODE_IN}")
        if CODE_IN in schema:
            yield self._system(schema, path)
        elif "$ref" in schema:
            yield from self._follow(schema, path, references)
        elif "anyOf" in schema:
            yield from self._choices(schema, path, references)
        elif "enum" in schema:
            return
        elif schema.get("type") == "object":
            yield from self._properties(schema, path, references)
        elif schema.get("type") == "array":
            _check_keys(schema, path, {"type", "items", "maxItems"}, needed=("items", "maxItems"))
            yield from self._walk(schema["items"], f"{path}.items", references)
        elif holds_codes(schema):
            raise InvalidGrammar(f"{path}: {CODE_IN} stands below objects, arrays and anyOf only")
        elif not _is_scalar(schema):
            raise InvalidGrammar(f"{path}: 'type' must say what this is beside {CODE_IN}")

    def _system(self, schema: Schema, path: str) -> str:
        _check_keys(schema, path, {"type", CODE_IN}, needed=("type",))
        if schema["type"] != "string":
            raise InvalidGrammar(f'{path}: {CODE_IN} needs "type": "string"')
        name = schema[CODE_IN]
        if not isinstance(name, str) or name not in self._systems:
            raise InvalidGrammar(f"{path}: {CODE_IN} names no loaded code system: {json.dumps(name)[:80]}")
        return name

    def _properties(self, schema: Schema, path: str, references: tuple[str, ...]) -> Iterator[str]:
        keys = {"type", "properties", "required", "additionalProperties"}
        _check_keys(schema, path, keys, needed=("properties", "required"))
        properties, required = schema["properties"], schema["required"]
        if schema.get("additionalProperties", False) is not False:
            raise InvalidGrammar(f"{path}: beside {CODE_IN} additionalProperties can be false only")
        if not properties or next(iter(properties)) not in required or set(required) - set(properties):
            raise InvalidGrammar(
                f"{path}: the first property must be required, and all that is be a property"
            )
        for name, part in properties.items():
            yield from self._walk(part, f"{path}.properties.{name}", references)

    def _follow(self, schema: Schema, path: str, references: tuple[str, ...]) -> Iterator[str]:
        _check_keys(schema, path, {"$ref"})
        name = schema["$ref"].removeprefix("#/$defs/")
        if name not in self._definitions:
            raise InvalidGrammar(f"{path}: beside {CODE_IN} a $ref names one of #/$defs")
        if name in references:
            raise InvalidGrammar(f"{path}: beside {CODE_IN} no part of a schema can hold itself")
        yield from self._walk(self._definitions[name], path, (*references, name))

    def _choices(self, schema: Schema, path: str, references: tuple[str, ...]) -> Iterator[str]:
        _check_keys(schema, path, {"anyOf"})
        choices = schema["anyOf"]
        for at, choice in enumerate(choices):
            yield from self._walk(choice, f"{path}.anyOf[{at}]", references)
        texts = [self._may_be_text(choice) for choice in choices]
        if any(map(self._is_code, choices)) and sum(texts) > 1:
            raise InvalidGrammar(f"{path}.anyOf: beside {CODE_IN} no other choice can be a string")

    def _is_code(self, schema: Schema) -> bool:
        return CODE_IN in self._resolved(schema)

    def _may_be_text(self, schema: Schema) -> bool:
        """Whether a document of `schema` may be a string; so of all that does not say."""
        schema = self._resolved(schema)
        if "enum" in schema:
            return any(isinstance(each, str) for each in schema["enum"])
        kinds = schema.get("type", "string")
        return "string" in ([kinds] if isinstance(kinds, str) else kinds)

    def _resolved(self, schema: Schema) -> Schema:
        while "$ref" in schema:
            schema = self._definitions[schema["$ref"].removeprefix("#/$defs/")]
        return schema


def _is_scalar(schema: Schema) -> bool:
    kinds = schema.get("type", "object")
    return "const" in schema or _SCALARS.issuperset([kinds] if isinstance(kinds, str) else kinds)


def _check_keys(schema: Schema, path: str, known: set[str], needed: tuple[str, ...] = ()) -> None:
    unknown = sorted(schema.keys() - known - _ANNOTATIONS)
    if unknown:
        raise InvalidGrammar(f"{path}: '{unknown[0]}' cannot be forced beside {CODE_IN}")
    missing = [key for key in needed if key not in schema]
    if missing:
        raise InvalidGrammar(f"{path}: '{missing[0]}' is needed beside {CODE_IN}")
