"""The facade: texts in, pseudonymized texts and their vault out, or an error."""

from collections.abc import Sequence

from server.errors import PrivacyUnavailable
from server.privacy.findings import Findings
from server.privacy.pool import WorkerPool
from server.privacy.pseudonyms import Deidentified, pseudonymize

PLANTED = "Patient: Maria Alvarez\nMRN: 00482913\n"
PLANTED_KINDS = {"NAME", "MRN"}


class Deidentifier:
    """Replaces identifiers, found in worker processes. It fails closed: no findings, no text."""

    warning: str | None = None

    def __init__(self, *, workers: int, timeout_s: float) -> None:
        """`workers` is the number of processes; `timeout_s` bounds the wait, then the work, in s each."""
        self._pool = WorkerPool(workers=workers, timeout_s=timeout_s)

    async def start(self) -> None:
        """Starts the workers; raises PrivacyUnavailable where one misses a planted name or record number."""
        try:
            await self._pool.start(_finds_planted, [PLANTED])
        except PrivacyUnavailable:
            await self.close()
            raise

    async def deidentify(self, texts: Sequence[str]) -> Deidentified:
        """`texts` with pseudonyms, one vault over all of them.

        Raises PrivacyUnavailable where they could not be looked for in time; the next request may succeed.
        """
        texts = tuple(texts)
        return pseudonymize(texts, await self._pool.analyze(texts))

    async def close(self) -> None:
        """Ends the worker processes."""
        await self._pool.close()


def _finds_planted(findings: Findings) -> bool:
    return {finding.kind for finding in findings[0]} >= PLANTED_KINDS
