"""How the service ends: intake stops, what runs is finished within a grace, what is left is ended."""

import asyncio
import time

from server.errors import ShuttingDown


class Drain:
    """One way only: open, then draining, then over."""

    def __init__(self, grace_s: float) -> None:
        self._grace_s = grace_s
        self._due_s: float | None = None
        self._over = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether nothing new is taken in any more."""
        return self._due_s is not None

    def check(self) -> None:
        """Raise ShuttingDown once the drain has begun: ask before anything new is taken in."""
        if self.begun:
            raise ShuttingDown

    def begin(self) -> None:
        """Stop intake; called again, end the grace at once. Safe in a signal handler."""
        self._due_s = time.monotonic() + (0 if self.begun else self._grace_s)

    def is_due(self, *, busy: bool) -> bool:
        """Whether the service should end now, `busy` with requests or not."""
        return self._due_s is not None and (not busy or time.monotonic() >= self._due_s)

    def end(self) -> None:
        """Say that the grace is over."""
        self._over.set()

    async def over(self) -> None:
        """Wait until whoever still runs must end."""
        await self._over.wait()
