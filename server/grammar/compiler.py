"""Turns an Outlines output type into the grammar text that the engine's matcher reads."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator, SchemaError
from jsonschema.validators import validator_for
from llguidance import LLMatcher, grammar_from
from outlines.types.dsl import CFG, JsonSchema, python_types_to_terms, to_regex

from server.errors import InvalidGrammar
from server.grammar.blame import place_of_fault
from server.grammar.depth import MOST_LEVELS, is_too_deep
from server.grammar.exact import check_patterns, exactly
from server.grammar.shortest import MOST_CHARACTERS, TooLong, shortest_document

if TYPE_CHECKING:
    from llguidance._lib import JsonCompileOptions

MAX_SCHEMA_CHARACTERS = 128 * 1024
MAX_PLACE_CHARACTERS = 200
ANY_OBJECT: dict[str, Any] = {"type": "object"}

# Generated JSON carries no blanks: each would be a token to wait for. And no \u escapes: with them a name
# that the schema declares could be spelled as one that it does not ("\u0061" for "a").
_OPTIONS = "x-guidance"
_COMPACT: "JsonCompileOptions" = {"whitespace_flexible": False, "json_allowed_escapes": 'nrbtf\\"'}


@dataclass(frozen=True, slots=True)
class Grammar:
    """Checked grammar text in llguidance's form.

    No document of it is shorter than `shortest`, where that is known. `code_sets` names for each placeholder
    in it the set of codes that it stands for.
    """

    text: str
    shortest: str | None = None
    code_sets: Mapping[int, str] = field(default_factory=dict)


def compile_output_type(output_type: Any) -> Grammar:
    """Compile a Pydantic model, Outlines term, regex, choice or JSON Schema term.

    Raises InvalidGrammar with llguidance's reason where the type cannot be forced exactly.
    """
    term = python_types_to_terms(output_type)
    if isinstance(term, JsonSchema):
        return compile_json_schema(json.loads(term.schema))
    text = (
        grammar_from("lark", term.definition)
        if isinstance(term, CFG)
        else grammar_from("regex", to_regex(term))
    )
    fault = LLMatcher.validate_grammar(text)
    if fault:
        raise InvalidGrammar(f"the output type cannot be forced: {_one_line(fault)}")
    return Grammar(text)


def compile_json_schema(schema: dict[str, Any]) -> Grammar:
    """Compile a JSON Schema, exactly; raises InvalidGrammar naming what cannot be forced, and where."""
    _check(schema)
    try:
        exact = exactly(schema)
        shortest = shortest_document(schema)
        text = _json_grammar(exact)
    except TooLong:
        raise InvalidGrammar(f"every document has more than {MOST_CHARACTERS} characters") from None
    except RecursionError:
        raise InvalidGrammar("the schema is nested too deeply") from None
    if shortest is None:
        raise InvalidGrammar("the schema requires itself: none of its documents ends")
    return Grammar(text, shortest)


def inlined(grammar: Grammar) -> str:
    """A compiled grammar, JSON or Lark, as a part of a Lark grammar."""
    if not grammar.text.startswith("{"):
        return f"%lark {{\n{grammar.text}\n}}"
    [document] = json.loads(grammar.text)["grammars"]
    return f"%json {json.dumps(document['json_schema'], ensure_ascii=False)}"


def _check(schema: dict[str, Any]) -> None:
    text = json.dumps(schema, ensure_ascii=False)
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise InvalidGrammar(f"the schema is longer than {MAX_SCHEMA_CHARACTERS} characters")
    if is_too_deep(schema):
        raise InvalidGrammar(f"the schema is nested too deeply: more than {MOST_LEVELS} levels")
    if _OPTIONS in schema:
        raise InvalidGrammar(f"#/{_OPTIONS} is not for callers: it would loosen what is forced")
    check_patterns(schema)
    try:
        validator_for(schema, default=Draft202012Validator).check_schema(schema)
    except SchemaError as error:
        # Its own message repeats the part at fault, which may be all of the schema.
        place = _one_line(error.json_path)
        raise InvalidGrammar(
            f"this is not a JSON schema: {place} breaks its rule '{error.validator}'"
        ) from None


def _json_grammar(schema: Mapping[str, Any]) -> str:
    text, fault = _attempt(schema)
    if fault:
        place = _one_line(place_of_fault(schema, lambda part: _attempt(part)[1]))
        raise InvalidGrammar(f"{place[:MAX_PLACE_CHARACTERS]} cannot be forced: {fault}")
    return text


def _attempt(schema: Mapping[str, Any]) -> tuple[str, str]:
    """The grammar, and what llguidance has against it, one of them empty."""
    try:
        text = LLMatcher.grammar_from_json_schema(json.dumps(schema, ensure_ascii=False), overrides=_COMPACT)
    except ValueError as error:
        return "", _one_line(str(error))
    fault = LLMatcher.validate_grammar(text)
    return ("", _one_line(fault)) if fault else (str(text), "")


def _one_line(fault: str) -> str:
    """First line of a fault, and the last where that says what the first announces."""
    lines = [line.strip() for line in fault.splitlines() if line.strip()]
    announced = lines[0].endswith(":") and len(lines) > 1
    return f"{lines[0]} {lines[-1]}" if announced else lines[0]
