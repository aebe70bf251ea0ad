"""OpenBLAS for the prompts: a backend of ggml that is loaded at run time (docs/decisions/0007)."""

import ctypes
import sys
from pathlib import Path

import llama_cpp
import llama_cpp.llama_cpp as llama

from server.engine.llama.loading import ErrorLog, LoadError
from server.engine.protocol import Load

# Weights whose prompts BLAS was measured to speed up. It slows F16 and, by the processor, Q8_0 and Q4_0.
_GAINING_FILE_TYPES = {b"3"}  # LLAMA_FTYPE_MOSTLY_Q4_1


def library_path() -> Path:
    """Where deploy/build-blas.sh puts the backend for this version of llama.cpp."""
    return Path(sys.prefix) / "lib" / "infirmary" / f"libggml-blas-{llama_cpp.__version__}.so"


def offloads(load: Load) -> bool:
    """Whether layers go to a GPU."""
    return load.n_gpu_layers != 0 and bool(llama.llama_supports_gpu_offload())


def use_blas(load: Load, model: int) -> bool:
    """Load the backend where `load.blas` wants it; contexts made afterwards use it. Tells whether they do.

    Raises LoadError when it is asked for and missing or unusable; "auto" goes without it, and also where the
    model would not gain by it.
    """
    if load.blas == "off" or (load.blas == "auto" and (offloads(load) or not _gains(model))):
        return False
    problem = _load(library_path())
    if problem and load.blas == "on":
        raise LoadError(f"engine.blas is on, but {problem}")
    return problem is None


def _gains(model: int) -> bool:
    value = ctypes.create_string_buffer(16)
    llama.llama_model_meta_val_str(model, b"general.file_type", value, len(value))
    return value.value in _GAINING_FILE_TYPES


def _load(library: Path) -> str | None:
    """What is wrong with the library; None when ggml has taken it."""
    if not library.is_file():
        return f"{library} is missing: deploy/build-blas.sh makes it"
    with ErrorLog() as errors:
        taken = _ggml().ggml_backend_load(bytes(library))
    return None if taken else errors.reason()


def _ggml() -> ctypes.CDLL:
    # By its soname, which glibc resolves to the instance that libllama has loaded. The wheel holds copies of
    # the file under other names: loaded from one of those it would be a second ggml that no context asks.
    ggml = ctypes.CDLL("libggml.so.0")
    ggml.ggml_backend_load.restype = ctypes.c_void_p
    ggml.ggml_backend_load.argtypes = [ctypes.c_char_p]
    return ggml
