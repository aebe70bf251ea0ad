"""Constrain: the grammar of an answer, made from what the model will see and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from server.errors import InvalidGrammar
from server.grammar.compiler import Grammar, compile_json_schema, compile_output_type
from server.grammar.grounded import grounded_type
from server.grammar.spans import SourceText
from server.privacy.pseudonyms import PseudonymizedText

# Annotations constrain nothing, and may hold what the engine must not see.
_ANNOTATIONS = frozenset({"$schema", "title", "description", "$comment", "examples", "default", "deprecated"})
_LITERALS = frozenset({"enum", "const"})
_PROPERTY_MAPS = frozenset({"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"})


class Constraint(Protocol):
    """An output type that waits for de-identification before it becomes a grammar. The output is JSON."""

    @property
    def texts(self) -> Sequence[str]:
        """Texts of the caller that the grammar will hold: de-identified with the messages."""
        ...

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:
        """The grammar, given `texts` and the callers' messages as the model sees them."""
        ...


class SchemaConstraint:
    """A caller's JSON Schema. Its `enum` and `const` strings are de-identified like any other text.

    An identifier anywhere else (a property's name, a pattern) cannot be replaced: it is refused.
    """

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._schema = _without_annotations(schema)
        self._fixed = frozenset(_fixed(self._schema))
        self.texts = tuple(dict.fromkeys((*_literals(self._schema), *_fixed(self._schema))))

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:  # noqa: ARG002 - see Constraint
        """See `Constraint.compile`."""
        seen = {text.original: text.text for text in texts}
        if any(seen[text] != text for text in self._fixed):
            raise InvalidGrammar("the schema holds an identifier outside of enum and const")
        return compile_json_schema(_with_literals(self._schema, seen))


class GroundedConstraint:
    """An operator's JSON Schema whose marked strings are spans of the caller's last message."""

    texts: Sequence[str] = ()

    def __init__(self, schema: Mapping[str, Any], source: str) -> None:
        self._schema = schema
        self._source = source

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:  # noqa: ARG002 - see Constraint
        """See `Constraint.compile`."""
        note = messages[-1]
        source = SourceText(note.text, note.atoms)
        return compile_output_type(grounded_type(self._schema, {self._source: source}))


def _without_annotations(schema: Any, *, of_properties: bool = False) -> Any:
    """`of_properties`: the keys of this mapping are names that callers chose, not words of JSON Schema."""
    if isinstance(schema, list):
        return [_without_annotations(each) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: value
        if key in _LITERALS and not of_properties
        else _without_annotations(value, of_properties=key in _PROPERTY_MAPS and not of_properties)
        for key, value in schema.items()
        if of_properties or key not in _ANNOTATIONS
    }


def _literals(schema: Any, *, of_properties: bool = False) -> Iterator[str]:
    """Every string below an `enum` or `const`."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in _LITERALS and not of_properties:
                yield from _strings(value)
            else:
                yield from _literals(value, of_properties=key in _PROPERTY_MAPS and not of_properties)
    elif isinstance(schema, list):
        for each in schema:
            yield from _literals(each)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _strings(each)
    elif isinstance(value, list):
        for each in value:
            yield from _strings(each)


def _fixed(schema: Any, *, literal: bool = False, of_properties: bool = False) -> Iterator[str]:
    """Every string that is not replaced: the keys, and what is not below an `enum` or `const`."""
    if isinstance(schema, str) and not literal:
        yield schema
    elif isinstance(schema, Mapping):
        yield from schema
        for key, value in schema.items():
            yield from _fixed(
                value,
                literal=literal or (key in _LITERALS and not of_properties),
                of_properties=key in _PROPERTY_MAPS and not of_properties,
            )
    elif isinstance(schema, list):
        for each in schema:
            yield from _fixed(each, literal=literal)


def _with_literals(schema: Any, seen: Mapping[str, str], *, of_properties: bool = False) -> Any:
    """`schema` with each string below an `enum` or `const` as the model sees it."""
    if isinstance(schema, list):
        return [_with_literals(each, seen) for each in schema]
    if not isinstance(schema, Mapping):
        return schema
    return {
        key: _replaced(value, seen)
        if key in _LITERALS and not of_properties
        else _with_literals(value, seen, of_properties=key in _PROPERTY_MAPS and not of_properties)
        for key, value in schema.items()
    }


def _replaced(value: Any, seen: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return seen[value]
    if isinstance(value, Mapping):
        return {key: _replaced(each, seen) for key, each in value.items()}
    return [_replaced(each, seen) for each in value] if isinstance(value, list) else value
