"""Puts a load on one server and turns its answers into figures."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from statistics import fmean
from time import process_time

from servers import Server
from stream import Answer, Arrival, ask, read_answer
from workloads import Body, Plan

_PATH = "/v1/chat/completions"

Recorded = tuple[float, list[Arrival]]


@dataclass(frozen=True)
class Sample:
    """One repetition on one server.

    Times are milliseconds where the name ends in `_ms` and seconds where it ends in `_s`; `prompt_tokens`,
    `answer_tokens` and `events` are means over the answers. An inter-token time is that between two events
    with text of one answer: a server that sends several tokens at once shows longer ones. `client_cpu_s` is
    what this script itself took from the cores.
    """

    output_tokens_per_s: float
    first_token_p50_ms: float
    first_token_p95_ms: float
    inter_token_p50_ms: float
    inter_token_p99_ms: float
    prompt_tokens: float
    answer_tokens: float
    events: float
    requests: int
    wall_s: float
    client_cpu_s: float


def sample(server: Server, plan: Plan, *, reuse: bool) -> Sample:
    """Ask all of `plan`, its clients at once."""
    before_s = process_time()
    recorded = asyncio.run(_all_clients(server, plan, reuse))
    client_cpu_s = process_time() - before_s
    return sample_of([read_answer(started_s, arrivals) for started_s, arrivals in recorded], client_cpu_s)


async def _all_clients(server: Server, plan: Plan, reuse: bool) -> list[Recorded]:
    clients = await asyncio.gather(*(_client(server, bodies, reuse) for bodies in plan))
    return [recorded for client in clients for recorded in client]


async def _client(server: Server, bodies: Iterable[Body], reuse: bool) -> list[Recorded]:
    extra = server.extra_fields(reuse=reuse)
    return [await ask(server.url + _PATH, server.headers, body | extra) for body in bodies]


def sample_of(answers: Sequence[Answer], client_cpu_s: float) -> Sample:
    """The figures of one repetition. Its wall time runs from the first request to the last end."""
    wall_s = max(answer.ended_s for answer in answers) - min(answer.started_s for answer in answers)
    first_s = [answer.content_s[0] - answer.started_s for answer in answers]
    between_s = [after - before for answer in answers for before, after in pairwise(answer.content_s)]
    return Sample(
        output_tokens_per_s=sum(answer.completion_tokens for answer in answers) / wall_s,
        first_token_p50_ms=1000 * percentile(first_s, 50),
        first_token_p95_ms=1000 * percentile(first_s, 95),
        inter_token_p50_ms=1000 * percentile(between_s, 50),
        inter_token_p99_ms=1000 * percentile(between_s, 99),
        prompt_tokens=fmean(answer.prompt_tokens for answer in answers),
        answer_tokens=fmean(answer.completion_tokens for answer in answers),
        events=fmean(len(answer.content_s) for answer in answers),
        requests=len(answers),
        wall_s=wall_s,
        client_cpu_s=client_cpu_s,
    )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least `percent` of 100 do not exceed; 0 where there are none."""
    if not values:
        return 0.0
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]
