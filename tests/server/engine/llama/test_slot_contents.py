"""The embedded weights' KV cache: what moves between slots moves whole, and passes are as foretold."""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

import llama_cpp.llama_cpp as llama
import numpy as np
import pytest

from server.engine.backend import Batch, Logits
from server.engine.llama.backend import LlamaBackend
from server.engine.protocol import Load, Policy
from server.inference.weights import weights_file

HELD = 100
NODE_OF_EVERY_PASS = b"l_out-0"


@pytest.fixture(scope="module", params=["streams", "unified"])
def backend(request) -> LlamaBackend:
    return make_backend(request.param)


@pytest.fixture
def tokens(backend) -> Iterator[list[int]]:
    """They lie in slot 0; every slot is empty afterwards."""
    found = Random(3).sample(range(1000, 20_000), HELD + 20)
    decode(backend, 0, 0, found[:HELD])
    yield found
    for slot in range(backend.sequences):
        backend.clear(slot)


def make_backend(layout: str) -> LlamaBackend:
    path = str(weights_file(None))
    return LlamaBackend(Load(path, 4, 256, 2, 0, "none", "auto", "f16", layout, Policy(128)))


def decode(backend: LlamaBackend, slot: int, start: int, tokens: list[int]) -> Logits:
    batch = Batch()
    batch.extend(slot, start, tokens, outputs=1)
    return backend.decode(batch)[-1].copy()


def next_logits(backend: LlamaBackend, slot: int, tokens: list[int], held: int) -> list[Logits]:
    """After each of the next three tokens, which are forgotten again."""
    logits = [decode(backend, slot, at, tokens[at : at + 1]) for at in range(held, held + 3)]
    backend.trim(slot, held)
    return logits


def test_what_a_slot_holds(backend, tokens):
    assert [backend.held(slot) for slot in range(4)] == [HELD, 0, 0, 0]
    backend.trim(0, 70)
    assert backend.held(0) == 70
    backend.clear(0)
    assert backend.held(0) == 0


@pytest.mark.parametrize("target", [1, 3])
@pytest.mark.parametrize("length", [HELD, 64, 1])
def test_a_copy_goes_on_alike(backend, tokens, target, length):
    backend.copy(0, target, length)
    assert (backend.held(0), backend.held(target)) == (HELD, length)
    copied = next_logits(backend, target, tokens, length)
    backend.trim(0, length)
    assert np.array_equal(copied, next_logits(backend, 0, tokens, length))


def test_a_copy_outlives_its_source(backend, tokens):
    expected = next_logits(backend, 0, tokens, HELD)
    backend.copy(0, 2, HELD)
    backend.clear(0)
    decode(backend, 0, 0, tokens[::-1][:50])
    assert np.array_equal(next_logits(backend, 2, tokens, HELD), expected)


@pytest.mark.parametrize("target", [0, 3])
def test_what_was_saved_goes_on_alike(backend, tokens, target):
    expected = next_logits(backend, 0, tokens, HELD)
    state = backend.save(0)
    backend.clear(0)
    backend.load(target, state)
    assert backend.held(target) == HELD
    assert np.array_equal(next_logits(backend, target, tokens, HELD), expected)


def test_trimming_leaves_no_trace(backend, tokens):
    expected = next_logits(backend, 0, tokens, HELD)
    decode(backend, 0, HELD, tokens[::-1][:20])
    backend.trim(0, HELD)
    assert np.array_equal(next_logits(backend, 0, tokens, HELD), expected)


@pytest.fixture(scope="module")
def watched() -> Iterator[tuple[LlamaBackend, list[bytes]]]:
    """A backend of four streams, and the names of the graph nodes that it has computed."""
    seen: list[bytes] = []
    with watching(seen):
        yield make_backend("streams"), seen


@contextmanager
def watching(seen: list[bytes]) -> Iterator[None]:
    """Contexts that are made meanwhile tell which nodes they compute."""
    name_of = ctypes.CDLL("libggml-base.so.0").ggml_get_name
    name_of.restype, name_of.argtypes = ctypes.c_char_p, [ctypes.c_void_p]

    def look(tensor: int, asks: bool, _data: object) -> bool:
        if asks:
            seen.append(name_of(tensor))
        return False

    callback = llama.ggml_backend_sched_eval_callback(look)
    make = llama.llama_init_from_model

    def making(model: object, params: llama.llama_context_params) -> object:
        params.cb_eval = callback
        return make(model, params)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llama, "llama_init_from_model", making)
        yield


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([(0, 1)], [1]),
        ([(0, 1), (1, 1), (2, 1)], [3]),
        ([(1, 2), (2, 2)], [4]),
        ([(0, 1), (2, 1)], [1, 1]),
        ([(0, 3), (1, 1)], [2, 2]),
        ([(0, 1), (1, 2), (3, 2)], [2, 1, 2]),
        ([(0, 2), (1, 1), (2, 2)], [3, 1, 1]),
    ],
)
def test_passes_are_as_foretold(watched, rows, expected):
    backend, seen = watched
    batch = Batch()
    for slot, count in rows:
        batch.extend(slot, 0, list(range(5, 5 + count)), outputs=1)
    seen.clear()
    backend.decode(batch)
    for slot, _ in rows:
        backend.clear(slot)
    assert backend.passes(rows) == expected
    assert seen.count(NODE_OF_EVERY_PASS) == len(expected)
