"""Holds every schema of a corpus against Infirmary's compiler: what is accepted must be forced exactly."""

import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import click
from corpus import Case, read, sampled
from documents import Length
from killable import Died, TookTooLong, Worker
from machine import machine_facts
from validation import FORMATS, judged_formats
from verdict_table import Result, as_dict, findings, markdown, refusals
from verdicts import ACCEPTED, CRASHED, HUNG, Compiled, Drawing, Written, serve

_LONGEST_FACTOR = 50


@dataclass(frozen=True)
class Settings:
    """The command line. `limit_s` is for each compilation, `documents_limit_s` for a schema's documents."""

    paths: tuple[Path, ...]
    documents: int
    cap: int
    limit_s: float
    documents_limit_s: float
    memory_gib: float
    jobs: int
    sample: int | None
    seed: int

    @property
    def drawing(self) -> Drawing:
        """What each worker draws."""
        return Drawing(self.documents, Length(self.cap, _LONGEST_FACTOR * self.cap), self.seed)


def judge_all(cases: Sequence[tuple[str, Case]], settings: Settings) -> Iterator[Result]:
    """The result of each (folder's name, case), in order, with `settings.jobs` workers at once."""
    workers = [Worker(serve, (settings.drawing,), settings.memory_gib) for _ in range(settings.jobs)]
    idle: SimpleQueue[Worker] = SimpleQueue()
    for worker in workers:
        idle.put(worker)

    def judge(named: tuple[str, Case]) -> Result:
        worker = idle.get()
        try:
            return _judge(worker, *named, settings)
        finally:
            idle.put(worker)

    try:
        with ThreadPoolExecutor(settings.jobs) as pool:
            yield from pool.map(judge, cases)
    finally:
        for worker in workers:
            worker.close()


def _judge(worker: Worker, folder: str, case: Case, settings: Settings) -> Result:
    ours = _compiled(worker, "ours", case, settings.limit_s)
    alone = _compiled(worker, "alone", case, settings.limit_s)
    written = alone_written = None
    if ours.outcome == ACCEPTED:
        written = _written(worker, case, ours.grammar, settings)
    elif alone.outcome == ACCEPTED:
        alone_written = _written(worker, case, alone.grammar, settings)
    return Result(folder, case.name, ours, alone, written, alone_written)


def _compiled(worker: Worker, which: str, case: Case, limit_s: float) -> Compiled:
    try:
        compiled: Compiled = worker.ask(which, case, limit_s=limit_s)
    except TookTooLong:
        return Compiled(HUNG, f"longer than {limit_s:g} s", 1000 * limit_s)
    except Died as death:
        return Compiled(CRASHED, str(death))
    return compiled


def _written(worker: Worker, case: Case, grammar: str, settings: Settings) -> Written:
    try:
        written: Written = worker.ask("written", case, grammar, limit_s=settings.documents_limit_s)
    except TookTooLong:
        return Written(unusable=f"documents took longer than {settings.documents_limit_s:g} s")
    except Died as death:
        return Written(unusable=f"the worker died: {death}")
    return written


def _as_text(settings: Settings, results: Sequence[Result], unread: Sequence[str]) -> str:
    machine = machine_facts()
    not_judged = sorted(set(FORMATS) - set(judged_formats()))
    unjudged = Counter(each.written.unjudged for each in results if each.written and each.written.unjudged)
    facts = [
        f"{settings.documents} documents of each schema, about {settings.cap} bytes, seed {settings.seed}.",
        f"Infirmary {machine['commit']}, llguidance {version('llguidance')}.",
        f"Judged by jsonschema {version('jsonschema')}, patterns by Python's re, formats: "
        f"{', '.join(judged_formats())}.",
        f"{machine['cpu']}, {settings.jobs} of {machine['cores']} cores, Python {machine['python']}.",
        *(f"REMARK: format {name} is not judged, its package is missing" for name in not_judged),
        *(f"REMARK: {count} schemas not judged: {reason}" for reason, count in unjudged.most_common()),
        *(f"REMARK: {name} is no JSON" for name in unread),
    ]
    parts = [markdown(results), refusals(results), "  \n".join(facts), "\n".join(findings(results))]
    return "\n\n".join(part for part in parts if part)


def _as_json(settings: Settings, results: Sequence[Result], unread: Sequence[str]) -> str:
    report: dict[str, Any] = {
        "settings": {name: value for name, value in vars(settings).items() if name != "paths"},
        "folders": [str(path) for path in settings.paths],
        "machine": machine_facts(),
        "versions": {name: version(name) for name in ("llguidance", "jsonschema", "outlines")},
        "formats": judged_formats(),
        "unread": unread,
        "schemas": [as_dict(result) for result in results],
    }
    return json.dumps(report, indent=1, ensure_ascii=False)


@click.command()
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path, exists=True))
@click.option("--documents", default=10, type=click.IntRange(0), show_default=True, help="Of each schema.")
@click.option(
    "--cap", default=300, type=click.IntRange(16), show_default=True, help="Bytes until it must end."
)
@click.option("--limit-s", default=2.0, show_default=True, help="Seconds for each compilation.")
@click.option(
    "--documents-limit-s", default=20.0, show_default=True, help="Seconds for a schema's documents."
)
@click.option("--memory-gib", default=4.0, show_default=True, help="Address space of a worker.")
@click.option("--jobs", type=click.IntRange(1), help="Workers at once; unset, all cores.")
@click.option(
    "--sample", type=click.IntRange(1), help="Only so many schemas of each path, drawn by the seed."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON instead of tables.")
@click.option("--check", is_flag=True, help="Exit with 1 when anything accepted was not forced exactly.")
def main(*, as_json: bool, check: bool, **options: Any) -> None:
    """Compile the schemas of folders of *.json, or of .jsonl files, and judge what their grammars write."""
    options["jobs"] = options["jobs"] or len(os.sched_getaffinity(0))
    settings = Settings(**options)
    folders = [sampled(read(path), settings.sample, settings.seed) for path in settings.paths]
    cases = [(folder.name, case) for folder in folders for case in folder.cases]
    unread = [f"{folder.name}/{name}" for folder in folders for name in folder.unread]
    results: list[Result] = []
    with click.progressbar(judge_all(cases, settings), length=len(cases), file=sys.stderr) as judged:
        results.extend(judged)
    click.echo((_as_json if as_json else _as_text)(settings, results, unread))
    sys.exit(check and any(result.faulty for result in results))


if __name__ == "__main__":
    main()
