"""The code sets that grammars can refer to: each compiled once, in a thread beside the engine's turns."""

import threading
import time
from collections.abc import Callable, Mapping

from llguidance import LLParserLimits, LLTokenizer

from server.engine.matcher import GrammarFault, Matcher
from server.engine.matcher_stack import CodeMatchers, MatcherStack
from server.engine.protocol import CodeSet, CodeSetReady

# Operators' lists may be long: the defaults, which are for what callers send, end at some 200,000 codes.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=100_000_000, step_lexer_fuel=10_000_000, max_lexer_states=10_000_000
)


class UnknownCodeSet(Exception):
    """No such set was sent, or it could not be compiled, or what shall stand for it could be in an answer."""


class CodeSetUnready(Exception):
    """The set is still being compiled."""


class CodeSets:
    """Code sets by name. `report` is called once for each that was sent, from another thread."""

    def __init__(self, tokenizer: LLTokenizer, report: Callable[[CodeSetReady], None]) -> None:
        self._tokenizer = tokenizer
        self._report = report
        self._sets: dict[str, CodeMatchers | CodeSetReady | None] = {}
        self._one_at_a_time = threading.Lock()

    def define(self, code_set: CodeSet) -> None:
        """Compile the set, beside whatever else is done; until then it is not ready."""
        self._sets[code_set.name] = None
        threading.Thread(target=self._build, args=(code_set,), daemon=True).start()

    def check(self, wanted: Mapping[int, str]) -> None:
        """Raises UnknownCodeSet or CodeSetUnready unless all `wanted`, by placeholder, can be had."""
        for placeholder, name in wanted.items():
            self._check_placeholder(placeholder)
            self._ready(name)

    def stack(self, main: Matcher, wanted: Mapping[int, str]) -> Matcher | MatcherStack:
        """`main` with the sets in place of their placeholders; raises UnknownCodeSet or CodeSetUnready."""
        self.check(wanted)
        if not wanted:
            return main
        return MatcherStack(main, {token: self._ready(name) for token, name in wanted.items()})

    def _check_placeholder(self, token: int) -> None:
        known = 0 <= token < self._tokenizer.vocab_size
        if not known or not self._tokenizer.is_special_token(token) or token in self._tokenizer.eos_tokens:
            raise UnknownCodeSet(f"token {token} cannot stand for a code set")

    def _ready(self, name: str) -> CodeMatchers:
        if name not in self._sets:
            raise UnknownCodeSet(f"there is no code set {name}")
        found = self._sets[name]
        if found is None:
            raise CodeSetUnready(f"the code set {name} is still being compiled")
        if isinstance(found, CodeSetReady):
            raise UnknownCodeSet(f"the code set {name} could not be compiled")
        return found

    def _build(self, code_set: CodeSet) -> None:
        with self._one_at_a_time:
            started_s = time.perf_counter()
            try:
                built = CodeMatchers(Matcher(self._tokenizer, code_set.grammar, _LIMITS))
            except GrammarFault as fault:
                failed = CodeSetReady(code_set.name, time.perf_counter() - started_s, str(fault))
                self._sets[code_set.name] = failed
                self._report(failed)
                return
            self._sets[code_set.name] = built
        self._report(CodeSetReady(code_set.name, time.perf_counter() - started_s))
