"""What a row of the table is: what is asked of both servers, what is measured, and the goals."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from prompts import PromptWriter
from recording import Recording

_CONTEXT_STEP = 256

Body = dict[str, Any]
"""A chat completion request, without what only one of the servers is told."""

Figures = Mapping[str, float]
"""One repetition on one server, by the names that `table` has labels for; the names say the units."""


@dataclass(frozen=True)
class Load:
    """What one repetition asks: of each client, one body after the other.

    With a `late` body the clients only keep the server busy: it is asked once the first answer of each of
    them is under way, and they go on from body to body until it is answered, where they are cut off.
    """

    clients: Sequence[Sequence[Body]]
    late: Body | None = None

    def opening(self, **fields: Any) -> "Load":
        """Of each client the first body alone, with `fields` in place of its own."""
        return Load([[bodies[0] | fields] for bodies in self.clients])


@dataclass(frozen=True)
class Goal:
    """A bound for the median ratio Infirmary / llama-server of one measure."""

    measure: str
    bound: float
    at_most: bool = False

    def met(self, ratio: float) -> bool:
        """Whether a ratio keeps to the bound."""
        return ratio <= self.bound if self.at_most else ratio >= self.bound

    def __str__(self) -> str:
        return f"{'<=' if self.at_most else '>='} {self.bound:.3g}"


@dataclass(frozen=True)
class Workload:
    """One row.

    `slots` is how many sequences each server has, each of `context_tokens` tokens. `warm_up` and `load` are
    called anew for each repetition, and both servers are asked exactly what they return; only what `load`
    returns is measured, by `figures`. Of these `shown` stand in the table, and those in `alike` must agree.

    `reuse` says whether the servers may keep what they computed for earlier prompts, `primed` whether the
    load's opening is asked right before it, unmeasured, `restart` whether both servers are started anew for
    each repetition, and `deidentify` whether Infirmary looks for identifiers.
    """

    name: str
    slots: int
    context_tokens: int
    goals: Sequence[Goal]
    warm_up: Callable[[PromptWriter], Load]
    load: Callable[[PromptWriter], Load]
    figures: Callable[[Recording], Figures]
    shown: Sequence[str]
    alike: Sequence[str]
    reuse: bool = False
    primed: bool = False
    restart: bool = False
    deidentify: bool = True


def without_identifier_search(row: Workload) -> Workload:
    """The same row and goals, with Infirmary's de-identification off."""
    return replace(row, name=row.name.replace("(de-id on)", "(de-id off)"), deidentify=False)


def context_for(prompt_tokens: int, answer_tokens: int) -> int:
    """Tokens of context for one sequence, half a prompt to spare: the prompts' lengths are estimates."""
    needed = prompt_tokens * 3 // 2 + answer_tokens
    return -(-needed // _CONTEXT_STEP) * _CONTEXT_STEP
