"""The GPUs that llama.cpp sees, and their memory as it reports it.

ggml's own C API (ggml-backend.h): llama_cpp has no bindings for it.
"""

import ctypes
import enum
from dataclasses import dataclass

import llama_cpp.llama_cpp as llama

# The file that libllama itself is linked to. The wheel has it under other names too: those would be copies,
# each with a list of devices of its own.
_LIBRARY = "libggml.so.0"


class Kind(enum.IntEnum):
    """`ggml_backend_dev_type`, as far as it concerns us."""

    CPU = 0
    GPU = 1
    INTEGRATED_GPU = 2


@dataclass(frozen=True)
class Device:
    """What computes; sizes in bytes, both 0 where its driver does not tell."""

    name: str
    description: str
    free: int
    total: int


def gpus() -> tuple[Device, ...]:
    """The GPUs that llama.cpp offloads to by itself: the integrated ones only where there are no others."""
    if not llama.llama_supports_gpu_offload():
        return ()
    return devices(Kind.GPU) or devices(Kind.INTEGRATED_GPU)


def devices(kind: Kind) -> tuple[Device, ...]:
    """The devices of one kind, in the order in which llama.cpp uses them."""
    ggml = _ggml()
    handles = [ggml.ggml_backend_dev_get(index) for index in range(ggml.ggml_backend_dev_count())]
    return tuple(_device(ggml, each) for each in handles if ggml.ggml_backend_dev_type(each) == kind)


def _ggml() -> ctypes.CDLL:
    ggml = ctypes.CDLL(_LIBRARY)
    ggml.ggml_backend_dev_count.restype = ctypes.c_size_t
    ggml.ggml_backend_dev_get.argtypes = [ctypes.c_size_t]
    ggml.ggml_backend_dev_get.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_type.argtypes = [ctypes.c_void_p]
    for text in (ggml.ggml_backend_dev_name, ggml.ggml_backend_dev_description):
        text.argtypes = [ctypes.c_void_p]
        text.restype = ctypes.c_char_p
    size = ctypes.POINTER(ctypes.c_size_t)
    ggml.ggml_backend_dev_memory.argtypes = [ctypes.c_void_p, size, size]
    ggml.ggml_backend_dev_memory.restype = None
    return ggml


def _device(ggml: ctypes.CDLL, handle: int) -> Device:
    free, total = ctypes.c_size_t(), ctypes.c_size_t()
    ggml.ggml_backend_dev_memory(handle, ctypes.byref(free), ctypes.byref(total))
    name, description = ggml.ggml_backend_dev_name(handle), ggml.ggml_backend_dev_description(handle)
    return Device(name.decode(), description.decode("utf-8", "replace"), free.value, total.value)
