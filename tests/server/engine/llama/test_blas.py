"""The BLAS backend. Its loading cannot be undone, so what loads it runs in a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.engine.llama import blas
from server.engine.llama.loading import LoadError
from server.engine.protocol import Load, Policy
from server.inference.weights import weights_file

MODEL = 0
COMPARE = """
import sys
import numpy as np
from server.engine.backend import Batch
from server.engine.llama.backend import LlamaBackend
from server.engine.protocol import Load, Policy

def logits(blas):
    backend = LlamaBackend(Load(
        sys.argv[1], 1, 256, 2, 0, "layer", "auto", "f16", "streams", Policy(128), blas
    ))
    batch = Batch()
    batch.extend(0, 0, list(range(1000, 1100)), outputs=1)
    print(backend.device)
    return backend.decode(batch).copy()

plain, fast = logits("off"), logits("auto")
print(np.array_equal(plain, fast), np.corrcoef(plain[0], fast[0])[0, 1] > 0.999)
"""


def load(wanted: str, *, n_gpu_layers: int = 0) -> Load:
    return Load(
        "weights.gguf", 1, None, 1, n_gpu_layers, "none", "auto", "f16", "streams", Policy(64), wanted
    )


@pytest.fixture(autouse=True)
def gaining(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_gains", lambda model: True)


@pytest.fixture
def no_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    return blas.library_path()


@pytest.fixture
def no_backend(no_library: Path) -> Path:
    """A file where the backend should be that is none."""
    no_library.parent.mkdir(parents=True)
    no_library.write_bytes(b"no library")
    return no_library


@pytest.mark.parametrize("wanted", ["auto", "off"])
def test_without_the_library_prompts_go_the_plain_way(no_library: Path, wanted: str) -> None:
    assert not blas.use_blas(load(wanted), MODEL)


def test_asked_for_and_missing(no_library: Path) -> None:
    with pytest.raises(LoadError, match=r"engine.blas is on, but .*libggml-blas.* is missing") as refusal:
        blas.use_blas(load("on"), MODEL)
    assert str(no_library) in str(refusal.value)


def test_asked_for_and_unusable(no_backend: Path) -> None:
    with pytest.raises(LoadError, match=r"engine.blas is on, but .*failed to load"):
        blas.use_blas(load("on"), MODEL)


def test_unusable_is_not_fatal(no_backend: Path) -> None:
    assert not blas.use_blas(load("auto"), MODEL)


def test_auto_leaves_it_out_where_a_gpu_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas.llama, "llama_supports_gpu_offload", lambda: True)
    monkeypatch.setattr(blas, "_load", lambda path: pytest.fail("loaded"))
    assert not blas.use_blas(load("auto", n_gpu_layers=-1), MODEL)


def test_auto_leaves_it_out_where_weights_gain_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_gains", lambda model: False)
    monkeypatch.setattr(blas, "_load", lambda path: pytest.fail("loaded"))
    assert not blas.use_blas(load("auto"), MODEL)


def test_prompts_go_through_it() -> None:
    if not blas.library_path().is_file():
        reason = f"{blas.library_path()} is missing: deploy/build-blas.sh makes it"
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)
    command = [sys.executable, "-c", COMPARE, str(weights_file(None))]
    run = subprocess.run(command, check=True, capture_output=True, text=True)

    without, with_it, comparison = run.stdout.splitlines()
    assert "BLAS" not in without
    assert with_it.endswith(", BLAS for prompts")
    # Sums in another order: the same answer, in other last digits.
    assert comparison == "False True"
    assert run.stderr == ""
