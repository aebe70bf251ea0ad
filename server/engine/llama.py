"""llama.cpp through its low-level bindings: the vocabulary, and the weights as a `Backend`.

The only module of the server that imports llama_cpp.
"""

import ctypes
import functools
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np
from llguidance import LLTokenizer
from llguidance.llamacpp import lltokenizer_from_vocab

from server.engine.backend import BackendFault, Batch, Logits
from server.engine.gguf import check_file
from server.engine.protocol import Load

MAX_DEFAULT_CONTEXT = 8192
_PIECE_BYTES = 512
_ERROR_LEVEL = 4

_SPLIT_MODES = {
    "none": llama.LLAMA_SPLIT_MODE_NONE,
    "layer": llama.LLAMA_SPLIT_MODE_LAYER,
    "row": llama.LLAMA_SPLIT_MODE_ROW,
}
_FLASH_ATTENTION = {
    "auto": llama.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}


class LoadError(Exception):
    """The GGUF cannot be loaded; the message is llama.cpp's own last word on it."""


@llama.llama_log_callback  # type: ignore[untyped-decorator]  # made by ctypes
def _discard(_level: int, _text: bytes, _data: ctypes.c_void_p) -> None:
    """llama.cpp writes to stderr unless told otherwise; our logs are allow-listed."""


class _ErrorLog:
    """Keeps what llama.cpp logs as errors while it loads."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._callback = llama.llama_log_callback(self._keep)

    def __enter__(self) -> "_ErrorLog":
        llama.llama_log_set(self._callback, None)
        return self

    def __exit__(self, *_: object) -> None:
        llama.llama_log_set(_discard, None)

    def _keep(self, level: int, text: bytes, _data: Any) -> None:
        if level == _ERROR_LEVEL and text.strip():
            self.lines.append(text.decode("utf-8", "replace").strip())

    def reason(self) -> str:
        return self.lines[0] if self.lines else "llama.cpp gave no reason"


def _load_model(path: Path, params: llama.llama_model_params) -> int:
    check_file(path)
    with _ErrorLog() as errors:
        model = llama.llama_model_load_from_file(bytes(path), params)
    if not model:
        raise LoadError(f"{path.name}: {errors.reason()}")
    return int(model)


class Vocabulary:
    """Text to token ids and back, as the GGUF itself defines it. Loads no weights."""

    def __init__(self, model: int) -> None:
        self._model = model
        self._vocab = llama.llama_model_get_vocab(model)
        self.size = int(llama.llama_vocab_n_tokens(self._vocab))
        self.trained_context_tokens = int(llama.llama_model_n_ctx_train(model))
        self.end_of_generation = frozenset(
            token for token in range(self.size) if llama.llama_vocab_is_eog(self._vocab, token)
        )
        self._piece_buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        self.piece = functools.lru_cache(maxsize=None)(self._piece)

    @classmethod
    def load(cls, path: Path) -> "Vocabulary":
        """Read the vocabulary of a GGUF that an engine process has loaded without coming to harm."""
        llama.llama_backend_init()
        params = llama.llama_model_default_params()
        params.vocab_only = True
        return cls(_load_model(path, params))

    @functools.cached_property
    def control_texts(self) -> tuple[str, ...]:
        """Texts that the tokenizer turns into control tokens, longest first."""
        texts = {
            self.piece(token, special=True).decode("utf-8", "replace")
            for token in range(self.size)
            if llama.llama_vocab_is_control(self._vocab, token)
        }
        return tuple(sorted(texts - {""}, key=len, reverse=True))

    @property
    def chat_template(self) -> str | None:
        """The GGUF's own Jinja chat template."""
        return self.metadata("tokenizer.chat_template")

    @property
    def begin_text(self) -> str:
        """Text of the begin-of-sequence token, as chat templates know it."""
        return self._token_text(llama.llama_vocab_bos(self._vocab))

    @property
    def end_text(self) -> str:
        """Text of the end-of-sequence token, as chat templates know it."""
        return self._token_text(llama.llama_vocab_eos(self._vocab))

    @property
    def adds_begin(self) -> bool:
        """Whether the tokenizer itself puts the begin-of-sequence token first."""
        return bool(llama.llama_vocab_get_add_bos(self._vocab))

    def metadata(self, key: str) -> str | None:
        """One GGUF metadata value as text, or None."""
        name = key.encode()
        length = llama.llama_model_meta_val_str(self._model, name, None, 0)
        if length < 0:
            return None
        buffer = ctypes.create_string_buffer(length + 1)
        llama.llama_model_meta_val_str(self._model, name, buffer, length + 1)
        return buffer.value.decode("utf-8", "replace")

    def tokenize(self, text: str, *, control: bool, begin: bool = False) -> list[int]:
        """Token ids of `text`; `control` lets control texts become control tokens, `begin` adds BOS."""
        data = text.encode("utf-8")
        size = len(data) + 2
        tokens = (llama.llama_token * size)()
        count = llama.llama_tokenize(self._vocab, data, len(data), tokens, size, begin, control)
        if count < 0:
            tokens = (llama.llama_token * -count)()
            count = llama.llama_tokenize(self._vocab, data, len(data), tokens, -count, begin, control)
        return list(tokens[:count])

    def guidance_tokenizer(self) -> LLTokenizer:
        """The vocabulary as llguidance wants it (0.2 s for 49k tokens: keep it)."""
        return lltokenizer_from_vocab(self._vocab, eos_token=sorted(self.end_of_generation))

    def _piece(self, token: int, special: bool = False) -> bytes:
        buffer = self._piece_buffer
        length = llama.llama_token_to_piece(self._vocab, token, buffer, _PIECE_BYTES, 0, special)
        if length < 0:
            buffer = ctypes.create_string_buffer(-length)
            length = llama.llama_token_to_piece(self._vocab, token, buffer, -length, 0, special)
        return bytes(buffer.raw[:length])

    def _token_text(self, token: int) -> str:
        return "" if token < 0 else self.piece(token, special=True).decode("utf-8", "replace")


class _BatchBuffers:
    """Arrays that a `llama_batch` points into, made once."""

    def __init__(self, size: int) -> None:
        self.tokens = np.zeros(size, np.int32)
        self.positions = np.zeros(size, np.int32)
        self.slots = np.zeros(size, np.int32)
        self.slot_counts = np.ones(size, np.int32)
        self.outputs = np.zeros(size, np.int8)
        slot_type = ctypes.POINTER(llama.llama_seq_id)
        base = self.slots.ctypes.data
        self._slot_pointers = (slot_type * size)(
            *(ctypes.cast(base + 4 * index, slot_type) for index in range(size))
        )
        self.batch = llama.llama_batch(
            0,
            self.tokens.ctypes.data_as(ctypes.POINTER(llama.llama_token)),
            None,
            self.positions.ctypes.data_as(ctypes.POINTER(llama.llama_pos)),
            self.slot_counts.ctypes.data_as(ctypes.POINTER(ctypes.c_int32)),
            ctypes.cast(self._slot_pointers, ctypes.POINTER(slot_type)),
            self.outputs.ctypes.data_as(ctypes.POINTER(ctypes.c_int8)),
        )

    def fill(self, step: Batch) -> llama.llama_batch:
        count = len(step)
        self.tokens[:count] = step.tokens
        self.positions[:count] = step.positions
        self.slots[:count] = step.slots
        self.outputs[:count] = step.outputs
        self.batch.n_tokens = count
        return self.batch


class LlamaBackend:
    """A GGUF on a device, with one KV stream a slot."""

    def __init__(self, load: Load) -> None:
        llama.llama_backend_init()
        self._model = _load_model(Path(load.path), _model_params(load))
        self.vocabulary = Vocabulary(self._model)
        self.end_of_generation = self.vocabulary.end_of_generation
        self.sequences = load.sequences
        self.context_tokens = self._choose_context(load.context_tokens)
        self._context = self._make_context(load)
        self._memory = llama.llama_get_memory(self._context)
        self._buffers = _BatchBuffers(load.batch_tokens)
        self.device = _device(load)

    def decode(self, batch: Batch) -> Logits:
        """See `Backend.decode`."""
        status = llama.llama_decode(self._context, self._buffers.fill(batch))
        if status != 0:
            raise BackendFault(f"llama_decode returned {status}")
        shape = (sum(batch.outputs), self.vocabulary.size)
        return np.ctypeslib.as_array(llama.llama_get_logits(self._context), shape=shape)

    def clear(self, slot: int) -> None:
        """See `Backend.clear`."""
        llama.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def _choose_context(self, wanted: int | None) -> int:
        trained = self.vocabulary.trained_context_tokens
        if wanted is None:
            return min(trained, MAX_DEFAULT_CONTEXT)
        if wanted > trained:
            raise LoadError(f"engine.context_tokens is {wanted}, but the weights were trained for {trained}")
        return wanted

    def _make_context(self, load: Load) -> int:
        params = llama.llama_context_default_params()
        params.n_ctx = self.context_tokens * self.sequences
        params.n_seq_max = self.sequences
        params.n_batch = load.batch_tokens
        params.n_ubatch = load.batch_tokens
        params.n_outputs_max = max(self.sequences, 1)
        params.n_threads = load.threads
        params.n_threads_batch = load.threads
        params.flash_attn_type = _FLASH_ATTENTION[load.flash_attention]
        params.kv_unified = False
        with _ErrorLog() as errors:
            context = llama.llama_init_from_model(self._model, params)
        if not context:
            raise LoadError(f"no context of {params.n_ctx} tokens: {errors.reason()}")
        return int(context)


def _model_params(load: Load) -> llama.llama_model_params:
    params: llama.llama_model_params = llama.llama_model_default_params()
    params.n_gpu_layers = load.n_gpu_layers if llama.llama_supports_gpu_offload() else 0
    params.split_mode = _SPLIT_MODES[load.split_mode]
    return params


def _device(load: Load) -> str:
    if load.n_gpu_layers != 0 and llama.llama_supports_gpu_offload():
        layers = "all" if load.n_gpu_layers < 0 else str(load.n_gpu_layers)
        return f"GPU ({layers} layers offloaded, split by {load.split_mode})"
    reason = "n_gpu_layers is 0" if load.n_gpu_layers == 0 else "this build has no GPU support"
    return f"CPU ({load.threads} threads; {reason})"
