"""A first look at a GGUF file, before llama.cpp is trusted with it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import struct
from pathlib import Path

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
_HEADER = struct.Struct("<4sIQQ")
_MAX_ENTRIES = 1_000_000


class NotGGUF(Exception):
    """The file is not a GGUF that can be loaded; the message names the file and the fault."""


def check_file(path: Path) -> None:
    """Check that `path` is a readable file with a plausible GGUF header; raises NotGGUF."""
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER.size)
    except OSError as error:
        raise NotGGUF(f"{path}: {error.strerror}") from error
    if len(header) < _HEADER.size:
        raise NotGGUF(f"{path}: too short for a GGUF file")
    magic, version, tensors, entries = _HEADER.unpack(header)
    if magic != MAGIC:
        raise NotGGUF(f"{path}: not a GGUF file")
    if version not in SUPPORTED_VERSIONS:
        raise NotGGUF(f"{path}: GGUF version {version} is not supported")
    if not 0 < tensors < _MAX_ENTRIES or not 0 < entries < _MAX_ENTRIES:
        raise NotGGUF(f"{path}: the GGUF header is damaged")
