"""What a chat asks of tools: the definitions, who may be called, and the calls of earlier turns."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.openai import ChatCompletionRequest, ChatMessage, TextFormat
from schemas.tools import FunctionDefinition, NamedTool, SentToolCall
from server.errors import InvalidRequest
from server.grammar.compiler import MAX_SCHEMA_CHARACTERS
from server.inference.leaves import depth
from server.inference.request import Message
from server.inference.tools import Tool, ToolCall, Tools

MAX_CALLS = 16
MAX_DEPTH = 32

_NO_PARAMETERS: dict[str, Any] = {"type": "object", "properties": {}, "additionalProperties": False}


def tools_of(body: ChatCompletionRequest) -> Tools | None:
    """The tools that may be called, None where none may; raises InvalidRequest naming the parameter."""
    if body.tools is None:
        for name in ("tool_choice", "parallel_tool_calls"):
            if getattr(body, name) is not None:
                raise InvalidRequest(f"{name} needs tools", param=name)
        return None
    tools = tuple(_tool(number, each.function) for number, each in enumerate(body.tools))
    _check_definitions(tools)
    named = body.tool_choice.function.name if isinstance(body.tool_choice, NamedTool) else None
    if named is not None and named not in {tool.name for tool in tools}:
        raise InvalidRequest("tool_choice names none of the tools", param="tool_choice")
    mode = "auto" if body.tool_choice is None else body.tool_choice.type
    if mode == "none":
        return None
    _check_company(body)
    several = named is None and body.parallel_tool_calls is not False
    return Tools(tools, required=mode != "auto", only=named, most_calls=MAX_CALLS if several else 1)


def messages_of(messages: Sequence[ChatMessage]) -> tuple[Message, ...]:
    """The turns; raises InvalidRequest where calls and results do not belong to each other."""
    return tuple(_turns(messages))


def _tool(number: int, function: FunctionDefinition) -> Tool:
    parameters = _NO_PARAMETERS if function.parameters is None else {"type": "object"} | function.parameters
    if parameters["type"] != "object":
        raise InvalidRequest(f"tools.{number}: the parameters must be of the type 'object'", param="tools")
    if depth(parameters) > MAX_DEPTH:
        raise InvalidRequest(f"tools.{number}: the parameters nest deeper than {MAX_DEPTH}", param="tools")
    return Tool(function.name, function.description, parameters)


def _check_definitions(tools: Sequence[Tool]) -> None:
    if len({tool.name for tool in tools}) < len(tools):
        raise InvalidRequest("two tools have the same name", param="tools")
    if sum(len(json.dumps(tool.shape, ensure_ascii=False)) for tool in tools) > MAX_SCHEMA_CHARACTERS:
        raise InvalidRequest(f"the tools are longer than {MAX_SCHEMA_CHARACTERS} characters", param="tools")


def _check_company(body: ChatCompletionRequest) -> None:
    if not isinstance(body.response_format, TextFormat | None):
        raise InvalidRequest(
            "a response_format of JSON and tools that may be called exclude each other",
            param="response_format",
        )
    if body.structured_outputs is not None:
        raise InvalidRequest(
            "structured_outputs and tools that may be called exclude each other", param="structured_outputs"
        )
    if body.logprobs:
        raise InvalidRequest("logprobs and tools that may be called exclude each other", param="logprobs")


def _turns(messages: Sequence[ChatMessage]) -> Iterator[Message]:
    open_calls: dict[str, ToolCall] = {}
    asked = made = 0
    for number, message in enumerate(messages):
        if message.role == "tool":
            call = open_calls.pop(message.tool_call_id or "", None)
            if call is None:
                place = f"messages.{number}.tool_call_id"
                raise InvalidRequest(f"{place}: no call before it waits for this result", param=place)
            yield Message("tool", message.text, calls=(call,))
            continue
        _check_answered(asked, open_calls)
        asked, open_calls = number, _calls(number, made, message.tool_calls or [])
        made += len(open_calls)
        role = "system" if message.role == "developer" else message.role
        yield Message(role, message.text, calls=tuple(open_calls.values()))
    _check_answered(asked, open_calls)


def _check_answered(asked: int, open_calls: dict[str, ToolCall]) -> None:
    if open_calls:
        place = f"messages.{asked}.tool_calls"
        raise InvalidRequest(f"{place}: {len(open_calls)} of them have no result after them", param=place)


def _calls(number: int, made: int, sent: Sequence[SentToolCall]) -> dict[str, ToolCall]:
    """By the callers' ids. The model sees ids of ours: theirs may hold anything."""
    calls: dict[str, ToolCall] = {}
    for position, each in enumerate(sent):
        place = f"messages.{number}.tool_calls.{position}"
        if each.id in calls:
            raise InvalidRequest(f"{place}.id: another call has this id", param=f"{place}.id")
        arguments = _arguments(each.function.arguments, f"{place}.function.arguments")
        calls[each.id] = ToolCall(f"call_{made + position + 1}", each.function.name, arguments)
    return calls


def _arguments(text: str, place: str) -> str:
    try:
        arguments = json.loads(text, parse_constant=_refuse)
        if isinstance(arguments, dict) and depth(arguments) <= MAX_DEPTH:
            return text
    except (ValueError, RecursionError):
        pass
    raise InvalidRequest(
        f"{place}: the JSON text of an object is expected, nested at most {MAX_DEPTH} deep", param=place
    )


def _refuse(constant: str) -> Any:
    raise ValueError(constant)
