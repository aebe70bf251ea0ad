"""Messages and tools in the shape that chat templates take.

Templates that know nothing of tools get them as text, in the style of Hermes: the definitions within
`<tools>`, calls within `<tool_call>`, results within `<tool_response>`.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from server.grammar.tool_calls import CallSyntax
from server.inference.request import Message
from server.inference.tools import ToolCall

Turn = dict[str, Any]

_PREAMBLE = """\
You can call the functions below. Each line between the tags describes one as JSON.
<tools>
{tools}
</tools>
To call functions, write for each a line with its name and its arguments as JSON, and nothing after it:
{call}
What a call brings comes back to you between <tool_response> and </tool_response>."""


def native_turns(messages: Sequence[Message]) -> list[Turn]:
    """For a template that renders calls and results itself: arguments are objects, not JSON text."""
    return [_native(message) for message in messages]


def plain_turns(
    messages: Sequence[Message], tools: Sequence[Mapping[str, Any]], syntax: CallSyntax, *, system: bool
) -> list[Turn]:
    """For a template that does not; `system` is whether it takes a system message to name the tools in."""
    turns: list[Turn] = []
    for is_result, group in itertools.groupby(messages, key=lambda each: each.role == "tool"):
        if is_result:
            turns.append(_results(group))
        else:
            turns.extend(_said(message, syntax) for message in group)
    if not tools:
        return turns
    role = "system" if system else "user"
    preamble = _preamble(tools, syntax)
    if turns[0]["role"] == role:
        first = turns[0]["content"]
        turns[0]["content"] = f"{first}\n\n{preamble}" if system else f"{preamble}\n\n{first}"
        return turns
    return [{"role": role, "content": preamble}, *turns]


def _native(message: Message) -> Turn:
    turn: Turn = {"role": message.role, "content": message.text}
    if message.role == "tool":
        [answered] = message.calls
        return turn | {"name": answered.name, "tool_call_id": answered.id}
    if message.calls:
        turn["tool_calls"] = [_shape(call) for call in message.calls]
    return turn


def _shape(call: ToolCall) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.loads(call.arguments)}
    return {"id": call.id, "type": "function", "function": function}


def _said(message: Message, syntax: CallSyntax) -> Turn:
    calls = [_written(call.name, call.arguments, syntax) for call in message.calls]
    return {"role": message.role, "content": "\n".join(filter(None, [message.text, *calls]))}


def _written(name: str, arguments: str, syntax: CallSyntax) -> str:
    return f"{syntax.opening}{name}{syntax.middle}{arguments}{syntax.closing}"


def _results(messages: Iterable[Message]) -> Turn:
    texts = [f"<tool_response>{message.text}</tool_response>" for message in messages]
    return {"role": "user", "content": "\n".join(texts)}


def _preamble(tools: Sequence[Mapping[str, Any]], syntax: CallSyntax) -> str:
    lines = [json.dumps(tool, ensure_ascii=False, separators=(",", ":")) for tool in tools]
    return _PREAMBLE.format(tools="\n".join(lines), call=_written("…", "{…}", syntax))
