import struct

import pytest

from server.engine.gguf import NotGGUF, check_file
from server.inference.weights import weights_file


def header(magic: bytes = b"GGUF", version: int = 3, tensors: int = 10, entries: int = 10) -> bytes:
    return struct.pack("<4sIQQ", magic, version, tensors, entries)


@pytest.mark.parametrize("version", [2, 3])
def test_a_plausible_header_passes(tmp_path, version):
    path = tmp_path / "weights.gguf"
    path.write_bytes(header(version=version) + b"more")
    check_file(path)


def test_the_embedded_weights_pass():
    check_file(weights_file(None))


@pytest.mark.parametrize(
    "content, reason",
    [
        (b"", "too short"),
        (b"GGUF", "too short"),
        (header()[:-1], "too short"),
        (header(magic=b"GGML"), "not a GGUF file"),
        (header(magic=b"PK\3\4"), "not a GGUF file"),
        (header(version=1), "version 1 is not supported"),
        (header(version=3 << 24), "is not supported"),
        (header(tensors=0), "damaged"),
        (header(tensors=2**63), "damaged"),
        (header(entries=0), "damaged"),
        (header(entries=2**64 - 1), "damaged"),
    ],
)
def test_anything_else_is_refused_with_its_name_and_fault(tmp_path, content, reason):
    path = tmp_path / "weights.gguf"
    path.write_bytes(content)
    with pytest.raises(NotGGUF, match=reason) as caught:
        check_file(path)
    assert str(caught.value).startswith(str(path))


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(NotGGUF, match="Is a directory"):
        check_file(tmp_path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(NotGGUF, match="No such file"):
        check_file(tmp_path / "missing.gguf")


def test_an_unreadable_file_is_refused(tmp_path, monkeypatch):
    def denied(*_args, **_kwargs):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(type(tmp_path), "open", denied)  # root may read everything
    with pytest.raises(NotGGUF, match="Permission denied"):
        check_file(tmp_path / "weights.gguf")
