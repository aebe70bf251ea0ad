import pytest

from server.engine.gguf import NotGGUF, read_metadata
from server.engine.shape import read_shape
from server.inference.weights import weights_file


@pytest.fixture
def shape_of(write_gguf, llama_keys):
    """The shape of the usual weights with other keys; None removes one."""

    def read(**changes):
        changed = llama_keys | {f"llama.{key.replace('__', '.')}": value for key, value in changes.items()}
        return read_shape(read_metadata(write_gguf({k: v for k, v in changed.items() if v is not None})))

    return read


def test_the_embedded_weights():
    shape = read_shape(read_metadata(weights_file(None)))
    assert (shape.layers, shape.heads, shape.head_sizes) == (30, 9, (64, 64))
    assert (shape.embedding, shape.feed_forward, shape.vocabulary) == (576, 1536, 49_152)
    assert (shape.trained_tokens, shape.weights_bytes) == (8192, 98_362_432)
    assert shape.kv_numbers == 30 * 3 * (64 + 64)


def test_a_head_size_that_is_not_given_follows_from_the_embedding(shape_of):
    assert shape_of().head_sizes == (128, 128)
    assert shape_of().kv_numbers == 32 * 8 * 256


def test_a_head_size_that_is_given(shape_of):
    shape = shape_of(attention__key_length=192, attention__value_length=64)
    assert shape.kv_numbers == 32 * 8 * 256


def test_without_grouped_heads_every_head_has_keys_and_values(shape_of):
    assert shape_of(attention__head_count_kv=None).kv_numbers == 32 * 32 * 256


def test_heads_may_differ_by_layer(shape_of):
    assert shape_of(attention__head_count_kv=[8] * 16 + [0] * 8 + [4] * 8).kv_numbers == (128 + 32) * 256


def test_layers_that_share_a_cache_have_none(shape_of):
    assert shape_of(attention__shared_kv_layers=12).kv_numbers == 20 * 8 * 256


def test_latent_attention_caches_no_values(shape_of):
    shape = shape_of(attention__head_count_kv=1, attention__key_length=576, attention__key_length_mla=192)
    assert shape.kv_numbers == 32 * 576


@pytest.mark.parametrize(
    "key, value",
    [
        ("ssm__state_size", 16),
        ("wkv__head_size", 64),
        ("shortconv__l_cache", 3),
        ("attention__indexer__head_count", 4),
        ("attention__key_length_swa", 64),
        ("attention__recurrent_layers", [True, False]),
        ("attention__head_count", 0),
        ("attention__head_count_kv", [8, 8]),
        ("attention__shared_kv_layers", 32),
        ("block_count", 2**31),
    ],
)
def test_what_cannot_be_told_is_unknown(shape_of, key, value):
    assert shape_of(**{"attention__head_count_kv": None, key: value}).kv_numbers is None


def test_sliding_windows_and_their_frequencies_change_nothing(shape_of):
    assert shape_of(attention__sliding_window=512, rope__freq_base_swa=10_000.0).kv_numbers == 32 * 8 * 256


@pytest.mark.parametrize(
    "experts, width",
    [
        ({"expert_used_count": 2}, 28_672),
        ({"expert_used_count": 8, "expert_feed_forward_length": 2048}, 16_384),
        ({"expert_used_count": 8, "expert_feed_forward_length": 768}, 14_336),
    ],
)
def test_a_token_goes_through_several_experts(shape_of, experts, width):
    assert shape_of(**experts).feed_forward == width


@pytest.mark.parametrize("key", ["block_count", "context_length", "embedding_length"])
@pytest.mark.parametrize("value", [None, 0, -1, "many", []])
def test_a_key_that_all_weights_have_is_missed_by_its_name(shape_of, key, value):
    with pytest.raises(NotGGUF, match=rf"weights\.gguf: the GGUF metadata lacks llama\.{key}"):
        shape_of(**{key: value})


def test_parts_are_counted_together(write_gguf, llama_keys):
    names = [f"big[1]-0000{number}-of-00003.gguf" for number in (1, 2, 3)]
    paths = [write_gguf(llama_keys, name) for name in [*names, "big[1]-00001-of-00002.gguf"]]
    assert read_shape(read_metadata(paths[0])).weights_bytes == 3 * paths[0].stat().st_size
