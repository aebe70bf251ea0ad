"""Runs the service: a socket, the services, uvicorn."""

import asyncio
import logging
import os
import resource
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
import uvicorn
import uvloop

from server import logs
from server.app import create_app
from server.banner import banner
from server.connection import bounded_protocol
from server.errors import StartupError
from server.settings import Settings
from server.state import Services, open_services

_ENDING_S = 0.5
_LAST_WORDS_S = 1
_BACKLOG = 2048

logger = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """Says that it is ready once it is, so that what is pasted then is answered; drains before it ends.

    uvicorn would close its sockets at the first signal; they stay open meanwhile (docs/decisions/0008).
    """

    def __init__(self, config: uvicorn.Config, services: Services, greeting: str) -> None:
        super().__init__(config)
        self._drain = services.drain
        self._engine = services.engine
        self._greeting = greeting

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """See uvicorn."""
        await super().startup(sockets)
        click.echo(self._greeting)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002 - see uvicorn
        """Begin to drain; at the second signal stop draining; leave a third one to the system."""
        if self._drain.begun:
            _handle_signals(signal.SIG_DFL)
        self._drain.begin()

    async def on_tick(self, counter: int) -> bool:
        """See uvicorn; ten times a second."""
        self.should_exit = self._drain.is_due(busy=bool(self.server_state.tasks))
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End what still runs, each request with its error; then see uvicorn."""
        if self.server_state.tasks:
            logger.warning("drained in vain", extra={"requests": len(self.server_state.tasks)})
            self._engine.abort()
            await asyncio.sleep(_ENDING_S)
        self._drain.end()
        await super().shutdown(sockets)


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
    sock = _bind(settings)
    async with open_services(settings) as services:
        # Not left to uvicorn: uvloop does not say when another server that bound the port listens there now.
        with _stating_the_address(settings):
            sock.listen(_BACKLOG)
        _log_start(services)
        config = uvicorn.Config(
            create_app(services),
            http=bounded_protocol(
                head_bytes=settings.limits.head_bytes, head_s=settings.limits.head_timeout_s
            ),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_LAST_WORDS_S,
        )
        server = _Server(config, services, banner(services, *sock.getsockname()[:2]))
        # uvicorn puts back what it finds when it ends, and our own clean-up comes after that.
        _handle_signals(server.handle_exit)
        await server.serve(sockets=[sock])


def _handle_signals(handler: Callable[[int, FrameType | None], None] | signal.Handlers) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def _log_start(services: Services) -> None:
    """Said only now: a start that fails says one line and no other."""
    engine = services.engine.ready
    if warning := services.inference.privacy.warning:
        logger.warning(warning)
    for system in services.code_systems:
        logger.info(
            "code system ready",
            extra={"code_system": system.name, "version": system.version, "digest": system.digest},
        )
    for weights in services.inference.router.list():
        logger.info(
            "weights ready",
            extra={
                "weights": weights.version,
                "digest": weights.digest,
                "context_tokens": weights.context_tokens,
                "device": engine and engine.device,
                "sequences": engine and engine.sequences,
                "duration_s": engine and round(engine.load_s, 3),
            },
        )


def _bind(settings: Settings) -> socket.socket:
    """Bind before anything is loaded, so that a taken port is known at once."""
    with _stating_the_address(settings):
        sock = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((settings.host, settings.port))
    return sock


@contextmanager
def _stating_the_address(settings: Settings) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        address = f"{settings.host}:{settings.port}"
        raise StartupError(f"cannot listen on {address}: {error.strerror}") from error
