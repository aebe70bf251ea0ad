"""Rows one after the other; the two servers in turns, so that a drifting machine hits both alike."""

import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path

from facts import Facts, UnlikeServers, compare, facts_of, lack
from machine import busy_cores
from measure import Sample, record, sample
from prompts import PromptWriter
from report import Run, Settings
from servers import Server, infirmary, llama_server, running_infirmary, running_peer
from table import Result
from workloads import Load, Workload

_SETTLE_S = 0.5


class Turns:
    """Measures rows as `settings` say; `say` is told of every step."""

    def __init__(self, settings: Settings, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._writer = PromptWriter(settings.seed)
        self._facts: tuple[Facts, Facts] | None = None
        self._not_compared: set[str] = set()

    def measure(self, rows: Sequence[Workload]) -> Run:
        """All of `rows` that these servers allow; raises UnlikeServers where that is none."""
        results, skipped = [], []
        for row in rows:
            if reason := self._hindrance(row):
                skipped.append(f"{row.name}: SKIPPED, {reason}")
            else:
                results.append(self._row(row))
        if self._facts is None:
            raise UnlikeServers("; ".join(skipped) or "no row has such a name")
        return Run(results, *self._facts, sorted(self._not_compared), skipped)

    def _hindrance(self, row: Workload) -> str | None:
        """Why the servers that were not started here cannot be measured; None where they can."""
        given = {
            "Infirmary": self._settings.base and running_infirmary(self._settings.base, self._settings.key),
            "llama-server": self._settings.peer_is_url and running_peer(self._settings.peer),
        }
        for name, server in given.items():
            if not server:
                continue
            if row.restart:
                return f"{name} has to be started anew for each repetition"
            if not row.deidentify and name == "Infirmary":
                return "Infirmary has to run with privacy.policy off"
            if lacking := lack(name, facts_of(server), row):
                return lacking
        return None

    def _row(self, row: Workload) -> Result:
        repeat = self._settings.repeat
        counts = [1] * repeat if row.restart else [repeat]
        pairs = [pair for count in counts for pair in self._with_new_servers(row, count)]
        return Result(row, [ours for ours, _ in pairs], [peer for _, peer in pairs])

    def _with_new_servers(self, row: Workload, repetitions: int) -> list[tuple[Sample, Sample]]:
        with self._ours(row) as ours, self._peer(row) as peer:
            self._facts = facts_of(ours), facts_of(peer)
            self._not_compared |= compare(*self._facts)
            warm_up = row.warm_up(self._writer)
            for server in (ours, peer):
                record(server, warm_up, reuse=row.reuse)
            return [self._repetition(row, ours, peer) for _ in range(repetitions)]

    def _repetition(self, row: Workload, ours: Server, peer: Server) -> tuple[Sample, Sample]:
        load = row.load(self._writer)
        return self._sample(row, ours, load), self._sample(row, peer, load)

    def _sample(self, row: Workload, server: Server, load: Load) -> Sample:
        if row.primed:
            record(server, load.opening(), reuse=row.reuse)
        time.sleep(_SETTLE_S)
        busy = busy_cores(_SETTLE_S) or 0.0
        taken = replace(sample(server, row, load), busy_cores=busy)
        measure = row.goals[0].measure
        self._say(f"{row.name}, {server.name}: {measure} {taken.figures[measure]:.2f}")
        return taken

    def _ours(self, row: Workload) -> AbstractContextManager[Server]:
        """An Infirmary for this row alone, with as many sequences as the row needs."""
        if self._settings.base:
            return nullcontext(running_infirmary(self._settings.base, self._settings.key))
        return infirmary(
            self._settings.weights,
            threads=self._settings.threads,
            sequences=row.slots,
            context_tokens=row.context_tokens,
            deidentify=row.deidentify,
        )

    def _peer(self, row: Workload) -> AbstractContextManager[Server]:
        """A llama-server for this row alone, with as many slots as the row needs."""
        if self._settings.peer_is_url:
            return nullcontext(running_peer(self._settings.peer))
        return llama_server(
            Path(self._settings.peer).absolute(),
            self._settings.weights,
            threads=self._settings.threads,
            slots=row.slots,
            context_tokens=row.context_tokens,
            spin_count=self._settings.spin_count,
        )
