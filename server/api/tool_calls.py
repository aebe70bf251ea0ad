"""Calls of tools in OpenAI's shapes: whole, and as deltas of a stream."""

import secrets
from collections.abc import Iterator, Sequence
from typing import Any

from schemas.openai import AnswerMessage, CallingMessage
from schemas.tools import FunctionCall, ToolCall
from server.inference.generation import Piece
from server.inference.tool_calls import CallDelta


def message_of(piece: Piece) -> AnswerMessage | CallingMessage:
    """The answer's message. A call that the token limit cut off is left out."""
    calls = list(_whole(piece.calls))
    if not calls:
        return AnswerMessage(content=piece.text)
    return CallingMessage(content=piece.text or None, tool_calls=calls)


def deltas_of(piece: Piece) -> Iterator[dict[str, Any]]:
    """What a piece adds to a message: the text, then each part of a call; never none."""
    if piece.text or not piece.calls:
        yield {"content": piece.text}
    for call in piece.calls:
        if call.name is not None:
            function = {"name": call.name, "arguments": ""}
            yield {
                "tool_calls": [
                    {"index": call.index, "id": _new_id(), "type": "function", "function": function}
                ]
            }
        if call.arguments:
            yield {"tool_calls": [{"index": call.index, "function": {"arguments": call.arguments}}]}


def _whole(deltas: Sequence[CallDelta]) -> Iterator[ToolCall]:
    for begun in (delta for delta in deltas if delta.name is not None):
        parts = [delta for delta in deltas if delta.index == begun.index]
        if parts[-1].ended:
            arguments = "".join(part.arguments for part in parts)
            yield ToolCall(id=_new_id(), function=FunctionCall(name=begun.name or "", arguments=arguments))


def _new_id() -> str:
    return f"call_{secrets.token_hex(12)}"
