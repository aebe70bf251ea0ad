"""`infirmary`: the command line."""

import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import click
import uvicorn
import uvloop

from server import logs
from server.app import create_app
from server.banner import banner
from server.errors import StartupError
from server.settings import Settings, load_settings
from server.state import open_services

_DRAIN_S = 30


@click.group()
@click.version_option(package_name="infirmary")
def main() -> None:
    """Infirmary: clinical language models inside the hospital."""


@main.command()
@click.option("--host", help="Address to listen on.")
@click.option("--port", type=int, help="Port to listen on; 0 takes any free one.")
@click.option("--weights", type=click.Path(path_type=Path), help="The GGUF file to serve.")
def serve(**options: Any) -> None:
    """Serve until interrupted."""
    try:
        settings = load_settings(**{name: value for name, value in options.items() if value is not None})
        logs.configure(settings.log_level)
        _prepare(settings)
        uvloop.run(_serve(settings))
    except StartupError as error:
        click.echo(f"infirmary: {error.message}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


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
        click.echo(banner(services, *sock.getsockname()[:2]))
        await uvicorn.Server(config).serve(sockets=[sock])


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


if __name__ == "__main__":
    main()
