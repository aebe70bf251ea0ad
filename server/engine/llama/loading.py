"""A GGUF into memory, with llama.cpp's own last word where that fails."""

import ctypes
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama

from server.engine.gguf import check_file

_ERROR_LEVEL = 4


class LoadError(Exception):
    """The GGUF cannot be loaded; the message is llama.cpp's own last word on it."""


@llama.llama_log_callback  # type: ignore[untyped-decorator]  # made by ctypes
def _discard(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """llama.cpp writes to stderr unless told otherwise; our logs are allow-listed."""


class ErrorLog:
    """Keeps what llama.cpp logs as errors while it loads."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._callback = llama.llama_log_callback(self._keep)

    def __enter__(self) -> "ErrorLog":
        llama.llama_log_set(self._callback, None)
        return self

    def __exit__(self, *_: object) -> None:
        llama.llama_log_set(_discard, None)

    def _keep(self, level: int, text: bytes, _data: Any) -> None:
        if level == _ERROR_LEVEL and text.strip():
            self.lines.append(text.decode("utf-8", "replace").strip())

    def reason(self) -> str:
        """The first error, which names the cause; later ones are its consequences."""
        return self.lines[0] if self.lines else "llama.cpp gave no reason"


def load_model(path: Path, params: llama.llama_model_params) -> int:
    """Handle of the loaded model; raises NotGGUF, LoadError."""
    check_file(path)
    with ErrorLog() as errors:
        model = llama.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise LoadError(f"{path.name}: {errors.reason()}")
    return int(model)
