"""The rows of the table: what is asked of both servers, by how many clients, and the goal."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from prompts import PromptWriter

PROMPT_TOKENS = 340
COLD_GOAL = 0.9
_LEAST_REQUESTS = 4
_CONTEXT_STEP = 256

Body = dict[str, Any]
Plan = list[list[Body]]
"""The chat completion requests of one repetition: for each client, what it asks one after the other."""


@dataclass(frozen=True)
class Workload:
    """One row. `plan` is called anew for each repetition, and both servers are asked exactly what it returns.

    `reuse` says whether a server may keep what it computed for earlier prompts. `context_tokens` is what one
    sequence needs for prompt and answer. `goal` is the least ratio ours/peer of output tokens/s, if any.
    """

    name: str
    clients: int
    answer_tokens: int
    context_tokens: int
    reuse: bool
    goal: float | None
    plan: Callable[[PromptWriter], Plan]


def workloads(clients: Sequence[int], answer_tokens: int) -> list[Workload]:
    """All rows; a new row is a new function like `cold_chat`, named here."""
    return [cold_chat(count, answer_tokens) for count in clients]


def cold_chat(clients: int, answer_tokens: int) -> Workload:
    """Free text from prompts that no server has seen and that share no prefix.

    Each client asks once; fewer than four clients ask more often, so that a repetition is not over at once.
    """
    rounds = max(1, _LEAST_REQUESTS // clients)

    def plan(writer: PromptWriter) -> Plan:
        return [[_free_text(writer, answer_tokens) for _ in range(rounds)] for _ in range(clients)]

    return Workload(
        name=f"free text, cold, {clients} client{'s' * (clients > 1)}",
        clients=clients,
        answer_tokens=answer_tokens,
        context_tokens=context_for(PROMPT_TOKENS, answer_tokens),
        reuse=False,
        goal=COLD_GOAL,
        plan=plan,
    )


def context_for(prompt_tokens: int, answer_tokens: int) -> int:
    """Tokens of context for one sequence, half a prompt to spare: the prompts' lengths are estimates."""
    needed = prompt_tokens * 3 // 2 + answer_tokens
    return -(-needed // _CONTEXT_STEP) * _CONTEXT_STEP


def _free_text(writer: PromptWriter, answer_tokens: int) -> Body:
    return {
        "messages": writer.chat(PROMPT_TOKENS),
        "max_tokens": answer_tokens,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
