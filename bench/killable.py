"""Worker processes that can be killed: what crashes or hangs in one costs its question only."""

import multiprocessing
import resource
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

_START_LIMIT_S = 120.0
_GIB = 1 << 30


class Died(Exception):
    """The worker ended while it was asked."""


class TookTooLong(Exception):
    """The worker had no answer in time, and was killed."""


class Worker:
    """One process that runs `serve(connection, *arguments)`; another is started when it died."""

    def __init__(self, serve: Callable[..., None], arguments: tuple[Any, ...], memory_gib: float) -> None:
        self._target = (serve, arguments, int(memory_gib * _GIB))
        self._process: Any = None
        self._connection: Connection | None = None

    def ask(self, name: str, *arguments: Any, limit_s: float) -> Any:
        """The answer to one question; raises Died or TookTooLong (after `limit_s` seconds)."""
        try:
            connection = self._started()
            connection.send((name, arguments))
            if not connection.poll(limit_s):
                self.close()
                raise TookTooLong
            return connection.recv()
        except (EOFError, BrokenPipeError, ConnectionResetError):
            raise Died(self._ending()) from None

    def close(self) -> None:
        """End the process, if there is one."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
        if self._connection is not None:
            self._connection.close()
        self._process = self._connection = None

    def _started(self) -> Connection:
        if self._connection is None:
            context = multiprocessing.get_context("spawn")
            self._connection, theirs = context.Pipe()
            self._process = context.Process(target=_run, args=(theirs, *self._target), daemon=True)
            self._process.start()
            theirs.close()
            if not self._connection.poll(_START_LIMIT_S):
                self.close()
                raise Died("it did not start")
            self._connection.recv()
        return self._connection

    def _ending(self) -> str:
        self._process.join()
        code = self._process.exitcode
        self.close()
        return f"signal {-code}" if code < 0 else f"exit status {code}"


def _run(connection: Connection, serve: Callable[..., None], arguments: tuple[Any, ...], memory: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    serve(connection, *arguments)
