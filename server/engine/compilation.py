"""Grammars are compiled beside the token loop, in a thread: meanwhile other requests get their tokens."""

import time
from collections import OrderedDict
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from llguidance import LLTokenizer

from server.engine.matcher import GrammarFault, Matcher
from server.engine.sequence import Sequence

_KEPT_GRAMMARS = 64


class Compilation:
    """Sequences that wait for their grammars, and the grammars used last.

    A grammar takes 1 to 200 ms. llguidance lets go of the interpreter while it compiles; one thread, since
    on a CPU it takes its time from the steps. What several wait for is compiled once.
    """

    def __init__(self, tokenizer: LLTokenizer) -> None:
        self._tokenizer = tokenizer
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="grammar")
        self._grammars: OrderedDict[str, Future[Matcher]] = OrderedDict()
        self._waiting: dict[int, tuple[Sequence, Future[Matcher]]] = {}
        self._taken_s: list[float] = []

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def begin(self, sequence: Sequence, grammar: str) -> None:
        """Have `grammar` (llguidance text) ready for `sequence`, at once where it is known."""
        compiled = self._grammars.pop(grammar, None) or self._thread.submit(self._compile, grammar)
        self._grammars[grammar] = compiled
        if len(self._grammars) > _KEPT_GRAMMARS:
            self._grammars.popitem(last=False)
        self._waiting[sequence.id] = (sequence, compiled)

    def take(self, request_id: int) -> Sequence | None:
        """Take a request out, if it is here."""
        sequence, _ = self._waiting.pop(request_id, (None, None))
        return sequence

    def finished(self) -> Iterator[tuple[Sequence, Matcher | GrammarFault]]:
        """Take out those that need not wait any more, each with its matcher or why there is none."""
        for sequence, compiled in list(self._waiting.values()):
            if compiled.done():
                del self._waiting[sequence.id]
                yield sequence, _outcome(compiled)

    def wait(self, limit_s: float) -> None:
        """Sleep until one of them need not wait any more, or `limit_s` seconds."""
        wait((compiled for _, compiled in self._waiting.values()), limit_s, FIRST_COMPLETED)

    def take_seconds(self) -> list[float]:
        """How long each grammar took that was compiled since this was last asked."""
        taken_s, self._taken_s = self._taken_s, []
        return taken_s

    def _compile(self, grammar: str) -> Matcher:
        started_s = time.perf_counter()
        try:
            return Matcher(self._tokenizer, grammar)
        finally:
            self._taken_s.append(time.perf_counter() - started_s)


def _outcome(compiled: Future[Matcher]) -> Matcher | GrammarFault:
    try:
        return compiled.result().fork()
    except GrammarFault as fault:
        return fault
