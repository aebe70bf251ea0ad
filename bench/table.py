"""Repetitions to ratios, and ratios to a Markdown table."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from measure import Sample
from workloads import Workload

_GOAL_METRIC = "output_tokens_per_s"
_SHOWN = {
    "output_tokens_per_s": "output tokens/s",
    "first_token_p50_ms": "time to first token p50, ms",
    "first_token_p95_ms": "time to first token p95, ms",
    "inter_token_p50_ms": "between tokens p50, ms",
    "inter_token_p99_ms": "between tokens p99, ms",
    "answer_tokens": "tokens of an answer, mean",
    "prompt_tokens": "tokens of a prompt, mean",
}
_HEAD = ("row", "measure", "Infirmary", "llama-server", "ratio", "goal")
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
    """One row, measured: the samples of both servers, those at the same index taken one after the other.

    `busy_cores` are the cores that other work kept busy, seen before each sample while both servers idled.
    """

    workload: Workload
    ours: Sequence[Sample]
    peer: Sequence[Sample]
    busy_cores: Sequence[float]

    def ratio(self, metric: str) -> Spread | None:
        """Ours / peer of each repetition, spread; None where the peer's is 0."""
        pairs = [
            (getattr(one, metric), getattr(other, metric))
            for one, other in zip(self.ours, self.peer, strict=True)
        ]
        if any(other == 0 for _, other in pairs):
            return None
        return spread([one / other for one, other in pairs])

    @property
    def goal_met(self) -> bool | None:
        """Whether the median ratio of output tokens/s reaches the goal; None where the row has none."""
        reached = self.ratio(_GOAL_METRIC)
        if self.workload.goal is None or reached is None:
            return None
        return reached.median >= self.workload.goal

    @property
    def remarks(self) -> list[str]:
        """What speaks against the figures: unlike work, by more than 2 %, or a machine that was not idle."""
        found = []
        if max(self.busy_cores, default=0) > _QUIET_CORES:
            most = max(self.busy_cores)
            found.append(f"{self.workload.name}: NOT QUIET, other work kept up to {most:.1f} cores busy")
        for metric in ("prompt_tokens", "answer_tokens"):
            unlike = self.ratio(metric)
            if unlike and abs(unlike.median - 1) > _UNLIKE:
                found.append(
                    f"{self.workload.name}: {_SHOWN[metric]} differ by the factor {unlike.median:.2f}"
                )
        return found

    def as_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return {
            "name": self.workload.name,
            "clients": self.workload.clients,
            "limit_tokens": self.workload.answer_tokens,
            "slot_context_tokens": self.workload.context_tokens,
            "goal": self.workload.goal,
            "goal_met": self.goal_met,
            "busy_cores_before": list(self.busy_cores),
            "infirmary": [asdict(sample) for sample in self.ours],
            "llama_server": [asdict(sample) for sample in self.peer],
            "ratios": {metric: asdict(found) for metric in _SHOWN if (found := self.ratio(metric))},
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
    for metric, label in _SHOWN.items():
        ours = spread([getattr(sample, metric) for sample in result.ours])
        peer = spread([getattr(sample, metric) for sample in result.peer])
        ratio = result.ratio(metric)
        yield (
            result.workload.name if metric == _GOAL_METRIC else "",
            label,
            ours.text(1),
            peer.text(1),
            ratio.text(2) if ratio else "",
            _goal(result) if metric == _GOAL_METRIC else "",
        )


def _goal(result: Result) -> str:
    if result.goal_met is None:
        return ""
    return f">= {result.workload.goal} {'met' if result.goal_met else 'missed'}"
