"""Grounded grammars: JSON whose marked strings can only be verbatim spans of a source text.

The marks are those of `server.grammar.marks`. Properties are written in the order of the schema. One that is
not required is left out rather than null (small models all but never write null where the examples before it
hold strings), and one that the source has no value for cannot be written at all. A part that holds no mark is
left to llguidance's own JSON Schema support.
"""

import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from outlines.types import CFG

from server.errors import InvalidGrammar
from server.grammar.choices import codes_clash
from server.grammar.compiler import compile_json_schema, inlined
from server.grammar.literals import choice, compact, literal
from server.grammar.marked import MarkedParts, resolved, without_marks
from server.grammar.marks import (
    ANNOTATIONS,
    CODE_IN,
    DEFAULT_WORDS,
    DEFINITIONS,
    MAX_WORDS,
    MOST_WORDS,
    OPERATORS_MARKS,
    QUOTE_OF,
    VALUE_OF,
    WITHOUT,
)
from server.grammar.members import Member, members
from server.grammar.spans import SourceText, span_terminal, substring_terminal

Schema = Mapping[str, Any]

NO_PLACEHOLDERS: Mapping[str, int] = MappingProxyType({})

MAX_GRAMMAR_CHARACTERS = 8 * 1024 * 1024

_LONGEST_PATH = 120
_ALWAYS = ANNOTATIONS | DEFINITIONS
_DEFINED = tuple(f"#/{key}/" for key in DEFINITIONS)
_KEYWORDS: Mapping[str, frozenset[str]] = {
    "object": frozenset({"properties", "required", "additionalProperties"}),
    "array": frozenset({"items", "minItems", "maxItems"}),
}


@dataclass(frozen=True, slots=True)
class _Part:
    """What a part of the schema may be: a Lark expression, and how many different findings it can hold."""

    text: str
    findings: float = math.inf


_NULL = _Part('"null"')


def grounded_type(
    schema: Schema,
    sources: Mapping[str, SourceText],
    marks: frozenset[str] = OPERATORS_MARKS,
    placeholders: Mapping[str, int] = NO_PLACEHOLDERS,
) -> CFG:
    """The Outlines output type of `schema` over `sources`, as one Lark grammar.

    `marks` are those that the schema may hold, `placeholders` the token ids that stand for code systems, by
    their names. Raises InvalidGrammar, with path and reason, for a mark that
    would not be honoured or stands where no grammar can be written, and where the sources lack the words.
    """
    return CFG(_LarkWriter(schema, sources, marks, placeholders).write())


@functools.lru_cache(256)
def _plain_grammar(schema: str) -> str:
    """Tasks ask for the same parts again and again."""
    return inlined(compile_json_schema(json.loads(schema)))


class _LarkWriter:
    """Collects Lark rules while it walks a schema. A part is None where the sources let none be written."""

    def __init__(
        self,
        schema: Schema,
        sources: Mapping[str, SourceText],
        marks: frozenset[str],
        placeholders: Mapping[str, int],
    ) -> None:
        self._schema = schema
        self._sources = sources
        self._marks = marks
        self._placeholders = placeholders
        self._marked = MarkedParts(schema)
        self._definitions = {
            key: without_marks(schema[key], of_properties=True) for key in DEFINITIONS & schema.keys()
        }
        self._rules: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._referred: dict[str, _Part | None] = {}
        self._open: set[str] = set()
        self._substrings: dict[tuple[str, str | None], str] = {}
        self._count_words = functools.cache(SourceText.count_words)
        self._writers: Mapping[str, Callable[[Schema, str], _Part | None]] = {
            QUOTE_OF: self._quote,
            VALUE_OF: self._value,
            CODE_IN: self._code,
        }

    def write(self) -> str:
        start = self._expression(self._schema, "$")
        if start is None:
            raise InvalidGrammar("there is nothing to quote, and the schema has no document without a quote")
        text = "\n".join([f"start: {start.text}", *self._rules.values()])
        if len(text) > MAX_GRAMMAR_CHARACTERS:
            raise InvalidGrammar("the schema and the message are too long to be quoted from")
        return text

    def _expression(self, schema: Schema, path: str) -> _Part | None:
        if schema not in self._marked:
            return self._plain(schema, path)
        for mark in OPERATORS_MARKS & schema.keys() - self._marks:
            raise _fault(path, f"'{mark}' is not supported")
        for mark, write in self._writers.items():
            if mark in schema:
                return write(schema, path)
        for mark in OPERATORS_MARKS & schema.keys():
            raise _fault(path, f"'{mark}' needs '{QUOTE_OF}' beside it")
        if "$ref" in schema:
            _check_keywords(schema, {"$ref"}, path)
            return self._reference(schema["$ref"], path)
        if "anyOf" in schema:
            _check_keywords(schema, {"anyOf"}, path)
            if codes_clash(schema["anyOf"], self._schema):
                raise _fault(path, f"beside '{CODE_IN}' no other choice can be a string")
            return _either(
                self._expression(each, f"{path}.anyOf[{index}]") for index, each in enumerate(schema["anyOf"])
            )
        return self._typed(schema, path)

    def _typed(self, schema: Schema, path: str) -> _Part | None:
        if "type" not in schema:
            _check_keywords(schema, set().union(*_KEYWORDS.values()), path)
            raise _fault(path, "a quote stands below, so 'type' must say what kind of value this is")
        kinds = [schema["type"]] if isinstance(schema["type"], str) else schema["type"]
        known: set[str] = set().union(*(_KEYWORDS.get(kind, ()) for kind in kinds))
        _check_keywords(schema, {"type", *known}, path)
        return _either(self._of_kind(kind, schema, path) for kind in kinds)

    def _of_kind(self, kind: str, schema: Schema, path: str) -> _Part | None:
        match kind:
            case "object":
                return self._object(schema, path)
            case "array":
                return self._array(schema, path)
            case "null":
                return _NULL
            case _:
                return self._plain({"type": kind}, path)

    def _reference(self, reference: str, path: str) -> _Part | None:
        """Each definition is written once, as a rule."""
        if reference in self._open:
            raise _fault(path, "a definition that holds a quote cannot refer to itself")
        if reference not in self._referred:
            self._open.add(reference)
            part = self._expression(resolved(reference, self._schema), _shown(reference))
            self._open.remove(reference)
            self._referred[reference] = part and _Part(self._rule(part.text), part.findings)
        return self._referred[reference]

    def _object(self, schema: Schema, path: str) -> _Part | None:
        if schema.get("additionalProperties", False) is not False:
            raise _fault(path, "'additionalProperties' can only be false where a quote stands below")
        properties, required = schema.get("properties", {}), frozenset(schema.get("required", ()))
        if unknown := required - properties.keys():
            raise _fault(path, f"{len(unknown)} of 'required' are not among 'properties'")
        found: list[Member] = []
        findings = math.inf
        for name, schema_of_member in properties.items():
            is_required = name in required
            is_left_out = not is_required and schema_of_member in self._marked
            member = _without_null(schema_of_member) if is_left_out else schema_of_member
            part = self._expression(member, f"{path}.properties.{name}")
            if part is None and is_required:
                return None
            if part is not None:
                found.append(Member(f"{literal(compact(name) + ':')} {part.text}", is_required))
                findings = min(findings, part.findings) if is_required else findings
        return _Part(members(found, self._rule), findings)

    def _array(self, schema: Schema, path: str) -> _Part | None:
        """No more findings than the sources have words to name them, unless the schema asks for more."""
        fewest = int(schema.get("minItems", 0))
        item = self._expression(schema.get("items", {}), f"{path}.items")
        if item is None:
            return None if fewest else _Part(literal("[]"))
        most = max(fewest, min(schema.get("maxItems", math.inf), item.findings))
        if not most:
            return _Part(literal("[]"))
        rule = self._rule(item.text)
        upper = "" if most == math.inf else f"{most - 1:.0f}"
        more = "" if most == 1 else f"({literal(',')} {rule}){{{max(fewest - 1, 0)},{upper}}}"
        return _Part(f"{literal('[')} ({rule} {more}){'' if fewest else '?'} {literal(']')}")

    def _quote(self, schema: Schema, path: str) -> _Part | None:
        _check_keywords(schema, {"type", QUOTE_OF, MAX_WORDS, WITHOUT}, path)
        source = self._source(schema, QUOTE_OF, path)
        max_words = schema.get(MAX_WORDS, DEFAULT_WORDS)
        if type(max_words) is not int or not 1 <= max_words <= MOST_WORDS:
            raise _fault(path, f"'{MAX_WORDS}' must be a whole number from 1 to {MOST_WORDS}")
        words = self._count_words(source, schema.get(WITHOUT))
        quote = literal('"')
        span = words and _Part(
            f"{quote} {self._span(schema[QUOTE_OF], schema.get(WITHOUT), max_words)} {quote}", words
        )
        return _nullable(span or None, schema, path)

    def _value(self, schema: Schema, path: str) -> _Part | None:
        _check_keywords(schema, {"type", VALUE_OF, "pattern"}, path)
        values = self._source(schema, VALUE_OF, path).matches(schema["pattern"])
        return _nullable(_Part(choice(values)) if values else None, schema, path)

    def _code(self, schema: Schema, path: str) -> _Part | None:
        """The opening quotation mark, and what stands for a code and the closing one."""
        _check_keywords(schema, {"type", CODE_IN}, path)
        name = schema[CODE_IN]
        if not isinstance(name, str) or name not in self._placeholders:
            raise _fault(path, f"'{CODE_IN}' names no loaded code system: {_shown(json.dumps(name))}")
        quote = literal('"')
        return _nullable(_Part(f"{quote} <[{self._placeholders[name]}]>"), schema, path)

    def _source(self, schema: Schema, mark: str, path: str) -> SourceText:
        name = schema[mark]
        if not isinstance(name, str) or name not in self._sources:
            raise _fault(path, f"'{mark}' must be one of {sorted(self._sources)}")
        return self._sources[name]

    def _span(self, source: str, without: str | None, max_words: int) -> str:
        substring = self._substrings.setdefault((source, without), f"SUBSTRING_{len(self._substrings)}")
        if substring not in self._rules:
            self._rules[substring] = substring_terminal(substring, self._sources[source], without)
        span = f"{substring}_{max_words}"
        self._rules[span] = span_terminal(span, substring, max_words)
        return span

    def _plain(self, schema: Any, path: str) -> _Part:
        """A part without quotes, with the definitions that it refers to."""
        if not isinstance(schema, Mapping):
            schema = {} if schema else {"not": {}}
        target = resolved(schema["$ref"], self._schema) if schema.keys() == {"$ref"} else schema
        if _are_texts(target):
            return _Part(choice(target["enum"]))
        references = self._marked.references(schema)
        if not all(each.startswith(_DEFINED) for each in references):
            raise _fault(path, "beside quotes, a '$ref' must lead to one of the root's definitions")
        beyond = self._definitions if references else {}
        text = json.dumps({**schema, **beyond}, ensure_ascii=False)
        if text not in self._names:
            try:
                self._names[text] = self._rule(_plain_grammar(text))
            except InvalidGrammar as error:
                raise _fault(path, error.message) from None
        return _Part(self._names[text])

    def _rule(self, text: str) -> str:
        name = f"part_{len(self._rules)}"
        self._rules[name] = f"{name}: {text}"
        return name


def _check_keywords(schema: Schema, known: Iterable[str], path: str) -> None:
    """Whatever else stands there would not be forced."""
    for keyword in schema.keys() - _ALWAYS - frozenset(known):
        raise _fault(
            path, f"'{_shown(keyword)}' cannot stand here beside or above '{QUOTE_OF}' or '{CODE_IN}'"
        )


def _nullable(part: _Part | None, schema: Schema, path: str) -> _Part | None:
    match schema.get("type"):
        case "string":
            return part
        case ["string", "null"] | ["null", "string"]:
            return _either([part, _NULL])
        case _:
            raise _fault(path, "only a 'string', or a 'string' or 'null', can be marked")


def _either(choices: Iterable[_Part | None]) -> _Part | None:
    possible = [choice for choice in choices if choice is not None]
    if len(possible) <= 1:
        return possible[0] if possible else None
    return _Part(f"({' | '.join(each.text for each in possible)})", max(each.findings for each in possible))


def _without_null(schema: Schema) -> Schema:
    """A nullable schema without its null."""
    if "anyOf" not in schema or not schema.keys() <= {"anyOf", *ANNOTATIONS}:
        return schema
    choices = [choice for choice in schema["anyOf"] if choice != {"type": "null"}]
    return choices[0] if len(choices) == 1 else schema


def _are_texts(schema: Any) -> bool:
    """Whether it is an `enum` of strings and nothing else."""
    if not isinstance(schema, Mapping) or not schema.keys() <= {"enum", "type", *ANNOTATIONS}:
        return False
    texts = schema.get("enum")
    is_list = isinstance(texts, list) and len(texts) > 0 and all(isinstance(each, str) for each in texts)
    return is_list and schema.get("type", "string") == "string"


def _shown(text: str) -> str:
    """`text` short enough for an error."""
    return text if len(text) <= _LONGEST_PATH else f"{text[:_LONGEST_PATH]}..."


def _fault(path: str, reason: str) -> InvalidGrammar:
    return InvalidGrammar(f"{_shown(path)}: {reason}")
