"""A caller's Lark grammar, reduced to what may be asked of it before llguidance reads it.

The dialect is llguidance's, less whatever reaches beyond the text of the answer: tokens by name or number,
other grammars, options, and attributes of rules, of which sampling would honour some and not others. What is
handed on is put together from the tokens recognised here, without comments, so that no two readings of one
text can differ.
Source: llguidance's syntax reference.
"""

import json
import re
from collections.abc import Iterator

from server.errors import InvalidGrammar
from server.grammar.sentences import has_sentence

MAX_GRAMMAR_CHARACTERS = 64 * 1024

_TOKEN = re.compile(
    r"""
    (?P<blank>[ \t]+|(?:\#|//)[^\n]*)
  | (?P<newline>\r?\n)
  | (?P<string>"(?:\\(?:["\\/bfnrt]|u[a-fA-F0-9]{4})|[^"\\\x00-\x1f\x7f])*")(?P<flag>i?)
  | /(?P<regex>(?:\\[^\n]|[^/\\\n])+)/[imslux]*
  | (?P<special><[^<>\s]+>)
  | (?P<reference>@[\w{}-]*)
  | (?P<directive>%[a-z]+)
  | (?P<name>[!?_]*[a-zA-Z][a-zA-Z0-9_-]*)
  | (?P<number>[+-]?[0-9]+)
  | (?P<sign>->|\.\.|::|[:.,(){}\[\]~|=&+*?])
    """,
    re.VERBOSE,
)
_DIRECTIVES = frozenset({"%ignore", "%import"})
_REFUSED = {
    "special": "tokens of the vocabulary cannot be named",
    "reference": "other grammars cannot be referred to",
    "::": "rules cannot have parameters",
    "=": "attributes of rules are not supported",
}


def callers_lark(grammar: str) -> str:
    """`grammar` without comments; raises InvalidGrammar, with the line, for what it must not hold."""
    if len(grammar) > MAX_GRAMMAR_CHARACTERS:
        raise InvalidGrammar(f"the grammar is longer than {MAX_GRAMMAR_CHARACTERS} characters")
    pieces = list(_pieces(grammar))
    if not has_sentence(piece for piece in pieces if piece != " "):
        raise InvalidGrammar("there is no rule 'start', or none of its sentences ends")
    return "".join(pieces)


def _pieces(grammar: str) -> Iterator[str]:
    """Each token, a line break as `\\n`, whatever is blank as one blank."""
    line, last = 1, ""
    for match in _tokens(grammar):
        kind = str(match.lastgroup)
        if fault := _fault(kind, match[0], last):
            raise InvalidGrammar(f"line {line} of the grammar: {fault}")
        match kind:
            case "blank":
                yield " "
                continue
            case "newline":
                line += 1
                last = "\n"
            case "flag":
                last = f"{json.dumps(json.loads(match['string']))}{match['flag']}"
            case _:
                last = match[0]
        yield last


def _tokens(grammar: str) -> Iterator[re.Match[str]]:
    position = 0
    while position < len(grammar):
        match = _TOKEN.match(grammar, position)
        if match is None:
            line = grammar.count("\n", 0, position) + 1
            raise InvalidGrammar(f"line {line} of the grammar cannot be read")
        yield match
        position = match.end()


def _fault(kind: str, text: str, last: str) -> str | None:
    """Why a token cannot be taken; `last` is the one before it."""
    if last == "~" and kind not in ("number", "blank"):
        return "'~' must be followed by a number: what a terminal is not cannot be asked for"
    if kind == "directive" and text not in _DIRECTIVES:
        return f"'{text[:20]}' is not supported, only {' and '.join(sorted(_DIRECTIVES))} are"
    if text == ":" and last == "]":
        return "attributes of rules are not supported"
    return _REFUSED.get(kind if kind in _REFUSED else text)
