"""Grammars of tool calls: free text until a call is announced, from there on nothing but calls.

Source of the Lark dialect, its lazy rules and its token ids: llguidance, docs/syntax.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from outlines.types import CFG

Schema = Mapping[str, Any]

_ANYTHING = "/(?s:.*)/"
_ARGUMENTS = {"x-guidance": {"whitespace_flexible": False}}


@dataclass(frozen=True, slots=True)
class CallSyntax:
    """How calls are written: `opening` name `middle` arguments `closing`, `separator` before another one.

    `marker`, with which `opening` begins, announces a call anywhere in a text. Where it is empty, a call is
    the whole answer. Without a `separator` there is at most one. `tokens` are the vocabulary's own tokens for
    texts of the syntax: text cannot spell those. `loose` are other such tokens that a text may hold.
    """

    opening: str
    middle: str
    closing: str
    separator: str | None = None
    marker: str = ""
    tokens: Mapping[str, int] = field(default_factory=dict)
    loose: tuple[int, ...] = ()


HERMES = CallSyntax(
    opening='<tool_call>{"name":"',
    middle='","arguments":',
    closing="}</tool_call>",
    separator="\n",
    marker="<tool_call>",
)


def tool_calls_type(
    syntax: CallSyntax, schemas: Mapping[str, Schema], *, required: bool, most_calls: int
) -> CFG:
    """The Outlines output type of at most `most_calls` calls; `schemas` are the arguments', by tool.

    Unless calls are `required`, there is free text before them, or nothing else.
    """
    calls = [
        f"calls: call{_more(syntax, most_calls)}",
        "call: " + " | ".join(f"call_{number}" for number in range(len(schemas))),
        *(_call(syntax, *each) for each in enumerate(schemas.items())),
    ]
    if required:
        return CFG("\n".join([f"start: {_literal(syntax.marker, syntax)} calls", *calls]))
    return CFG("\n".join([*_prose(syntax), *calls]))


def _more(syntax: CallSyntax, most_calls: int) -> str:
    if syntax.separator is None or most_calls == 1:
        return ""
    return f" ({_literal(syntax.separator + syntax.marker, syntax)} call){{0,{most_calls - 1}}}"


def _call(syntax: CallSyntax, number: int, tool: tuple[str, Schema]) -> str:
    name, schema = tool
    opening = syntax.opening.removeprefix(syntax.marker) + name + syntax.middle
    arguments = json.dumps({**schema, **_ARGUMENTS}, ensure_ascii=False)
    return f"call_{number}: {_literal(opening, syntax)} %json {arguments} {_literal(syntax.closing, syntax)}"


def _prose(syntax: CallSyntax) -> list[str]:
    """Rules of a text in which a call may begin; the text itself cannot spell what announces one."""
    lead = f"lead: PROSE? <[{','.join(map(str, syntax.loose))}]>" if syntax.loose else ""
    leads = "lead* " if lead else ""
    if not syntax.marker:
        return [f"start: {leads}PROSE? | calls", r"PROSE: /\s*[^{\s](?s:.*)/", *filter(None, [lead])]
    marker = _literal(syntax.marker, syntax)
    spelled = f"/(?s:.*){re.escape(syntax.marker)}(?s:.*)/"
    rules = [f"PROSE: /(?s:.+)/ & ~{spelled}", *filter(None, [lead])]
    if syntax.marker in syntax.tokens:
        return [f"start: {leads}PROSE? | {leads}PROSE? {marker} calls", *rules]
    announced = f"announced[lazy]: {_ANYTHING} {marker}"
    return [f"start: {leads}PROSE? | {leads}announced calls", *rules, announced]


def _literal(text: str, syntax: CallSyntax) -> str:
    """`text` in Lark. What the vocabulary has a token of its own for can be written as that token alone."""
    parts = re.split(f"({'|'.join(map(re.escape, syntax.tokens))})", text) if syntax.tokens else [text]
    written = (f"<[{syntax.tokens[part]}]>" if part in syntax.tokens else json.dumps(part) for part in parts)
    return " ".join(each for each in written if each != '""')
