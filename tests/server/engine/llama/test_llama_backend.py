"""The embedded weights, really loaded."""

import msgspec
import numpy as np
import pytest

from server.engine.backend import Batch
from server.engine.llama.backend import LlamaBackend
from server.engine.llama.loading import LoadError
from server.engine.protocol import Load, Policy
from server.inference.weights import weights_file

MIB = 1 << 20


@pytest.fixture
def load():
    return Load(str(weights_file(None)), 2, 256, 1, 0, "none", "auto", "f16", "streams", Policy(64))


def first_logits(load: Load) -> np.ndarray:
    backend = LlamaBackend(load)
    batch = Batch()
    batch.extend(0, 0, backend.vocabulary.tokenize("Pain is", control=False), outputs=1)
    return backend.decode(batch)[0].copy()


def test_a_quantized_cache_changes_little(load):
    plain, quantized = first_logits(load), first_logits(msgspec.structs.replace(load, kv_type="q8_0"))
    assert plain.argmax() == quantized.argmax()
    assert not np.array_equal(plain, quantized)
    assert np.corrcoef(plain, quantized)[0, 1] > 0.99


def test_it_says_what_it_takes(load):
    memory = LlamaBackend(load).memory
    assert memory.kv == 2 * 256 * 30 * 384 * 2
    assert memory.weights == 98_362_432
    assert memory.buffers < 10 * MIB


def test_llama_cpp_s_own_refusal_is_one_line(load):
    with pytest.raises(LoadError) as caught:
        LlamaBackend(msgspec.structs.replace(load, kv_type="q8_0", flash_attention="off"))
    assert str(caught.value) == (
        "no context of 512 tokens: llama_init_from_model: quantized V cache requires flash_attn to be enabled"
    )
