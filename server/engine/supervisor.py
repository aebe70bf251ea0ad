"""Keeps one engine process running: starts it, notices its death, starts it again."""

import asyncio
import contextlib
import logging
import os
import socket
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from typing import Protocol

import msgspec

from server.engine.client import EngineClient
from server.engine.job import Job
from server.engine.protocol import CodeSet, CodeSetReady, Load, Output, Ready, Step
from server.errors import EngineUnavailable, ShuttingDown, StartupError

_LONGEST_PAUSE_S = 30.0
_GRACE_S = 5.0

# libgomp's threads spin for milliseconds at each barrier. That costs nothing while the cores are free, and
# decoding its speed, tenfold, as soon as another process wants one of them (docs/decisions/0004).
_OPENMP = {"GOMP_SPINCOUNT": "1000"}

# OpenBLAS gets parts for one thread each (deploy/sgemm.h); left alone, it starts a thread for each core as it
# loads.
_OPENBLAS = {"OPENBLAS_NUM_THREADS": "1"}

logger = logging.getLogger(__name__)


class EngineListener(Protocol):
    """Told when an engine becomes ready or ends."""

    def __call__(self, *, up: bool) -> None:
        """`up` is whether requests can be taken from now on."""


class EngineSupervisor:
    """One loaded GGUF, for as long as the service runs.

    A crash of llama.cpp costs the requests in flight a retryable error; the next engine starts at once.
    Starts that fail are tried again with growing pauses.
    """

    def __init__(
        self,
        load: Load,
        *,
        start_timeout_s: float,
        on_step: Callable[[Step], None],
        on_change: EngineListener,
    ) -> None:
        self._load = load
        self._start_timeout_s = start_timeout_s
        self._on_step = on_step
        self._on_change = on_change
        self._client: EngineClient | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._warm: list[list[int]] = []
        self._code_sets: dict[str, CodeSet] = {}
        self._defined: dict[str, asyncio.Future[CodeSetReady]] = {}
        self.ready: Ready | None = None

    async def start(self) -> Ready:
        """Start the first engine; raises StartupError when the weights cannot be loaded."""
        ready = await self._launch()
        self._watch = asyncio.create_task(self._supervise(), name="engine-supervisor")
        return ready

    def warm(self, tokens: list[int]) -> None:
        """Have a prefix that operators wrote computed now, and again by every engine that takes over."""
        self._warm.append(tokens)
        if self._client:
            self._client.warm(tokens)

    async def define(self, code_set: CodeSet) -> None:
        """Have a code set compiled now, and again by every engine that takes over; waits until it is there.

        Raises StartupError where it cannot be compiled, or not in the time that an engine has to start.
        """
        self._code_sets[code_set.name] = code_set
        defined: asyncio.Future[CodeSetReady] = asyncio.get_running_loop().create_future()
        self._defined[code_set.name] = defined
        if self._client:
            with contextlib.suppress(EngineUnavailable):  # the next one is sent all sets
                self._client.define(code_set)
        try:
            async with asyncio.timeout(self._start_timeout_s):
                ready = await defined
        except TimeoutError as error:
            raise StartupError(
                f"codes: {code_set.name} was not compiled within {self._start_timeout_s:g} s"
            ) from error
        if ready.fault:
            raise StartupError(f"codes: {code_set.name} cannot be compiled: {ready.fault}")

    def abort(self) -> None:
        """End every open request with ShuttingDown, and take no other: `stop` comes next."""
        if self._client:
            self._client.abort(ShuttingDown)

    async def stop(self) -> None:
        """End the engine and wait until its memory is back."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self._end_process()

    def generate(self, job: Job) -> AsyncGenerator[Output, None]:
        """See `EngineClient.generate`; raises EngineUnavailable while no engine is ready."""
        if self._client is None:
            raise EngineUnavailable("the engine is starting; send the request again", retry_after_s=2)
        return self._client.generate(job)

    async def _launch(self) -> Ready:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "server.engine",
                str(theirs.fileno()),
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=_environment(),
            )
        client = EngineClient(ours, self._on_step, self._on_code_set)
        try:
            async with asyncio.timeout(self._start_timeout_s):
                self.ready = await client.load(self._load)
        except TimeoutError as error:
            client.close()
            raise StartupError(f"the engine was not ready within {self._start_timeout_s:g} s") from error
        except BaseException:
            client.close()
            raise
        # What was admitted under this context must fit into that of the next engine too.
        self._load = msgspec.structs.replace(self._load, context_tokens=self.ready.context_tokens)
        self._client = client
        for code_set in self._code_sets.values():
            client.define(code_set)
        for tokens in self._warm:
            client.warm(tokens)
        self._on_change(up=True)
        return self.ready

    def _on_code_set(self, ready: CodeSetReady) -> None:
        defined = self._defined.pop(ready.name, None)
        if defined is not None and not defined.done():
            defined.set_result(ready)
        elif ready.fault:
            logger.error("code system cannot be compiled again", extra={"code_system": ready.name})
        else:
            logger.info("code system ready again", extra={"code_system": ready.name})

    async def _supervise(self) -> None:
        pause_s = 0.0
        while True:
            if self._client:
                pause_s = 0.0
                await self._listen(self._client)
                self._on_change(up=False)
            logger.warning("engine ended", extra={"status": await self._end_process()})
            await asyncio.sleep(pause_s)
            pause_s = min(max(1.0, 2 * pause_s), _LONGEST_PAUSE_S)
            try:
                await self._launch()
                logger.info("engine ready again")
            except Exception:
                logger.exception("engine failed to start")

    async def _listen(self, client: EngineClient) -> None:
        """Until the engine ends, or says what cannot be understood: then it is replaced."""
        try:
            await client.run()
        except Exception:
            logger.exception("engine connection failed")

    async def _end_process(self) -> int | None:
        """Hang up, and wait for the process; one that does not end by itself is killed. Gives its status."""
        process, self._process = self._process, None
        if self._client:
            self._client.close()
            self._client, self.ready = None, None
        if process is None:
            return None
        try:
            async with asyncio.timeout(_GRACE_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()
        return process.returncode


def _environment() -> dict[str, str]:
    """Ours without our secrets: this process reads a file that nobody vouches for."""
    ours = {name: value for name, value in os.environ.items() if not name.upper().startswith("INFIRMARY_")}
    return _OPENMP | _OPENBLAS | ours
