"""Many clients at random at one server for a long time: nothing may break, leak or hang."""

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import Any

import click
import httpx
import psutil
from asking import Client
from prometheus_client.parser import text_string_to_metric_families

KEY = "the-soak-test-s-own-key"
START_S = 120
IDLE_S = 120
GROWTH = 1.3
ERROR = re.compile(r'"level": ?"error"')
READY = re.compile(r"is ready at (http://\S+)")
ZERO = {
    "leaks": "infirmary_engine_leaks",
    "running": "infirmary_requests_running",
    "waiting": "infirmary_requests_waiting",
    "restarts": "infirmary_engine_restarts_total",
}


class Server:
    """One `infirmary serve`, in a folder of its own."""

    def __init__(self, directory: Path, child: "subprocess.Popen[bytes]") -> None:
        self.child = child
        self.output, self.log = directory / "stdout", directory / "stderr"
        self.url = self._wait_ready()

    def _wait_ready(self) -> str:
        deadline = time.monotonic() + START_S
        while not (found := READY.search(self.output.read_text())):
            if self.child.poll() is not None or time.monotonic() > deadline:
                raise click.ClickException(f"the server did not start:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.1)
        return found[1]

    def memory(self) -> dict[str, int]:
        """Resident bytes of the API process and of the engine."""
        api = psutil.Process(self.child.pid)
        engines = [each for each in api.children(recursive=True) if "infirmary-engine" in str(each.cmdline())]
        return {"api": api.memory_info().rss, "engine": sum(each.memory_info().rss for each in engines)}

    def metrics(self) -> dict[str, float]:
        text = httpx.get(f"{self.url}/metrics", trust_env=False, timeout=30).text
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        return {each.name: each.value for each in samples if not each.labels}

    def wait_idle(self) -> dict[str, float]:
        """The metrics once nothing runs or waits, or as they are when that took too long."""
        deadline = time.monotonic() + IDLE_S
        while (metrics := self.metrics())[ZERO["running"]] or metrics[ZERO["waiting"]]:
            if time.monotonic() > deadline:
                break
            time.sleep(0.5)
        return metrics


@contextmanager
def running_server(sequences: int, queue: int) -> Iterator[Server]:
    """Settings as they come, but for the number of sequences and a queue that bursts can fill."""
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        directory = Path(name)
        plain = {key: value for key, value in os.environ.items() if not key.startswith("INFIRMARY_")}
        settings = {
            "INFIRMARY_DATA_DIR": str(directory / "data"),
            "INFIRMARY_BOOTSTRAP_KEY": KEY,
            "INFIRMARY_PORT": "0",
            "INFIRMARY_ENGINE__SEQUENCES": str(sequences),
            "INFIRMARY_ENGINE__QUEUE_REQUESTS": str(queue),
        }
        command = [sys.executable, "-m", "server", "serve"]
        root = Path(__file__).parents[2]
        with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
            child = subprocess.Popen(command, cwd=root, env=plain | settings, stdout=out, stderr=err)
        try:
            yield Server(directory, child)
        finally:
            child.terminate()
            child.wait(60)


async def soak(server: Server, seconds: float, clients: int, seed: int) -> dict[str, Any]:
    """Ask until the time is over; gives the tally, the violations, and how it stood at a third of it."""
    tally: Counter[str] = Counter()
    violations: list[str] = []
    ending = asyncio.Event()
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=clients)
    async with httpx.AsyncClient(
        base_url=server.url,
        headers={"Authorization": f"Bearer {KEY}"},
        trust_env=False,
        timeout=None,
        limits=limits,
    ) as http:
        asking = [Client(http, Random(f"{seed} {number}"), tally) for number in range(clients)]
        tasks = [asyncio.create_task(each.run(ending, violations)) for each in asking]
        early = await watch(server, seconds, tally, violations)
        ending.set()
        await asyncio.gather(*tasks)
    return {"tally": dict(sorted(tally.items())), "violations": violations, "early": early}


async def watch(
    server: Server, seconds: float, tally: Counter[str], violations: list[str]
) -> dict[str, dict[str, float]]:
    """Print a line each minute; gives memory and metrics as they were after a third of the time."""
    started, early = time.monotonic(), {}
    marks = sorted({seconds / 3, seconds, *range(60, int(seconds), 60)})
    for mark in marks:
        await asyncio.sleep(max(0.0, started + mark - time.monotonic()))
        memory, metrics = server.memory(), await asyncio.to_thread(server.metrics)
        if mark == seconds / 3:
            early = {"memory": dict(memory), "metrics": metrics}
        shown = ", ".join(f"{name} {size >> 20} MiB" for name, size in memory.items())
        click.echo(f"{mark:5.0f} s: {tally.total()} answers, {len(violations)} violations, {shown}", err=True)
    return early


def judge(found: dict[str, Any], metrics: dict[str, float], memory: dict[str, int]) -> dict[str, Any]:
    """The figures of the whole soak; `violations` is what was wrong with it."""
    early = found.pop("early")
    violations = found["violations"]
    zero = {name: metrics[metric] for name, metric in ZERO.items()}
    violations += [f"{name} is {value:g} at the end" for name, value in zero.items() if value]
    kept = metrics["infirmary_prefix_cache_bytes"] - early["metrics"]["infirmary_prefix_cache_bytes"]
    for name, size in memory.items():
        before = early["memory"][name]
        if size > GROWTH * before + (max(0, kept) if name == "engine" else 0):
            violations.append(f"the {name} process grew from {before} to {size} bytes")
    return found | {
        **zero,
        "violations": violations[:50],
        "violated": len(violations),
        "prefix_cache_bytes": metrics["infirmary_prefix_cache_bytes"],
        "reused_tokens": metrics["infirmary_prefix_cache_tokens_total"],
        "memory": memory,
        "memory_early": early["memory"],
    }


@click.command()
@click.option("--minutes", default=30.0, show_default=True)
@click.option("--clients", default=16, show_default=True)
@click.option("--seed", default=1, show_default=True)
@click.option("--sequences", default=8, show_default=True)
@click.option("--queue", default=24, show_default=True, help="Requests that may wait; bursts are beyond it.")
def main(minutes: float, clients: int, seed: int, sequences: int, queue: int) -> None:
    """Exit status 1 where anything was wrong; the figures are one line of JSON."""
    with running_server(sequences, queue) as server:
        found = asyncio.run(soak(server, minutes * 60, clients, seed))
        figures = judge(found, server.wait_idle(), server.memory())
        figures["errors_logged"] = len(ERROR.findall(server.log.read_text()))
        if figures["violated"]:
            click.echo(server.log.read_text()[-3000:], err=True)
    click.echo(json.dumps(figures))
    sys.exit(bool(figures["violated"]))


if __name__ == "__main__":
    main()
