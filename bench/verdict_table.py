"""What the harness found in each folder, as a Markdown table, and what a reader has to look at one by one."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from figures import percentile
from reasons import keyword, place
from verdicts import ACCEPTED, CRASHED, HUNG, REFUSED, Compiled, Written

_MOST_SHOWN = 40


@dataclass(frozen=True)
class Result:
    """One schema: both compilers, and what the grammars wrote.

    `written` is of our grammar; `alone_written` of llguidance's, only where we refuse what it accepts.
    """

    folder: str
    name: str
    ours: Compiled
    alone: Compiled
    written: Written | None = None
    alone_written: Written | None = None

    @property
    def refused_alone(self) -> bool:
        """Whether llguidance accepts what we do not."""
        return self.ours.outcome != ACCEPTED and self.alone.outcome == ACCEPTED

    @property
    def shown_unsound(self) -> bool:
        """Whether a document shows why we refuse what llguidance accepts."""
        found = self.alone_written
        return bool(found and (found.wrong or found.unusable))

    @property
    def faulty(self) -> bool:
        """Whether our compiler or our grammar did what it never may."""
        found = self.written
        return self.ours.outcome in (CRASHED, HUNG) or bool(found and (found.wrong or found.unusable))


Count = Callable[[Sequence[Result]], int | str]


def _outcomes(outcome: str) -> Count:
    return lambda results: sum(result.ours.outcome == outcome for result in results)


def _sum(measure: Callable[[Written], int]) -> Count:
    return lambda results: sum(measure(result.written) for result in results if result.written)


def _compile_ms(results: Sequence[Result]) -> str:
    taken = [result.ours.ms for result in results if result.ours.outcome in (ACCEPTED, REFUSED)]
    return " / ".join(f"{percentile(taken, share):.1f}" for share in (50, 99, 100))


def _instances(results: Sequence[Result]) -> str:
    found = [result.written for result in results if result.written]
    given = sum(each.valid_instances for each in found)
    return f"{sum(each.valid_accepted for each in found)} of {given}" if given else ""


COLUMNS: dict[str, Count] = {
    "schemas": len,
    "accepted": _outcomes(ACCEPTED),
    "refused": _outcomes(REFUSED),
    "crashed": _outcomes(CRASHED),
    "hung": _outcomes(HUNG),
    "llguidance accepts": lambda results: sum(each.alone.outcome == ACCEPTED for each in results),
    "refused by us alone": lambda results: sum(each.refused_alone for each in results),
    "of these shown unsound": lambda results: sum(
        each.refused_alone and each.shown_unsound for each in results
    ),
    "accepted by us alone": lambda results: sum(
        each.ours.outcome == ACCEPTED and each.alone.outcome != ACCEPTED for each in results
    ),
    "documents": _sum(lambda found: found.documents),
    "unfinished": _sum(lambda found: found.unfinished),
    "wrong": _sum(lambda found: len(found.wrong)),
    "duplicate keys": _sum(lambda found: found.duplicates),
    "overflows": _sum(lambda found: found.overflows),
    "unusable": _sum(lambda found: bool(found.unusable)),
    "valid instances accepted": _instances,
    "unjudged": _sum(lambda found: bool(found.unjudged)),
    "compile ms p50 / p99 / max": _compile_ms,
}


def markdown(results: Sequence[Result]) -> str:
    """A row for each folder, and one for all."""
    folders = list(dict.fromkeys(result.folder for result in results))
    groups = {name: [each for each in results if each.folder == name] for name in folders}
    if len(groups) > 1:
        groups["all"] = list(results)
    rows = [[name, *(str(count(group)) for count in COLUMNS.values())] for name, group in groups.items()]
    return table(["folder", *COLUMNS], rows)


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table, padded."""
    cells = [list(head), *map(list, rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    lines = (" | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(f"| {line} |" for line in lines)


def refusals(results: Sequence[Result]) -> str:
    """What we alone refuse, by keyword: how many schemas, and of how many a document shows why."""
    refused = [result for result in results if result.refused_alone]
    named = Counter(keyword(result.ours.reason or result.ours.outcome) for result in refused)
    shown = Counter(keyword(each.ours.reason or each.ours.outcome) for each in refused if each.shown_unsound)
    rows = [(name, str(count), str(shown[name])) for name, count in named.most_common()]
    return table(("refused by us alone", "schemas", "shown unsound"), rows) if rows else ""


def findings(results: Sequence[Result]) -> list[str]:
    """One line for each schema that we must not leave as it is, the first of them."""
    lines = [line for result in results for line in _lines(result)]
    left = len(lines) - _MOST_SHOWN
    return [*lines[:_MOST_SHOWN], *([f"and {left} more (--json has all)"] if left > 0 else [])]


def as_dict(result: Result) -> dict[str, Any]:
    """All of it, for JSON, but the grammars."""
    shown = asdict(result)
    for compiled in (shown["ours"], shown["alone"]):
        del compiled["grammar"]
        if compiled["reason"]:
            compiled |= {"keyword": keyword(compiled["reason"]), "place": place(compiled["reason"])}
    return shown


def _lines(result: Result) -> list[str]:
    where = f"{result.folder}/{result.name}"
    if result.ours.outcome in (CRASHED, HUNG):
        return [f"{where}: {result.ours.outcome}: {result.ours.reason}"]
    found = result.written
    if not found:
        return []
    lines = [f"{where}: WRONG by {each.keyword} at {each.place}: {each.document}" for each in found.wrong[:1]]
    counts = {"documents with a key twice": found.duplicates, "documents beyond a double": found.overflows}
    lines += [f"{where}: {count} {name}" for name, count in counts.items() if count]
    return lines + ([f"{where}: unusable: {found.unusable}"] if found.unusable else [])
