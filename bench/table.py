"""Repetitions to ratios, and ratios to a Markdown table."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from measure import Sample
from workloads import Goal, Workload

_LABELS = {
    "output_tokens_per_s": "output tokens/s",
    "valid_documents_per_s": "valid documents/s",
    "valid_share": "valid documents, share",
    "first_token_p50_ms": "time to first token p50, ms",
    "first_token_p95_ms": "time to first token p95, ms",
    "inter_token_p50_ms": "between tokens p50, ms",
    "inter_token_p99_ms": "between tokens p99, ms",
    "meanwhile_p50_ms": "chats between tokens p50, ms",
    "meanwhile_p99_ms": "chats between tokens p99, ms",
    "late_total_ms": "long request, ms",
    "late_first_token_ms": "long request to first token, ms",
    "answer_tokens": "tokens of an answer, mean",
    "prompt_tokens": "tokens of a prompt, mean",
}
_TWO_DIGITS = {"valid_documents_per_s", "valid_share"}
_HEAD = ("row", "measure", "Infirmary", "llama-server", "ratio", "goal")
_VERDICTS = {True: "met", False: "missed", None: "not judged"}
_UNLIKE = 0.02
_QUIET_CORES = 0.1


@dataclass(frozen=True)
class Spread:
    """What repetitions gave: their median, least and greatest."""

    median: float
    least: float
    greatest: float

    def text(self, digits: int) -> str:
        return f"{self.median:.{digits}f} ({self.least:.{digits}f}-{self.greatest:.{digits}f})"


@dataclass(frozen=True)
class Result:
    """One row, measured: the samples of both servers, those at the same index taken one after the other."""

    workload: Workload
    ours: Sequence[Sample]
    peer: Sequence[Sample]

    def ratio(self, measure: str) -> Spread | None:
        """Ours / peer of each repetition, spread; None where the peer's is 0."""
        pairs = [
            (one.figures[measure], other.figures[measure])
            for one, other in zip(self.ours, self.peer, strict=True)
        ]
        if any(other == 0 for _, other in pairs):
            return None
        return spread([one / other for one, other in pairs])

    def met(self, goal: Goal) -> bool | None:
        """Whether the median ratio keeps to a goal; None where there is no ratio."""
        reached = self.ratio(goal.measure)
        return goal.met(reached.median) if reached else None

    @property
    def goals_met(self) -> bool:
        """Whether every goal is known to be met."""
        return all(self.met(goal) for goal in self.workload.goals)

    @property
    def remarks(self) -> list[str]:
        """What speaks against the figures: unlike work, by more than 2 %, or a machine that was not idle."""
        found = []
        if (most := max(each.busy_cores for each in (*self.ours, *self.peer))) > _QUIET_CORES:
            found.append(f"{self.workload.name}: NOT QUIET, other work kept up to {most:.1f} cores busy")
        for measure in self.workload.alike:
            unlike = self.ratio(measure)
            if unlike and abs(unlike.median - 1) > _UNLIKE:
                found.append(
                    f"{self.workload.name}: {_LABELS[measure]} differ by the factor {unlike.median:.2f}"
                )
        return found

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        row = self.workload
        measures = self.ours[0].figures
        return {
            "name": row.name,
            "slots": row.slots,
            "slot_context_tokens": row.context_tokens,
            "deidentify": row.deidentify,
            "goals": [asdict(goal) | {"met": self.met(goal)} for goal in row.goals],
            "infirmary": [asdict(sample) for sample in self.ours],
            "llama_server": [asdict(sample) for sample in self.peer],
            "ratios": {measure: asdict(found) for measure in measures if (found := self.ratio(measure))},
        }


def spread(values: Sequence[float]) -> Spread:
    """Of at least one value."""
    return Spread(median(values), min(values), max(values))


def markdown(results: Sequence[Result]) -> str:
    """The table, its columns padded so that it can be read as it is."""
    rows = [_HEAD, *(row for result in results for row in _rows(result))]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(_line(row, widths) for row in rows)


def _line(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
    return f"| {' | '.join(cells)} |"


def _rows(result: Result) -> Iterator[tuple[str, ...]]:
    for number, measure in enumerate(result.workload.shown):
        digits = 2 if measure in _TWO_DIGITS else 1
        ratio = result.ratio(measure)
        yield (
            result.workload.name if number == 0 else "",
            _LABELS[measure],
            spread([sample.figures[measure] for sample in result.ours]).text(digits),
            spread([sample.figures[measure] for sample in result.peer]).text(digits),
            ratio.text(2) if ratio else "",
            ", ".join(_goal(result, goal) for goal in result.workload.goals if goal.measure == measure),
        )


def _goal(result: Result, goal: Goal) -> str:
    return f"{goal} {_VERDICTS[result.met(goal)]}"
