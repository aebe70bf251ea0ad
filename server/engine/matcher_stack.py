"""A grammar with fields that members of a code set alone can fill, each compiled once for all requests."""

from collections.abc import Mapping
from copy import copy
from itertools import takewhile

from server.engine.mask import Mask
from server.engine.matcher import GrammarFault, Matcher


class CodeMatchers:
    """Matchers of one code set, as many as are wanted: a fork shares what was compiled, and what others saw.

    `first` is what a code may begin with.
    """

    def __init__(self, compiled: Matcher) -> None:
        self._compiled = compiled
        self.first = compiled.allowed()

    def begins(self, token: int) -> bool:
        """Whether a code may begin with `token`, be it cut as no tokenizer would."""
        return bool(self._compiled.valid([token]))

    def matcher(self) -> Matcher:
        """One at the beginning of a code."""
        return self._compiled.fork()


class MatcherStack:
    """A matcher whose grammar has placeholders, each for the codes of one set; otherwise as `Matcher`.

    Where the grammar lets a placeholder through, the first tokens of the set's codes are let through in its
    place. What is chosen of those puts a matcher of the set on top, until the code is complete. The
    placeholder itself is never let through. Where a token could be read both ways, GrammarFault is raised.
    """

    def __init__(self, main: Matcher, sets: Mapping[int, CodeMatchers]) -> None:
        self._main = main
        self._sets = dict(sets)
        self._code: Matcher | None = None
        self._failed = False

    def fork(self) -> "MatcherStack":
        """See `Matcher.fork`."""
        other = copy(self)
        other._main = self._main.fork()
        other._code = self._code and self._code.fork()
        return other

    @property
    def finished(self) -> bool:
        """See `Matcher.finished`."""
        return self._code is None and self._main.finished

    def allowed(self) -> Mask:
        """See `Matcher.allowed`."""
        self._check()
        if self._code is not None:
            return self._code.allowed()
        mask = self._main.allowed()
        for placeholder, codes in self._sets.items():
            if placeholder in mask:
                if mask.meets(codes.first):
                    raise GrammarFault("a code and what may stand in its place begin alike")
                mask = mask.replaced(placeholder, codes.first)
        return mask

    def accept(self, token: int) -> None:
        """See `Matcher.accept`."""
        self._check()
        if not self._accepts(token):
            self._failed = True
            raise GrammarFault("the token was refused")

    def valid(self, tokens: list[int]) -> list[int]:
        """See `Matcher.valid`."""
        self._check()
        if self._code is None:
            plain = self._before_placeholder(tokens)
            if len(self._main.valid(plain)) == len(plain):
                return plain
        fork = self.fork()
        return list(takewhile(fork._accepts, tokens))

    def forced(self) -> list[int]:
        """See `Matcher.forced`."""
        self._check()
        taken: list[int] = []
        while True:
            if self._code is not None:
                taken += self._code.forced()
                if not self._leaves():
                    return taken
            if self._main.finished:
                return taken
            coming = self._main.coming()
            plain = self._before_placeholder(coming)
            for token in plain:
                self._main.accept(token)
            taken += plain
            if len(plain) == len(coming):
                return taken
            self._enter(coming[len(plain)])

    def _accepts(self, token: int) -> bool:
        """Move on by a token, if it may follow."""
        if token in self._sets:
            return False
        if self._code is None:
            if self._main.valid([token]):
                self._main.accept(token)
                return True
            if not self._enters(token):
                return False
        if self._code is None or not self._code.valid([token]):
            return False
        self._code.accept(token)
        self._leaves()
        return True

    def _enters(self, token: int) -> bool:
        """Put the codes on top that may stand here and begin with `token`, if there are any."""
        for placeholder, codes in self._sets.items():
            if self._main.valid([placeholder]) and codes.begins(token):
                self._enter(placeholder)
                return True
        return False

    def _enter(self, placeholder: int) -> None:
        self._main.accept(placeholder)
        self._code = self._sets[placeholder].matcher()

    def _leaves(self) -> bool:
        """Whether the code is complete; then it is taken off."""
        if self._code is None or not self._code.finished:
            return False
        self._code = None
        return True

    def _before_placeholder(self, tokens: list[int]) -> list[int]:
        return list(takewhile(lambda token: token not in self._sets, tokens))

    def _check(self) -> None:
        if self._failed:
            raise GrammarFault("the matcher failed")
