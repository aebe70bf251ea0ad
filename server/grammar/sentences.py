"""Whether a Lark grammar has a sentence that ends.

`start: "a" start` compiles, and then forces an answer without end.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

_END = ""
_OPTIONAL = "["
_OPENING = ("(", _OPTIONAL)


def has_sentence(tokens: Iterable[str]) -> bool:
    """Whether `start` can end; `tokens` are those of the grammar without blanks, a line break as `\\n`."""
    rules = dict(_rules(list(tokens)))
    ending: set[str] = set()
    while found := {
        name for name in rules.keys() - ending if _Reader(rules[name], ending, rules.keys()).can_end()
    }:
        ending |= found
    return "start" in ending


def _rules(tokens: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each definition's name and what stands behind its colon; a line that begins with `|` goes on."""
    lines = [list(part) for is_break, part in itertools.groupby(tokens, "\n".__eq__) if not is_break]
    name, body = "", list[str]()
    for line in lines:
        if line[0] == "|":
            body += line
            continue
        if name:
            yield name, body
        name = "" if line[0].startswith("%") or ":" not in line else line[0].lstrip("!?")
        body = line[line.index(":") + 1 :] if name else []
    if name:
        yield name, body


class _Reader:
    """Reads one definition, given the definitions that are known to end."""

    def __init__(self, tokens: Sequence[str], ending: set[str], defined: Iterable[str]) -> None:
        self._tokens = [*tokens, _END]
        self._at = 0
        self._endless = set(defined) - ending

    def can_end(self) -> bool:
        """Any of the alternatives, each of which needs all of its parts."""
        found = self._sequence()
        while self._take("|"):
            found = self._sequence() or found
        return found

    def _sequence(self) -> bool:
        found = True
        while self._tokens[self._at] not in ("|", ")", "]", _END):
            if self._take("->"):
                self._next()  # an alias, which names no rule
            else:
                found = self._part() and found
        return found

    def _part(self) -> bool:
        atom = self._atom()
        if self._take("?") or self._take("*"):
            return True
        if self._take("~"):
            return self._next() == "0" or atom
        if self._take("{"):
            fewest = self._next()
            while self._tokens[self._at - 1] not in ("}", _END):
                self._next()
            return fewest in ("0", ",") or atom
        return atom

    def _atom(self) -> bool:
        token = self._next()
        if token in _OPENING:
            found = self.can_end()
            self._next()
            return found or token == _OPTIONAL
        return token not in self._endless

    def _take(self, token: str) -> bool:
        taken = self._tokens[self._at] == token
        self._at += taken
        return taken

    def _next(self) -> str:
        """The next token; the end stays where it is."""
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token
