"""The two servers: how each is started, asked, and what it says it runs."""

import hashlib
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import URLError

from processes import Process, free_port, get, running

_OUR_THREADS = re.compile(r"CPU \((\d+) threads")
_PEER_THREADS = re.compile(r"n_threads = (\d+)")


class UnlikeServers(Exception):
    """The two servers do not run the same, so their figures cannot be compared."""


@dataclass(frozen=True)
class Facts:
    """What a server says of itself; None where it does not. `slots` are sequences it can run at once."""

    build: str | None = None
    weights_sha256: str | None = None
    threads: int | None = None
    slots: int | None = None


@dataclass(frozen=True, eq=False)
class Server:
    """Where to ask and how. `peer` is whether it is llama-server."""

    url: str
    peer: bool
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    process: Process | None = None

    @property
    def name(self) -> str:
        return "llama-server" if self.peer else "Infirmary"

    def extra_fields(self, *, reuse: bool) -> dict[str, Any]:
        """What goes into a request's body for this server alone."""
        return {"cache_prompt": reuse} if self.peer else {"model": "auto"}

    def facts(self) -> Facts:
        """Ask the server, and read its log where this script started it."""
        return _peer_facts(self) if self.peer else _our_facts(self)


@contextmanager
def infirmary(weights: Path, *, threads: int, sequences: int, context_tokens: int) -> Iterator[Server]:
    """Infirmary as it is installed beside this Python, with a data directory that is gone afterwards."""
    key, port = secrets.token_urlsafe(24), free_port()
    with tempfile.TemporaryDirectory(prefix="bench-infirmary-") as directory:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("INFIRMARY_")}
        environment |= {
            "INFIRMARY_DATA_DIR": str(Path(directory) / "data"),
            "INFIRMARY_BOOTSTRAP_KEY": key,
            "INFIRMARY_WEIGHTS": str(weights),
            "INFIRMARY_ENGINE__THREADS": str(threads),
            "INFIRMARY_ENGINE__SEQUENCES": str(sequences),
            "INFIRMARY_ENGINE__CONTEXT_TOKENS": str(context_tokens),
        }
        url = f"http://127.0.0.1:{port}"
        command: list[str | Path] = [
            Path(sys.executable).parent / "infirmary",
            "serve",
            "--host",
            "127.0.0.1",
            "--port",
            str(port),
        ]
        with running(
            command, directory=Path(directory), environment=environment, ready_url=f"{url}/readyz"
        ) as process:
            yield running_infirmary(url, key, process)


def running_infirmary(url: str, key: str | None, process: Process | None = None) -> Server:
    """An Infirmary that runs already."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Server(url.rstrip("/"), peer=False, headers=headers, process=process)


@contextmanager
def llama_server(
    binary: Path, weights: Path, *, threads: int, slots: int, context_tokens: int, spin_count: str | None
) -> Iterator[Server]:
    """llama-server with `slots` parallel slots of `context_tokens` tokens each, all else at its defaults.

    `spin_count` is for libgomp (`GOMP_SPINCOUNT`) where the environment has none; None leaves it alone.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    # -c is shared out among the slots.
    options = {"-t": threads, "-np": slots, "-c": slots * context_tokens, "--port": port}
    numbers = [text for name, value in options.items() for text in (name, str(value))]
    command: list[str | Path] = [binary, "-m", weights, "--host", "127.0.0.1", *numbers]
    spinning = {} if spin_count is None else {"GOMP_SPINCOUNT": spin_count}
    with (
        tempfile.TemporaryDirectory(prefix="bench-peer-") as directory,
        running(
            command,
            directory=Path(directory),
            environment=spinning | dict(os.environ),
            ready_url=f"{url}/health",
        ) as process,
    ):
        yield Server(url, peer=True, process=process)


def running_peer(url: str) -> Server:
    """A llama-server that runs already."""
    return Server(url.rstrip("/"), peer=True)


def _our_facts(server: Server) -> Facts:
    weights = _get_json(server, "/v1/models")["data"][0]
    build = _get_json(server, "/openapi.json")["info"]["version"]
    return Facts(build, weights["digest"], _threads(server, _OUR_THREADS))


def _peer_facts(server: Server) -> Facts:
    props = _get_json(server, "/props")
    path = Path(props["model_path"])
    return Facts(
        build=props.get("build_info"),
        weights_sha256=sha256_of(path) if path.is_file() else None,
        threads=_threads(server, _PEER_THREADS),
        slots=props.get("total_slots"),
    )


def _threads(server: Server, pattern: re.Pattern[str]) -> int | None:
    found = pattern.search(server.process.log) if server.process else None
    return int(found[1]) if found else None


def _get_json(server: Server, path: str) -> Any:
    try:
        return json.loads(get(server.url + path, server.headers))
    except (URLError, OSError) as error:
        raise UnlikeServers(f"{server.url}{path} cannot be read: {error}") from error


def sha256_of(path: Path) -> str:
    """Hexadecimal SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def compare(ours: Facts, peer: Facts, clients: int) -> set[str]:
    """Raise UnlikeServers where weights, threads or slots differ; returns what could not be compared."""
    unknown = set()
    for name in ("weights_sha256", "threads"):
        one, other = getattr(ours, name), getattr(peer, name)
        if one is None or other is None:
            unknown.add(f"not compared: {name} (Infirmary {one}, llama-server {other})")
        elif one != other:
            raise UnlikeServers(f"{name}: Infirmary runs {one}, llama-server {other}")
    if peer.slots is not None and peer.slots < clients:
        raise UnlikeServers(
            f"llama-server has {peer.slots} slots for {clients} clients; give it -np {clients}"
        )
    return unknown
