"""What a request asks its answer to be."""

from schemas.openai import ChatCompletionRequest, JsonObjectFormat, JsonSchemaFormat, TextFormat
from schemas.structured_outputs import StructuredOutputs
from server.errors import InvalidRequest
from server.grammar.code_systems import CodeSystems
from server.grammar.compiler import ANY_OBJECT
from server.inference.constraint import Constraint, SchemaConstraint
from server.inference.text_constraints import ChoiceConstraint, GrammarConstraint, RegexConstraint

_FORMAT = "response_format"
_OUTPUTS = "structured_outputs"


def constraint_of(body: ChatCompletionRequest, systems: CodeSystems) -> Constraint | None:
    """The constraint of a request, None for free text; raises InvalidRequest where it asks for two."""
    if body.structured_outputs is None:
        return _of_format(body, systems)
    if not isinstance(body.response_format, TextFormat | None):
        raise InvalidRequest(f"{_OUTPUTS} and a {_FORMAT} of JSON exclude each other", param=_OUTPUTS)
    return _of_outputs(body.structured_outputs, systems)


def parameter_of(body: ChatCompletionRequest) -> str:
    """The parameter that an error about the output type is about."""
    return _FORMAT if body.structured_outputs is None else _OUTPUTS


def _of_format(body: ChatCompletionRequest, systems: CodeSystems) -> Constraint | None:
    if isinstance(body.response_format, JsonSchemaFormat):
        return SchemaConstraint(body.response_format.json_schema.json_schema, systems)
    if isinstance(body.response_format, JsonObjectFormat):
        return SchemaConstraint(ANY_OBJECT)
    return None


def _of_outputs(asked: StructuredOutputs, systems: CodeSystems) -> Constraint:
    if asked.choice is not None:
        return ChoiceConstraint(asked.choice)
    if asked.regex is not None:
        return RegexConstraint(asked.regex)
    if asked.grammar is not None:
        return GrammarConstraint(asked.grammar)
    return SchemaConstraint(ANY_OBJECT if asked.json_schema is None else asked.json_schema, systems)
