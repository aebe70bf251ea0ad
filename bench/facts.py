"""What a server says that it runs, and whether that allows a comparison."""

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import URLError

from processes import get
from servers import Server
from workloads import Workload

_OUR_THREADS = re.compile(r"CPU \((\d+) threads")
_PEER_THREADS = re.compile(r"n_threads = (\d+)")


class UnlikeServers(Exception):
    """The two servers do not run the same, so their figures cannot be compared."""


@dataclass(frozen=True)
class Facts:
    """What a server says of itself; None where it does not.

    `slots` are sequences it can run at once, each of `context_tokens` tokens.
    """

    build: str | None = None
    weights_sha256: str | None = None
    threads: int | None = None
    slots: int | None = None
    context_tokens: int | None = None


def facts_of(server: Server) -> Facts:
    """Ask the server, and read its log where this script started it; raises UnlikeServers."""
    return _peer_facts(server) if server.peer else _our_facts(server)


def _our_facts(server: Server) -> Facts:
    weights = _get_json(server, "/v1/models")["data"][0]
    return Facts(
        build=_get_json(server, "/openapi.json")["info"]["version"],
        weights_sha256=weights["digest"],
        threads=_threads(server, _OUR_THREADS),
        context_tokens=weights["context_tokens"],
    )


def _peer_facts(server: Server) -> Facts:
    props = _get_json(server, "/props")
    path = Path(props["model_path"])
    return Facts(
        build=props.get("build_info"),
        weights_sha256=sha256_of(path) if path.is_file() else None,
        threads=_threads(server, _PEER_THREADS),
        slots=props.get("total_slots"),
        context_tokens=props.get("default_generation_settings", {}).get("n_ctx"),
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


def compare(ours: Facts, peer: Facts) -> set[str]:
    """Raise UnlikeServers where weights or threads differ; returns what could not be compared."""
    unknown = set()
    for name in ("weights_sha256", "threads"):
        one, other = getattr(ours, name), getattr(peer, name)
        if one is None or other is None:
            unknown.add(f"not compared: {name} (Infirmary {one}, llama-server {other})")
        elif one != other:
            raise UnlikeServers(f"{name}: Infirmary runs {one}, llama-server {other}")
    return unknown


def lack(name: str, facts: Facts, row: Workload) -> str | None:
    """What a server that this script did not start lacks for a row; None where it is not known to."""
    if facts.slots is not None and facts.slots < row.slots:
        return f"{name} has {facts.slots} slots, {row.slots} are needed"
    if facts.context_tokens is not None and facts.context_tokens < row.context_tokens:
        return f"{name} has {facts.context_tokens} tokens a sequence, {row.context_tokens} are needed"
    return None
