import struct

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from server.engine.gguf import NotGGUF, check_file, read_metadata
from server.engine.shape import read_shape
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


def entry(key: bytes, kind: int, data: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + data


def array(kind: int, length: int, data: bytes = b"") -> bytes:
    return struct.pack("<IQ", kind, length) + data


def test_values_of_every_kind_are_read(write_gguf):
    entries = {"a": 1, "b": -2, "c": 0.5, "d": True, "e": "text", "f": [3, 4], "g": ["x", "yz"], "h": []}
    metadata = read_metadata(write_gguf(entries))
    assert metadata.values == {"a": 1, "b": -2, "c": 0.5, "d": True, "e": "text", "f": (3, 4), "h": ()}
    assert metadata.lengths == {"f": 2, "g": 2, "h": 0}


def test_long_values_are_skipped_and_what_follows_is_read(write_gguf):
    entries = {"long text": "x" * 10_000, "many": list(range(5000)), "texts": ["ab"] * 5000, "last": 7}
    metadata = read_metadata(write_gguf(entries))
    assert metadata.values == {"last": 7}
    assert metadata.lengths == {"many": 5000, "texts": 5000}


def test_the_keys_of_the_embedded_weights():
    metadata = read_metadata(weights_file(None))
    assert metadata.values["general.architecture"] == "llama"
    assert metadata.values["llama.block_count"] == 30
    assert metadata.lengths["tokenizer.ggml.tokens"] == 49_152


@pytest.mark.parametrize(
    "section, entries, reason",
    [
        (b"", 1, "ends early"),
        (b"", 16_385, "16385 keys"),
        (entry(b"", 4, bytes(4)), 1, "a key of 0 bytes"),
        (struct.pack("<Q", 2**63), 1, "a key of"),
        (entry(b"\xff", 4, bytes(4)), 1, "no text"),
        (entry(b"a", 4, bytes(4)) * 2, 2, "a is there twice"),
        (entry(b"a", 9, array(4, 0)) * 2, 2, "a is there twice"),
        (entry(b"a", 13, bytes(8)), 1, "type 13"),
        (entry(b"a", 10, bytes(7)), 1, "ends early"),
        (entry(b"a", 8, struct.pack("<Q", 2**64 - 1)), 1, "ends early"),
        (entry(b"a", 9, array(9, 1, array(4, 0))), 1, "type 9"),
        (entry(b"a", 9, array(4, 2**64 - 1)), 1, "ends early"),
        (entry(b"a", 9, array(8, 2**64 - 1)), 1, "an array of"),
        (entry(b"a", 9, array(8, 2, struct.pack("<Q", 2**64 - 1))), 1, "ends early"),
        (entry(b"a", 9, array(8, 2**22, bytes(80))), 1, "ends early"),
        (entry(b"a", 9, array(8, 1, struct.pack("<Q", 1))), 1, "ends early"),
    ],
)
def test_a_damaged_section_is_refused(tmp_path, section, entries, reason):
    path = tmp_path / "weights.gguf"
    path.write_bytes(header(entries=entries) + section)
    with pytest.raises(NotGGUF, match=f"weights.gguf: the GGUF metadata is damaged: .*{reason}"):
        read_metadata(path)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    return tmp_path_factory.mktemp("damaged") / "weights.gguf"


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bytes_are_read_or_refused_and_nothing_else(scratch, write_gguf, llama_keys, data):
    content = bytearray(write_gguf(llama_keys).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + data.draw(st.integers(0, 8))] = data.draw(st.binary(max_size=9))
        content = content or bytearray(1)
    scratch.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        read_shape(read_metadata(scratch))
    except NotGGUF as refusal:
        assert str(refusal).startswith(str(scratch))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 20))
def test_any_bytes_are_read_or_refused_and_nothing_else(scratch, section, entries):
    scratch.write_bytes(header(entries=entries) + section)
    try:
        read_shape(read_metadata(scratch))
    except NotGGUF as refusal:
        assert str(refusal).startswith(str(scratch))
