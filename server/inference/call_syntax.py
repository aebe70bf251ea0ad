"""How the weights write calls: read off their chat template, where it renders tools and their calls."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from server.engine.llama.vocabulary import Vocabulary
from server.grammar.tool_calls import CallSyntax

Turns = Sequence[Mapping[str, Any]]
Shapes = Sequence[Mapping[str, Any]]
Rendering = Callable[[Turns, Shapes], str]
"""Text of a conversation up to where the answer begins; raises ValueError where the template refuses it."""

_NAME = "find_probe"
_CALL = {"name": _NAME, "arguments": {"key": 7}}
_ASKED = {"role": "user", "content": "a"}
_TOOL = {
    "type": "function",
    "function": {
        "name": _NAME,
        "description": "b",
        "parameters": {"type": "object", "properties": {"key": {"type": "integer"}}},
    },
}
_CALLED = {
    "role": "assistant",
    "content": "",
    "tool_calls": [{"id": "call_1", "type": "function", "function": _CALL}],
}
_ANSWERED = {"role": "tool", "content": "probe result", "name": _NAME, "tool_call_id": "call_1"}

_ARGUMENTS = r'\{"key":\s*7\}'
_HERMES = re.compile(
    rf'(?P<opening>(?P<marker><tool_call>)\s*\{{"name":\s*"){_NAME}(?P<middle>",\s*"arguments":\s*){_ARGUMENTS}'
    r"(?P<closing>\}\s*</tool_call>)"
)
_BARE = re.compile(
    rf'(?P<opening>\{{"name":\s*"){_NAME}(?P<middle>",\s*"parameters":\s*){_ARGUMENTS}(?P<closing>\}})(?!\s*[\],])'
)
_MARK = re.compile(r"<[^<>\s\"]+>")


def detect(render: Rendering) -> CallSyntax | None:
    """The syntax of a template that renders tools, calls and results in a way that is known here."""
    try:
        asked = render([_ASKED], [_TOOL])
        text = render([_ASKED, _CALLED, _ANSWERED], [_TOOL])
    except ValueError:
        return None
    if _NAME not in asked or _ANSWERED["content"] not in text:
        return None
    if hermes := _HERMES.search(text):
        return replace(_found(hermes), marker=hermes["marker"], separator="\n")
    bare = _BARE.match(text, len(asked)) if text.startswith(asked) else None
    return _found(bare) if bare else None


def _found(match: re.Match[str]) -> CallSyntax:
    return CallSyntax(opening=match["opening"], middle=match["middle"], closing=match["closing"])


def takes_system(render: Rendering) -> bool:
    """Whether the template has a place for a system message."""
    system = {"role": "system", "content": "probe instruction"}
    try:
        return system["content"] in render([system, _ASKED], [])
    except ValueError:
        return False


def with_tokens(syntax: CallSyntax, vocabulary: Vocabulary, *, native: bool) -> CallSyntax:
    """`syntax` with the tokens that a vocabulary has for parts of it.

    Control tokens are among them only where the syntax is `native`: elsewhere the prompt spells their texts.
    """
    written = vocabulary.written_marks
    found = {mark: vocabulary.mark(mark) for mark in _MARK.findall(syntax.opening + syntax.closing)}
    tokens = {
        mark: token for mark, token in found.items() if token is not None and (native or token in written)
    }
    loose = tuple(sorted(written - set(tokens.values())))
    return replace(syntax, tokens=tokens, loose=loose)


def to_json(
    value: Any,
    *,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    """The filter `tojson` as chat templates are written for; Jinja's own escapes JSON for HTML."""
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )
