from pathlib import Path

import pytest

from server.errors import StartupError, WeightsNotFound
from server.inference.weights import WeightsRouter, verified_digest, weights_file


def test_the_digest_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "some.gguf"
    path.write_bytes(b"abc")
    assert verified_digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_embedded_weights_that_were_changed_are_refused(tmp_path: Path) -> None:
    path = tmp_path / weights_file(None).name
    path.write_bytes(b"abc")
    with pytest.raises(StartupError, match="install it again"):
        verified_digest(path)


@pytest.mark.parametrize("path", ["missing.gguf", "."])
def test_weights_that_are_no_file_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(StartupError, match="there is no file"):
        weights_file(tmp_path / path)
    with pytest.raises(StartupError):
        verified_digest(tmp_path / path)


def test_weights_are_found_by_name_or_as_auto() -> None:
    class Loaded:
        version = "some"

    router = WeightsRouter(Loaded())  # type: ignore[arg-type]
    assert router.route("auto") is router.route("some") is router.list()[0]
    with pytest.raises(WeightsNotFound) as caught:
        router.route("other")
    assert caught.value.param == "model"
