"""What a run prints: the table with what it depends on, or all of it as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from facts import Facts
from machine import machine_facts
from table import Result, markdown

# What Infirmary gives its own engine (docs/decisions/0004).
_SPIN_COUNT = "1000"


@dataclass(frozen=True)
class Settings:
    """The command line."""

    peer: str
    base: str | None
    key: str | None = field(repr=False)
    weights: Path
    repeat: int
    tokens: int
    clients: tuple[int, ...]
    rows: tuple[str, ...]
    threads: int
    seed: int
    peer_as_shipped: bool

    @property
    def peer_is_url(self) -> bool:
        """Whether the peer runs already."""
        return self.peer.startswith("http://")

    @property
    def spin_count(self) -> str | None:
        """GOMP_SPINCOUNT for a peer started here, where the environment has none; None leaves it alone."""
        return None if self.peer_as_shipped or self.peer_is_url else _SPIN_COUNT

    @property
    def started_with(self) -> dict[str, Any]:
        """Weights and threads of the servers started here; nothing where both run already."""
        if self.peer_is_url and self.base:
            return {"weights": None, "threads": None}
        return {"weights": self.weights.name, "threads": self.threads}


@dataclass(frozen=True)
class Run:
    """Everything a run found. The facts are those of the last row; `skipped` says which rows it left out."""

    results: Sequence[Result]
    ours: Facts
    peer: Facts
    not_compared: Sequence[str]
    skipped: Sequence[str]

    @property
    def remarks(self) -> list[str]:
        """What a reader of the figures has to know, one line each."""
        measured = (remark for result in self.results for remark in result.remarks)
        return [*self.not_compared, *measured, *self.skipped]


def as_json(settings: Settings, run: Run) -> str:
    """Everything but the key."""
    shown = {name: value for name, value in asdict(settings).items() if name != "key"}
    report = {
        "settings": shown | settings.started_with | {"spin_count": settings.spin_count},
        "machine": machine_facts(),
        "infirmary": asdict(run.ours),
        "llama_server": asdict(run.peer),
        "rows": [result.as_dict() for result in run.results],
        "remarks": run.remarks,
    }
    return json.dumps(report, indent=2)


def as_text(settings: Settings, run: Run) -> str:
    """The table in Markdown, and below it what the figures depend on."""
    machine = machine_facts()
    started = (
        "given by URL" if settings.peer_is_url else f"GOMP_SPINCOUNT {settings.spin_count or 'as shipped'}"
    )
    lines = [
        f"Median (least-greatest) of {settings.repeat} repetitions, seed {settings.seed}.",
        f"Infirmary {machine['commit'] or run.ours.build} on llama-cpp-python {machine['llama_cpp_python']}.",
        f"llama-server {run.peer.build}, {started}.",
        f"Weights sha256 {run.ours.weights_sha256}, {run.ours.threads or '?'} threads.",
        f"{machine['cpu']}, {machine['cores']} cores, Python {machine['python']}.",
        *(f"OpenMP: {name}={value}" for name, value in machine["openmp"].items()),
        *(f"REMARK: {remark}" for remark in run.remarks),
    ]
    return f"{markdown(run.results)}\n\n" + "  \n".join(lines)
