"""Real servers: the `infirmary` command over the embedded weights, asked over HTTP."""

import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from openai import AsyncOpenAI, OpenAI
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import select

from models.audit_record import AuditRecord
from models.database import Database

COMMAND = Path(sys.executable).with_name("infirmary")
KEY = "integration-tests-own-key"
SMALL = {"ENGINE__CONTEXT_TOKENS": "3072", "ENGINE__SEQUENCES": "8", "PORT": "0"}
ENGINE = "infirmary-engine"
PRIVACY = "infirmary-privacy"
START_S = 60
STOP_S = 15
PAUSE_S = 0.05
URL = re.compile(r"is ready at (http://\S+)")


@dataclass
class Server:
    """One `infirmary serve`. Its folder holds stdout, stderr and, unless it is told otherwise, the data."""

    directory: Path
    process: "subprocess.Popen[bytes]"
    database_url: str
    url: str = ""

    @property
    def output(self) -> str:
        return (self.directory / "stdout").read_text()

    @property
    def log(self) -> str:
        return (self.directory / "stderr").read_text()

    def wait_ready(self) -> None:
        """Until it has said where it listens and answers there."""
        wait_for(lambda: URL.search(self.output) or self.process.poll() is not None, START_S)
        found = URL.search(self.output)
        assert found, f"the server did not start:\n{self.log}"
        self.url = found[1]
        wait_for(self.is_ready, START_S)

    def is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    def processes(self, title: str) -> list[psutil.Process]:
        """The processes below the server with that title."""
        return [child for child in self.children() if " ".join(child.cmdline()).startswith(title)]

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples that have these labels."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
        found = [
            each.value for each in samples if each.name == name and labels.items() <= each.labels.items()
        ]
        assert found or labels, f"there is no metric {name}"
        return sum(found)

    def wait_running(self, count: int) -> None:
        """Until so many requests hold an engine slot."""
        wait_for(lambda: self.metric("infirmary_requests_running") == count, 10)

    def stop(self) -> int:
        """Ask it to end, and give its exit status."""
        self.process.terminate()
        return self.process.wait(STOP_S)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(STOP_S)


Serve = Callable[..., Server]


def wait_for(condition: Callable[[], Any], limit_s: float) -> None:
    deadline = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {limit_s} s in vain"
        time.sleep(PAUSE_S)


def is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def environment_of(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a server: ours without settings of its own, and these."""
    plain = {name: value for name, value in os.environ.items() if not name.startswith("INFIRMARY_")}
    return plain | {f"INFIRMARY_{name}": value for name, value in settings.items()}


def start(directory: Path, **settings: str) -> Server:
    """Run `infirmary serve` in a folder, with INFIRMARY_* settings by their names, and return at once."""
    directory.mkdir(parents=True, exist_ok=True)
    settings = {"DATA_DIR": str(directory / "data"), **SMALL, **settings}
    with (directory / "stdout").open("wb") as out, (directory / "stderr").open("wb") as err:
        process = subprocess.Popen(
            [COMMAND, "serve"], cwd=directory, env=environment_of(settings), stdout=out, stderr=err
        )
    database_url = settings.get("DATABASE_URL", f"sqlite:///{settings['DATA_DIR']}/infirmary.db")
    return Server(directory, process, database_url)


@pytest.fixture
def launch() -> Iterator[Serve]:
    """Starts servers that need not become ready; they end with the test."""
    servers: list[Server] = []

    def launching(directory: Path, **settings: str) -> Server:
        servers.append(start(directory, **settings))
        return servers[-1]

    yield launching
    for server in servers:
        if server.process.poll() is None:
            server.stop()


@pytest.fixture
def serve(launch: Serve) -> Serve:
    """Starts servers that know our key, ready when it returns; they end with the test."""

    def serving(directory: Path, **settings: str) -> Server:
        server = launch(directory, **{"BOOTSTRAP_KEY": KEY, **settings})
        server.wait_ready()
        return server

    return serving


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The server that all tests share which leave it as they found it."""
    server = start(tmp_path_factory.mktemp("server"), BOOTSTRAP_KEY=KEY)
    server.wait_ready()
    yield server
    assert server.stop() == 0


@pytest.fixture(scope="session")
def key() -> str:
    """A key with every scope."""
    return KEY


@pytest.fixture
def left_of() -> Callable[[list[psutil.Process], float], list[psutil.Process]]:
    """The processes that still run after so many seconds."""

    def wait(processes: list[psutil.Process], limit_s: float) -> list[psutil.Process]:
        running: list[psutil.Process] = processes
        deadline = time.monotonic() + limit_s
        while running := [each for each in running if is_alive(each)]:
            if time.monotonic() > deadline:
                break
            time.sleep(PAUSE_S)
        return running

    return wait


@pytest.fixture
def eventually() -> Callable[[Callable[[], Any], float], None]:
    """Waits until a condition holds, no longer than so many seconds."""
    return wait_for


@pytest.fixture(scope="session")
def make_async_http() -> Callable[[Server], httpx.AsyncClient]:
    """As `make_http`, for many requests at once."""

    def make(server: Server) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.AsyncClient(base_url=server.url, headers=headers, trust_env=False, timeout=60)

    return make


@pytest.fixture(scope="session")
def make_http() -> Callable[[Server], httpx.Client]:
    """A plain HTTP client of a server, with the key."""

    def make(server: Server, **options: Any) -> httpx.Client:
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.Client(base_url=server.url, headers=headers, trust_env=False, timeout=60, **options)

    return make


@pytest.fixture
def http(server: Server, make_http: Callable[[Server], httpx.Client]) -> Iterator[httpx.Client]:
    with make_http(server) as client:
        yield client


@pytest.fixture
def openai(server: Server) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
async def async_openai(server: Server) -> AsyncIterator[AsyncOpenAI]:
    async with AsyncOpenAI(base_url=f"{server.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client:
        yield client


@pytest.fixture
def audit_rows() -> Callable[[Server], Awaitable[list[AuditRecord]]]:
    """All audit records of a server, oldest first."""

    async def read(server: Server) -> list[AuditRecord]:
        database = Database(server.database_url)
        try:
            async with database.transaction(read_only=True) as session:
                return list(await session.scalars(select(AuditRecord).order_by(AuditRecord.id)))
        finally:
            await database.dispose()

    return read
