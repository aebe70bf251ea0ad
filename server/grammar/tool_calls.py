"""Grammars of tool calls: free text until a call is announced, from there on nothing but calls.

Source of the Lark dialect, its lazy rules and its token ids: llguidance, docs/syntax.md.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from outlines.types import CFG

from server.grammar.compiler import Grammar, compile_output_type, inlined

_ANYTHING = "/(?s:.*)/"


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


def compile_tool_calls(
    syntax: CallSyntax, arguments: Mapping[str, Grammar], *, required: bool, most_calls: int
) -> Grammar:
    """The grammar of at most `most_calls` calls; `arguments` are the tools', by name.

    Unless calls are `required`, there is free text before them, or nothing else. Raises InvalidGrammar.
    """
    calls = [
        f"calls: call{_more(syntax, most_calls)}",
        "call: " + " | ".join(f"call_{number}" for number in range(len(arguments))),
        *(_call(syntax, *each) for each in enumerate(arguments.items())),
    ]
    if not required:
        return compile_output_type(CFG("\n".join([*_prose(syntax), *calls])))
    grammar = compile_output_type(CFG("\n".join([f"start: {_literal(syntax.marker, syntax)} calls", *calls])))
    return replace(grammar, shortest=_shortest(syntax, arguments))


def _shortest(syntax: CallSyntax, arguments: Mapping[str, Grammar]) -> str:
    """Text of the shortest call, without what has a token of its own: spelled, that would count for more."""
    calls = (
        syntax.opening + name + syntax.middle + (grammar.shortest or "{}") + syntax.closing
        for name, grammar in arguments.items()
    )
    shortest = min(calls, key=len)
    for mark in syntax.tokens:
        shortest = shortest.replace(mark, "")
    return shortest


def _more(syntax: CallSyntax, most_calls: int) -> str:
    if syntax.separator is None or most_calls == 1:
        return ""
    return f" ({_literal(syntax.separator + syntax.marker, syntax)} call){{0,{most_calls - 1}}}"


def _call(syntax: CallSyntax, number: int, tool: tuple[str, Grammar]) -> str:
    name, grammar = tool
    opening = _literal(syntax.opening.removeprefix(syntax.marker) + name + syntax.middle, syntax)
    return f"call_{number}: {opening} {inlined(grammar)} {_literal(syntax.closing, syntax)}"


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
