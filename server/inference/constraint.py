"""Constrain: the grammar of an answer, made from what the model will see and nothing else."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from server.errors import InvalidGrammar
from server.grammar.code_systems import NO_CODE_SYSTEMS, CodeSystems
from server.grammar.coded import compile_marked
from server.grammar.compiler import Grammar, compile_json_schema
from server.grammar.marked import MarkedParts, without_keywords, without_marks
from server.grammar.marks import ANNOTATIONS, CALLERS_MARKS, LITERALS, PROPERTY_MAPS
from server.grammar.spans import SourceText
from server.inference.conformity import check_document
from server.privacy.pseudonyms import PseudonymizedText

# llguidance's own keyword: some of its options let it pass over keywords that it cannot force.
_OPTIONS = "x-guidance"

SOURCE = "text"
"""What marks call the message that answers are quoted from."""


class Constraint(Protocol):
    """An output type that waits for de-identification before it becomes a grammar."""

    @property
    def is_json(self) -> bool:
        """Whether the answer is JSON: identities are then restored as its strings hold them."""
        ...

    @property
    def texts(self) -> Sequence[str]:
        """Texts of the caller that the grammar will hold: de-identified with the messages."""
        ...

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:
        """The grammar, given `texts` and the messages of the role `user`; raises InvalidGrammar."""
        ...

    def check(self, answer: str) -> None:
        """Raise InvalidOutput where a whole answer, with identities restored, is not of the output type."""
        ...


class SchemaConstraint:
    """A caller's JSON Schema. Its `enum` and `const` strings are de-identified like any other text.

    An answer has them back as the schema spells them, whatever the messages call the same person. An
    identifier anywhere else (a property's name, a pattern) cannot be replaced: it is refused. Strings may be
    marked as quotes of the last user message, or as codes of `systems`.
    """

    is_json = True

    def __init__(self, schema: Mapping[str, Any], systems: CodeSystems = NO_CODE_SYSTEMS) -> None:
        self._asked = schema
        self._systems = systems
        self._schema = without_keywords(schema, ANNOTATIONS)
        self._fixed = frozenset(_fixed(self._schema))
        self.texts = tuple(dict.fromkeys((*_literals(self._schema), *_fixed(self._schema))))

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:
        """See `Constraint.compile`."""
        seen = {text.original: text.spelled for text in texts}
        if any(seen[text] != text for text in self._fixed):
            raise InvalidGrammar("the schema holds an identifier outside of enum and const")
        if _OPTIONS in self._fixed:
            raise InvalidGrammar(f"'{_OPTIONS}' is not supported")
        schema = _with_literals(self._schema, seen)
        if schema not in MarkedParts(schema):
            return compile_json_schema(schema)
        compile_json_schema(without_marks(schema))
        source = SourceText(messages[-1].spelled, messages[-1].spelled_atoms) if messages else SourceText("")
        return compile_marked(schema, {SOURCE: source}, self._systems, CALLERS_MARKS)

    def check(self, answer: str) -> None:
        """See `Constraint.check`."""
        check_document(answer, self._asked)


class GroundedConstraint:
    """An operator's JSON Schema whose marked strings are spans of the caller's last message, or codes."""

    is_json = True
    texts: Sequence[str] = ()

    def __init__(
        self, schema: Mapping[str, Any], source: str, systems: CodeSystems = NO_CODE_SYSTEMS
    ) -> None:
        self._schema = schema
        self._source = source
        self._systems = systems

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:  # noqa: ARG002 - see Constraint
        """See `Constraint.compile`."""
        note = messages[-1]
        source = SourceText(note.text, note.atoms)
        return compile_marked(self._schema, {self._source: source}, self._systems)

    def check(self, answer: str) -> None:
        """See `Constraint.check`."""
        check_document(answer, self._schema)


def _literals(schema: Any, *, of_properties: bool = False) -> Iterator[str]:
    """Every string below an `enum` or `const`."""
    if isinstance(schema, Mapping):
        for key, value in schema.items():
            if key in LITERALS and not of_properties:
                yield from _strings(value)
            else:
                yield from _literals(value, of_properties=key in PROPERTY_MAPS and not of_properties)
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
                literal=literal or (key in LITERALS and not of_properties),
                of_properties=key in PROPERTY_MAPS and not of_properties,
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
        if key in LITERALS and not of_properties
        else _with_literals(value, seen, of_properties=key in PROPERTY_MAPS and not of_properties)
        for key, value in schema.items()
    }


def _replaced(value: Any, seen: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return seen[value]
    if isinstance(value, Mapping):
        return {key: _replaced(each, seen) for key, each in value.items()}
    return [_replaced(each, seen) for each in value] if isinstance(value, list) else value
