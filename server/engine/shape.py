"""What a GGUF's metadata says of the sizes of its weights.

Keys: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md and `LLM_KV_NAMES` in llama.cpp's
llama-arch.cpp; their defaults: `load_hparams` in its llama-model.cpp.
"""

import re
from dataclasses import dataclass
from glob import escape
from pathlib import Path

from server.engine.gguf import Metadata, NotGGUF

_MAX_LAYERS = 1024

# Keys of layers that remember by other means than keys and values of each token, or of some tokens only.
_OTHER_MEMORY = re.compile(
    r"\.(ssm|wkv|kda|shortconv|full_attention_interval)\b"
    r"|\.attention\.(indexer\b|compress_ratios$|recurrent_layers$|\w+_swa$)"
)
_PART = re.compile(r"(.+)-\d{5}-of-(\d{5})\.gguf")


@dataclass(frozen=True)
class Shape:
    """Sizes that memory depends on. Lengths are counts of numbers, not bytes, unless their name says so.

    `feed_forward` is that of all experts that a token goes through. `kv_numbers` is what the KV cache keeps
    of one token over all layers; None where the architecture remembers by other means (recurrent and hybrid
    ones), so that it cannot be told from these keys.
    """

    name: str
    weights_bytes: int
    trained_tokens: int
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    head_sizes: tuple[int, int]
    vocabulary: int
    kv_numbers: int | None


def read_shape(metadata: Metadata) -> Shape:
    """The sizes of one set of weights; raises NotGGUF where a key is missing that all architectures have."""
    keys = _Keys(metadata)
    heads = keys.first("attention.head_count")
    head_size = keys.required("embedding_length") // heads if heads else 0
    sizes = (
        keys.first("attention.key_length", head_size),
        keys.first("attention.value_length", head_size),
    )
    return Shape(
        name=metadata.path.name,
        weights_bytes=_weights_bytes(metadata.path),
        trained_tokens=keys.required("context_length"),
        layers=keys.required("block_count"),
        embedding=keys.required("embedding_length"),
        feed_forward=_feed_forward(keys),
        heads=heads,
        head_sizes=sizes,
        vocabulary=metadata.lengths.get("tokenizer.ggml.tokens", 0),
        kv_numbers=_kv_numbers(keys, sizes),
    )


class _Keys:
    """The keys of one architecture; each may hold one number, or one for each layer."""

    def __init__(self, metadata: Metadata) -> None:
        self._metadata = metadata
        self._prefix = f"{metadata.values.get('general.architecture', '')}."
        self.remembers_otherwise = any(
            _OTHER_MEMORY.search(key) for key in (*metadata.values, *metadata.lengths)
        )

    def has(self, name: str) -> bool:
        return self._prefix + name in self._metadata.values

    def all(self, name: str) -> tuple[int, ...]:
        """The counts under a key: none where it is missing, one, or one a layer."""
        value = self._metadata.values.get(self._prefix + name, ())
        numbers = value if isinstance(value, tuple) else (value,)
        return tuple(number for number in numbers if isinstance(number, int) and number >= 0)

    def first(self, name: str, default: int = 0) -> int:
        return next(iter(self.all(name)), default)

    def largest(self, name: str) -> int:
        return max(self.all(name), default=0)

    def required(self, name: str) -> int:
        found = self.first(name)
        if not found:
            raise NotGGUF(f"{self._metadata.path}: the GGUF metadata lacks {self._prefix}{name}")
        return found


def _feed_forward(keys: _Keys) -> int:
    dense = keys.largest("feed_forward_length")
    experts = keys.largest("expert_used_count") * keys.first("expert_feed_forward_length", dense)
    return max(dense, experts)


def _kv_numbers(keys: _Keys, head_sizes: tuple[int, int]) -> int | None:
    layers = keys.required("block_count") - keys.first("attention.shared_kv_layers")
    heads = keys.all("attention.head_count_kv") or keys.all("attention.head_count")
    if len(heads) == 1:
        heads *= min(layers, _MAX_LAYERS)
    if keys.remembers_otherwise or not 0 < layers <= len(heads):
        return None
    key, value = head_sizes
    if keys.has("attention.key_length_mla"):
        value = 0  # multi-head latent attention caches keys alone
    return sum(heads[:layers]) * (key + value) or None


def _weights_bytes(path: Path) -> int:
    """The size of the file, or of all parts where it is the first of several."""
    part = _PART.fullmatch(path.name)
    if part is None:
        return path.stat().st_size
    number = "[0-9]" * 5
    parts = path.parent.glob(f"{escape(part[1])}-{number}-of-{part[2]}.gguf")
    return sum(each.stat().st_size for each in parts)
