import re
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.engine.gguf import read_metadata
from server.engine.memory import NotEnoughMemory, Place, choose_context, describe, estimate
from server.engine.protocol import Load, Memory, Policy
from server.engine.shape import Shape, read_shape
from server.engine.speculation import most_outputs
from server.inference.weights import weights_file

MIB = 1 << 20
GIB = 1 << 30

LOAD = Load("x.gguf", 8, None, 2, 0, "layer", "auto", "f16", "streams", Policy(512))

# The published shape of Phi-3.5-mini; its file as large as 3.8 billion weights of five bits each.
PHI = Shape(
    name="MediPhi.Q4_K_M.gguf",
    weights_bytes=2_390_000_000,
    trained_tokens=131_072,
    layers=32,
    embedding=3072,
    feed_forward=8192,
    heads=32,
    head_sizes=(96, 96),
    vocabulary=32_064,
    kv_numbers=32 * 32 * (96 + 96),
)


def load(**changes) -> Load:
    return msgspec.structs.replace(LOAD, **changes)


def host(free: float) -> list[Place]:
    return [Place("in memory", int(free))]


def drafts(asked: Load) -> float:
    """MiB of the rows of logits that drafts may need: llama.cpp makes room for them when they come."""
    return (most_outputs(asked.sequences) - asked.sequences) * 49_152 * 4 / MIB


# What llama.cpp reports for the embedded weights: KV buffer, and compute and output buffers together, in MiB.
@pytest.mark.parametrize(
    "context, changes, kv, buffers",
    [
        (8192, {}, 1440.0, 23.01),
        (2048, {}, 360.0, 17.01),
        (64, {}, 45.0, 15.26),
        (8192, {"sequences": 2}, 360.0, 21.89),
        (2048, {"policy": Policy(2048)}, 360.0, 63.55),
        (2048, {"policy": Policy(64)}, 360.0, 3.44),
        (2048, {"kv_type": "q8_0"}, 191.25, 15.92),
        (2048, {"flash_attention": "off"}, 360.0, 47.88),
        (8192, {"flash_attention": "off"}, 1440.0, 167.88),
    ],
)
def test_the_embedded_weights_as_llama_cpp_counts_them(context, changes, kv, buffers):
    shape = read_shape(read_metadata(weights_file(None)))
    memory = estimate(shape, load(**changes), context)
    assert memory.weights == 98_362_432
    assert memory.kv == kv * MIB
    counted = memory.buffers / MIB - drafts(load(**changes))
    assert buffers <= counted <= max(1.2 * buffers, buffers + 2)


# The same of a file with the shape of Phi-3.5-mini, but 49152 words.
@pytest.mark.parametrize(
    "context, changes, kv, buffers",
    [
        (8192, {}, 24_576.0, 75.51),
        (2048, {"kv_type": "q8_0"}, 3264.0, 69.51),
        (2048, {"policy": Policy(2048)}, 6144.0, 273.55),
        (8192, {"flash_attention": "off"}, 24_576.0, 559.51),
    ],
)
def test_clinical_weights_as_llama_cpp_counts_them(context, changes, kv, buffers):
    memory = estimate(replace(PHI, vocabulary=49_152), load(**changes), context)
    assert memory.kv == kv * MIB
    assert buffers <= memory.buffers / MIB - drafts(load(**changes)) <= 1.2 * buffers


def test_what_is_asked_for_is_had_where_it_just_fits():
    asked = load(context_tokens=3000)
    memory = estimate(PHI, asked, 3000)
    need = memory.weights + memory.kv + memory.buffers
    assert choose_context(PHI, asked, host(need)) == 3000
    with pytest.raises(NotEnoughMemory):
        choose_context(PHI, asked, host(need - 1))


@pytest.mark.parametrize(
    "free_gib, tokens",
    [(1000, 8192), (33, 8192), (32.5, 7936), (20, 4608), (12, 2304), (10, 2048), (8.5, 2048)],
)
def test_the_default_context_shrinks_to_what_fits(free_gib, tokens):
    assert choose_context(PHI, LOAD, host(free_gib * GIB)) == tokens


@pytest.mark.parametrize("trained, tokens", [(1000, 1000), (2048, 2048), (2100, 2100), (4096, 4096)])
def test_the_default_context_is_no_longer_than_trained(trained, tokens):
    assert choose_context(replace(PHI, trained_tokens=trained), LOAD, host(99 * GIB)) == tokens


@given(
    st.integers(0, 64 * GIB), st.integers(64, 20_000), st.integers(1, 64), st.sampled_from(["f16", "q8_0"])
)
def test_the_default_leaves_a_fifth_free_where_it_can(free, trained, sequences, kv_type):
    shape = replace(PHI, trained_tokens=trained)
    asked = load(sequences=sequences, kv_type=kv_type)

    def need(tokens: int) -> int:
        memory = estimate(shape, asked, tokens)
        return memory.weights + memory.kv + memory.buffers

    longest, shortest = min(trained, 8192), min(trained, 2048)
    try:
        tokens = choose_context(shape, asked, host(free))
    except NotEnoughMemory:
        assert need(shortest) > free
        return
    assert need(tokens) <= free
    assert shortest <= tokens <= longest
    assert tokens == longest or tokens % 256 == 0
    assert tokens == shortest or need(tokens) <= 0.8 * free
    assert tokens == longest or need(min(tokens + 256, longest)) > 0.8 * free


def refusal(places: list[Place], **changes) -> str:
    with pytest.raises(NotEnoughMemory) as caught:
        choose_context(PHI, load(**changes), places)
    return str(caught.value)


def test_a_refusal_names_the_numbers_and_the_settings():
    assert refusal(host(11.4 * GIB), context_tokens=8192) == (
        "MediPhi.Q4_K_M.gguf needs about 26.3 GiB (weights 2.2, KV cache 24.0 for 8 sequences of 8192 "
        "tokens, buffers 0.1), but 11.4 GiB are free in memory: lower engine.sequences or "
        'engine.context_tokens, or set engine.kv_type = "q8_0"'
    )


def test_a_refusal_of_the_default_names_the_shortest_context():
    assert "KV cache 6.0 for 8 sequences of 2048 tokens" in refusal(host(5 * GIB))
    assert "1 sequence of 2048 tokens" in refusal(host(2.5 * GIB), sequences=1)


@pytest.mark.parametrize("changes", [{"kv_type": "q8_0"}, {"flash_attention": "off"}])
def test_a_refusal_names_no_setting_that_would_not_help(changes):
    assert refusal(host(3 * GIB), **changes).endswith(": lower engine.sequences or engine.context_tokens")


def test_weights_that_are_too_large_by_themselves():
    assert refusal(host(2 * GIB)).endswith("but 2.0 GiB are free in memory: choose smaller weights")


def test_each_place_must_hold_its_share():
    fits = Place("on CUDA0", 20 * GIB, 0.75), Place("in memory", 8 * GIB, 0.25)
    assert choose_context(PHI, load(context_tokens=8192), fits) == 8192
    line = refusal([Place("on CUDA0", 19 * GIB, 0.75), fits[1]], context_tokens=8192)
    assert re.search(r"needs about 26\.3 GiB \(.*\), 19\.\d GiB of it on CUDA0, but 19\.0 GiB are free", line)
    assert "5.0 GiB are free in memory" in refusal(
        [fits[0], Place("in memory", 5 * GIB, 0.25)], context_tokens=8192
    )


def test_an_unknown_memory_is_not_refused():
    shape = replace(PHI, kv_numbers=None)
    assert estimate(shape, LOAD, 2048).kv is None
    assert choose_context(shape, LOAD, host(1)) == 8192
    assert choose_context(shape, load(context_tokens=300), host(1)) == 300


def test_a_place_needs_its_share_and_all_buffers():
    assert Place("", 0, 0.5).needs(Memory(10, 20, 3)) == 18
    assert Place("", 0).needs(Memory(10, None, 3)) == 13
    assert Place("", 0, 0.5, 2).needs(Memory(10, 20, 3)) == 21


def test_an_unknown_cache_is_called_so():
    text = describe(Memory(2 * GIB, None, GIB), 1, 256)
    assert text == "3.0 GiB (weights 2.0, KV cache unknown for 1 sequence of 256 tokens, buffers 1.0)"
