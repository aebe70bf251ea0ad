"""What the path of a request asks of the privacy package, and the answer where it is switched off."""

from collections.abc import Sequence
from typing import Protocol

from server.privacy.pseudonyms import Deidentified, pseudonymize


class PrivacyPolicy(Protocol):
    """Decides what of the callers' texts the model sees."""

    @property
    def warning(self) -> str | None:
        """What whoever starts the service has to be told; None where identities are kept from the model."""
        ...

    async def start(self) -> None:
        """Get ready; raises PrivacyUnavailable where that cannot be."""
        ...

    async def deidentify(self, texts: Sequence[str]) -> Deidentified:
        """`texts` as the model sees them, with one vault over all of them; raises PrivacyUnavailable."""
        ...

    async def close(self) -> None:
        """Let go of what `start` took."""
        ...


class Disclosure:
    """Searches for nothing, replaces nothing, has no processes: the model sees the texts as they are."""

    warning = "de-identification is off: identities reach the model"

    async def start(self) -> None:
        """See PrivacyPolicy."""

    async def deidentify(self, texts: Sequence[str]) -> Deidentified:
        """`texts` unchanged, with an empty vault."""
        return pseudonymize(texts, [[] for _ in texts])

    async def close(self) -> None:
        """See PrivacyPolicy."""
