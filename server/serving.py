"""Runs the service: a socket, the services, uvicorn."""

import os
import resource
import signal
import socket

import click
import uvicorn
import uvloop

from server import logs
from server.app import create_app
from server.banner import banner
from server.errors import StartupError
from server.settings import Settings
from server.state import open_services

_DRAIN_S = 30


class _Server(uvicorn.Server):
    """Says that it is ready once it is: what is pasted then is answered."""

    def __init__(self, config: uvicorn.Config, greeting: str) -> None:
        super().__init__(config)
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        click.echo(self._greeting)


def serve_until_interrupted(settings: Settings) -> None:
    """Serve in this process; raises StartupError where that cannot begin."""
    logs.configure(settings.log_level)
    _prepare(settings)
    uvloop.run(_serve(settings))


def _prepare(settings: Settings) -> None:
    """Make the data folder, private to this user; keep prompts out of core dumps."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StartupError(f"data_dir {settings.data_dir} cannot be made: {error.strerror}") from error
    if not os.access(settings.data_dir, os.W_OK | os.X_OK):
        raise StartupError(f"data_dir {settings.data_dir} is not writable")


async def _serve(settings: Settings) -> None:
    sock = _listen(settings.host, settings.port)
    async with open_services(settings) as services:
        config = uvicorn.Config(
            create_app(services),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        # uvicorn raises the signal that ended it again; without a handler that would skip our own clean-up.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: None)
        await _Server(config, banner(services, *sock.getsockname()[:2])).serve(sockets=[sock])


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is loaded, so that a taken port is known at once."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = socket.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        raise StartupError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    return sock
