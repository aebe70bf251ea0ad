"""Turns an Outlines output type into the grammar text that the engine's matcher reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jsonschema import SchemaError
from llguidance import LLMatcher, grammar_from
from outlines.types.dsl import CFG, JsonSchema, python_types_to_terms, to_regex

from server.errors import InvalidGrammar
from server.grammar.finite import has_finite_document

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_SCHEMA_CHARACTERS = 128 * 1024
ANY_OBJECT: dict[str, Any] = {"type": "object"}

# Generated JSON carries no blanks: each would be a token to wait for.
_COMPACT: "JsonCompileOptions" = {"whitespace_flexible": False}


@dataclass(frozen=True, slots=True)
class Grammar:
    """Checked grammar text in llguidance's form.

    `code_sets` names for each placeholder in it the set of codes that it stands for.
    """

    text: str
    code_sets: Mapping[int, str] = field(default_factory=dict)


def compile_output_type(output_type: Any) -> Grammar:
    """Compile a Pydantic model, Outlines term, regex, choice or JSON Schema term.

    Raises InvalidGrammar with llguidance's reason where the type cannot be forced exactly.
    """
    term = python_types_to_terms(output_type)
    if isinstance(term, JsonSchema):
        text = _json_grammar(term.schema)
    elif isinstance(term, CFG):
        text = grammar_from("lark", term.definition)
    else:
        text = grammar_from("regex", to_regex(term))
    return _checked(text)


def check_json_schema(schema: Mapping[str, Any]) -> JsonSchema:
    """The Outlines term of a caller's schema; raises InvalidGrammar where it is too long, or none."""
    text = json.dumps(schema, ensure_ascii=False)
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise InvalidGrammar(f"the schema is longer than {MAX_SCHEMA_CHARACTERS} characters")
    try:
        return JsonSchema(text)
    except SchemaError as error:
        # Its own message repeats the part at fault, which may be all of the schema.
        place = _one_line(error.json_path)
        raise InvalidGrammar(
            f"this is not a JSON schema: {place} breaks its rule '{error.validator}'"
        ) from None


def compile_json_schema(schema: dict[str, Any]) -> Grammar:
    """Compile a caller's JSON Schema; raises InvalidGrammar naming what cannot be forced."""
    grammar = compile_output_type(check_json_schema(schema))
    if not has_finite_document(schema, schema):
        raise InvalidGrammar("the schema requires itself: none of its documents ends")
    return grammar


def _json_grammar(schema: str) -> str:
    try:
        return str(LLMatcher.grammar_from_json_schema(schema, defaults=_COMPACT))
    except ValueError as error:
        raise InvalidGrammar(f"the JSON schema cannot be forced: {_one_line(str(error))}") from error


def _checked(text: str) -> Grammar:
    fault = LLMatcher.validate_grammar(text)
    if fault:
        raise InvalidGrammar(f"the output type cannot be forced: {_one_line(fault)}")
    return Grammar(text)


def _one_line(fault: str) -> str:
    """First line of a fault, and the last where that says what the first announces."""
    lines = [line.strip() for line in fault.splitlines() if line.strip()]
    announced = lines[0].endswith(":") and len(lines) > 1
    return f"{lines[0]} {lines[-1]}" if announced else lines[0]
