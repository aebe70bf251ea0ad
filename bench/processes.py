"""Child processes that serve HTTP: started, waited for, stopped."""

import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import ProxyHandler, Request, build_opener

_START_S = 300
_STOP_S = 40
_PAUSE_S = 0.1


class ServerDied(Exception):
    """A server ended or did not become ready; the message holds the end of its log."""


@dataclass(frozen=True)
class Process:
    """A server that runs; `log` is all it printed."""

    log_file: Path

    @property
    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


@contextmanager
def running(
    command: Sequence[str | Path], *, directory: Path, environment: Mapping[str, str], ready_url: str
) -> Iterator[Process]:
    """Run `command` in `directory`, ready once `ready_url` answers 200; stopped at the end."""
    log_file = directory / "server.log"
    with log_file.open("wb") as log:
        # In a session of its own, so that an interrupt reaches it only from here, in order.
        child = subprocess.Popen(
            command, cwd=directory, env=dict(environment), stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait_ready(child, ready_url, log_file)
        yield Process(log_file)
    finally:
        _stop(child)


def _wait_ready(child: "subprocess.Popen[bytes]", url: str, log_file: Path) -> None:
    deadline = time.monotonic() + _START_S
    while not _answers(url):
        if child.poll() is not None or time.monotonic() > deadline:
            end = log_file.read_text(errors="replace")[-2000:]
            raise ServerDied(f"{child.args!r} did not become ready:\n{end}")
        time.sleep(_PAUSE_S)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    try:
        child.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def _answers(url: str) -> bool:
    try:
        get(url, {})
    except (URLError, OSError):
        return False
    return True


def get(url: str, headers: Mapping[str, str]) -> bytes:
    """GET, past any proxy; raises URLError, also for a status that is not 200."""
    opener = build_opener(ProxyHandler({}))
    with opener.open(Request(url, headers=dict(headers)), timeout=10) as response:
        body: bytes = response.read()
    return body


def free_port() -> int:
    """A port that nothing listens on now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    return port
