"""The two servers: how each is started and asked."""

import os
import secrets
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from processes import Process, free_port, running


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


@contextmanager
def infirmary(
    weights: Path, *, threads: int, sequences: int, context_tokens: int, deidentify: bool
) -> Iterator[Server]:
    """Infirmary as this Python imports it, with a data directory that is gone afterwards."""
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
            "INFIRMARY_PRIVACY__POLICY": "pseudonymize" if deidentify else "off",
        }
        url = f"http://127.0.0.1:{port}"
        address = ["--host", "127.0.0.1", "--port", str(port)]
        command: list[str | Path] = [sys.executable, "-m", "server", "serve", *address]
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
