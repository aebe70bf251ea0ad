"""A first look at a GGUF file, before llama.cpp is trusted with it.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

MAGIC = b"GGUF"
SUPPORTED_VERSIONS = (2, 3)
_HEADER = struct.Struct("<4sIQQ")
_LENGTH = struct.Struct("<Q")
_TYPE = struct.Struct("<I")
_MAX_ENTRIES = 1_000_000

# Far beyond any real file, so that a damaged one costs neither memory nor time.
_MAX_KEYS = 16_384
_MAX_KEY_BYTES = 65_535
_MAX_STRINGS = 1 << 22

# Longer values are skipped: they are vocabularies and templates, which llama.cpp reads for itself.
_KEPT_TEXT_BYTES = 256
_KEPT_NUMBERS = 1024

_TYPE_STRING = 8
_TYPE_ARRAY = 9
_NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}

Value = int | float | str | tuple[int | float, ...]


class NotGGUF(Exception):
    """The file is not a GGUF that can be loaded; the message names the file and the fault."""


class _Damaged(Exception):
    """What is wrong with the key-value section."""


@dataclass(frozen=True)
class Metadata:
    """The key-value section of a GGUF.

    `values` has the numbers, the short texts and the short arrays of numbers; `lengths` how many entries each
    array has.
    """

    path: Path
    values: Mapping[str, Value]
    lengths: Mapping[str, int]


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


def read_metadata(path: Path) -> Metadata:
    """The key-value section of a GGUF, in tenths of a second and without its weights; raises NotGGUF."""
    check_file(path)
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            values, lengths = _Reader(data).read()
    except _Damaged as damage:
        raise NotGGUF(f"{path}: the GGUF metadata is damaged: {damage}") from None
    except OSError as error:
        raise NotGGUF(f"{path}: {error.strerror}") from error
    return Metadata(path, values, lengths)


class _Reader:
    """One pass over a key-value section; every length is checked against the file before it is believed."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._size = len(data)
        self._offset = _HEADER.size
        self._strings_left = _MAX_STRINGS
        self._values: dict[str, Value] = {}
        self._lengths: dict[str, int] = {}

    def read(self) -> tuple[dict[str, Value], dict[str, int]]:
        """Values and array lengths by key; raises _Damaged."""
        _magic, _version, _tensors, entries = _HEADER.unpack_from(self._data)
        if entries > _MAX_KEYS:
            raise _Damaged(f"{entries} keys")
        for _ in range(entries):
            self._entry()
        return self._values, self._lengths

    def _entry(self) -> None:
        key = self._key()
        if key in self._values or key in self._lengths:
            raise _Damaged(f"{key} is there twice")
        kind = self._unpack(_TYPE)
        value = self._array(key) if kind == _TYPE_ARRAY else self._single(kind)
        if value is not None:
            self._values[key] = value

    def _key(self) -> str:
        length = self._unpack(_LENGTH)
        if not 0 < length <= _MAX_KEY_BYTES:
            raise _Damaged(f"a key of {length} bytes")
        try:
            return self._bytes(length).decode("utf-8")
        except UnicodeDecodeError:
            raise _Damaged("a key that is no text") from None

    def _single(self, kind: int) -> Value | None:
        if kind != _TYPE_STRING:
            return self._numbers(kind, 1)[0]
        length = self._unpack(_LENGTH)
        if length > _KEPT_TEXT_BYTES:
            self._skip(length)
            return None
        return self._bytes(length).decode("utf-8", "replace")

    def _array(self, key: str) -> Value | None:
        kind, length = self._unpack(_TYPE), self._unpack(_LENGTH)
        self._lengths[key] = length
        if kind == _TYPE_STRING:
            self._skip_strings(length)
            return None
        if length > _KEPT_NUMBERS:
            self._skip(length * self._width(kind))
            return None
        return self._numbers(kind, length)

    def _numbers(self, kind: int, count: int) -> tuple[int | float, ...]:
        size = count * self._width(kind)
        return struct.unpack(f"<{count}{_NUMBERS[kind]}", self._bytes(size))

    def _width(self, kind: int) -> int:
        if kind not in _NUMBERS:
            raise _Damaged(f"a value of type {kind}")
        return struct.calcsize(f"<{_NUMBERS[kind]}")

    def _skip_strings(self, count: int) -> None:
        self._strings_left -= count
        if self._strings_left < 0:
            raise _Damaged(f"an array of {count} texts")
        offset, data, unpack = self._offset, self._data, _LENGTH.unpack_from
        try:
            for _ in range(count):
                offset += _LENGTH.size + unpack(data, offset)[0]
        except (struct.error, OverflowError):
            raise _Damaged("it ends early") from None
        self._skip(offset - self._offset)

    def _unpack(self, number: struct.Struct) -> int:
        return int(number.unpack(self._bytes(number.size))[0])

    def _bytes(self, count: int) -> bytes:
        start = self._offset
        self._skip(count)
        return self._data[start : self._offset]

    def _skip(self, count: int) -> None:
        if count > self._size - self._offset:
            raise _Damaged("it ends early")
        self._offset += count
