"""The privacy workers as the API process sees them: each a process of its own behind a pipe.

Processes and pipes, not a `ProcessPoolExecutor`: there the death of one worker fails the requests of all
others, a worker that hangs cannot be ended, and workers outlive a parent that was killed. A pipe ends with
its parent.
"""

import asyncio
import contextlib
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess

from server.errors import PrivacyUnavailable
from server.privacy.findings import Failure, Findings
from server.privacy.worker import serve

START_S = 60.0
CLOSE_S = 2.0


class Worker:
    """One worker process, started again by the next analysis after it died. The methods block."""

    def __init__(self, limit_s: float) -> None:
        # Never fork: the API process has threads. The fork server imports Presidio once for all workers.
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["server.privacy.analysis"])
        self._limit_s = limit_s
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None

    @property
    def pid(self) -> int | None:
        """The process id, None while there is none."""
        return self._process.pid if self._process else None

    def analyze(self, texts: Sequence[str]) -> Findings | Failure:
        """The findings in `texts`, or how the process failed; the answer is always read to its end."""
        try:
            connection = self._ready()
            connection.send(texts)
            answer: Findings | Failure = connection.recv()
        except (EOFError, OSError):
            self.kill()
            return Failure("worker died")
        return answer

    def kill(self) -> None:
        """Ends the process, whatever it does. The pipe stays open: a thread may still read from it."""
        process, self._process, self._connection = self._process, None, None
        if process is not None:
            process.kill()

    def close(self) -> None:
        """Ends the process and waits until it is gone. It holds no state, so it need not agree."""
        process = self._process
        self.kill()
        if process is not None:
            process.join(CLOSE_S)

    def _ready(self) -> Connection:
        """The pipe of a live process. Fields are set once it runs, since `kill` may come at any moment."""
        process, connection = self._process, self._connection
        if process is None or connection is None or not process.is_alive():
            connection, remote = self._context.Pipe()
            process = self._context.Process(target=serve, args=(remote, self._limit_s), daemon=True)
            process.start()
            remote.close()
            self._process, self._connection = process, connection
        return connection


class WorkerPool:
    """A fixed number of workers, each lent to one request at a time."""

    def __init__(self, *, workers: int, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._workers = [Worker(limit_s=timeout_s + 1) for _ in range(workers)]
        self._idle: asyncio.Queue[Worker] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="privacy")

    @property
    def pids(self) -> list[int]:
        """The process ids of the workers that have been started."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    async def start(self, probe: Callable[[Findings], bool], texts: Sequence[str]) -> None:
        """Starts every worker.

        Raises PrivacyUnavailable where one does not answer or `probe` rejects its findings in `texts`.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                answers = await asyncio.gather(*(self._ask(worker, texts) for worker in self._workers))
                if all(map(probe, answers)):
                    return
        raise PrivacyUnavailable("the privacy workers failed their self-test")

    async def analyze(self, texts: Sequence[str]) -> Findings:
        """The findings in `texts`, within `timeout_s` seconds once a worker is lent.

        Raises PrivacyUnavailable where none was lent within another `timeout_s`, and where a worker died,
        hung or failed; it is replaced for the next request.
        """
        worker = await self._lend()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                return await self._ask(worker, texts)
        # Raised out here: the frames of a time-out hold the texts, so it must not become the context.
        raise PrivacyUnavailable("looking for identifiers took too long")

    async def close(self) -> None:
        """Ends the workers."""
        await asyncio.gather(*(asyncio.to_thread(worker.close) for worker in self._workers))
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def _lend(self) -> Worker:
        """The next idle worker. Nothing may be awaited between this and `_ask`, which gives it back."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._timeout_s):
                return await self._idle.get()
        raise PrivacyUnavailable("all privacy workers are busy")

    async def _ask(self, worker: Worker, texts: Sequence[str]) -> Findings:
        """One exchange. `worker` is idle again once its thread is done, even where nobody waits any more."""
        loop = asyncio.get_running_loop()
        exchange = self._threads.submit(worker.analyze, texts)
        exchange.add_done_callback(lambda _: loop.call_soon_threadsafe(self._idle.put_nowait, worker))
        try:
            answer = await asyncio.wrap_future(exchange)
        except asyncio.CancelledError:
            # An exchange may be done before its owner is told, and the worker be lent again. While it is not,
            # the worker is this request's: it becomes idle in a later step of the loop, behind this kill.
            if not exchange.done():
                worker.kill()
            raise
        if isinstance(answer, Failure):
            raise PrivacyUnavailable(f"looking for identifiers failed ({answer.error})")
        return answer
