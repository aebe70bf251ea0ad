"""Puts a load on one server and records what comes back."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from time import process_time

from recording import Exchange, Recording
from servers import Server
from stream import StreamError, ask
from workloads import Body, Figures, Load, Workload

_PATH = "/v1/chat/completions"


@dataclass(frozen=True)
class Sample:
    """One repetition on one server.

    `client_cpu_s` is what this script itself took from the cores, `busy_cores` what other work kept busy of
    them shortly before, while both servers idled.
    """

    figures: Figures
    requests: int = 0
    client_cpu_s: float = 0.0
    busy_cores: float = 0.0


def sample(server: Server, row: Workload, load: Load) -> Sample:
    """Ask all of `load`; raises StreamError where an answer is not what it should be."""
    before_s = process_time()
    recording = record(server, load, reuse=row.reuse)
    client_cpu_s = process_time() - before_s
    requests = sum(map(len, recording.clients)) + (recording.late is not None)
    return Sample(row.figures(recording), requests, client_cpu_s)


def record(server: Server, load: Load, *, reuse: bool) -> Recording:
    """Ask all of `load`, its clients at once; nothing that comes back is read."""
    post = _Post(server, server.extra_fields(reuse=reuse))
    return asyncio.run(_all_of(post, load) if load.late is None else _amid(post, load, load.late))


@dataclass(frozen=True)
class _Post:
    """Asks one server. `begun` and `until` are those of `ask`."""

    server: Server
    extra: Body

    async def __call__(
        self, body: Body, begun: asyncio.Event | None = None, until: "asyncio.Future[None] | None" = None
    ) -> Exchange:
        url = self.server.url + _PATH
        return await ask(url, self.server.headers, body | self.extra, begun=begun, until=until)


async def _all_of(post: _Post, load: Load) -> Recording:
    return Recording(await asyncio.gather(*(_client(post, bodies) for bodies in load.clients)))


async def _client(post: _Post, bodies: Iterable[Body]) -> list[Exchange]:
    return [await post(body) for body in bodies]


async def _amid(post: _Post, load: Load, late: Body) -> Recording:
    over = asyncio.get_running_loop().create_future()
    begun = [asyncio.Event() for _ in load.clients]
    pairs = zip(load.clients, begun, strict=True)
    chats = [asyncio.ensure_future(_chat(post, bodies, event, over)) for bodies, event in pairs]
    await asyncio.gather(*(event.wait() for event in begun))
    exchange = await post(late)
    ended = [chat.result() for chat in chats if chat.done()]
    over.set_result(None)
    if ended:
        raise StreamError(f"a chat was over before the late request: {_last_bytes(ended[0])}")
    return Recording(await asyncio.gather(*chats), exchange)


async def _chat(
    post: _Post, bodies: Iterable[Body], begun: asyncio.Event, over: "asyncio.Future[None]"
) -> list[Exchange]:
    """As `_client`, until `over`. `begun` is set at the first text, or where none ever came."""
    exchanges: list[Exchange] = []
    try:
        for body in bodies:
            if over.done():
                break
            exchanges.append(await post(body, begun, over))
    finally:
        begun.set()
    return exchanges


def _last_bytes(exchanges: Sequence[Exchange]) -> str:
    arrivals = [exchange.arrivals[-1].data for exchange in exchanges if exchange.arrivals]
    return arrivals[-1][-300:].decode(errors="replace") if arrivals else "nothing came"
