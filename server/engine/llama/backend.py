"""Loaded weights as a `Backend`."""

from pathlib import Path

import llama_cpp.llama_cpp as llama
import numpy as np

from server.engine.backend import BackendFault, Batch, Logits
from server.engine.llama.batch import BatchBuffers
from server.engine.llama.blas import offloads, use_blas
from server.engine.llama.loading import ErrorLog, LoadError, load_model
from server.engine.llama.vocabulary import Vocabulary
from server.engine.protocol import Load

MAX_DEFAULT_CONTEXT = 8192

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


class LlamaBackend:
    """A GGUF on a device, with one KV stream a slot."""

    def __init__(self, load: Load) -> None:
        llama.llama_backend_init()
        self._model = load_model(Path(load.path), _model_params(load))
        blas = use_blas(load, self._model)
        self.vocabulary = Vocabulary(self._model)
        self.end_of_generation = self.vocabulary.end_of_generation
        self.sequences = load.sequences
        self.context_tokens = self._choose_context(load.context_tokens)
        self._context = self._make_context(load)
        self._memory = llama.llama_get_memory(self._context)
        self._buffers = BatchBuffers(load.batch_tokens)
        self.device = _device(load, blas=blas)

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
        with ErrorLog() as errors:
            context = llama.llama_init_from_model(self._model, params)
        if not context:
            raise LoadError(f"no context of {params.n_ctx} tokens: {errors.reason()}")
        return int(context)


def _model_params(load: Load) -> llama.llama_model_params:
    params: llama.llama_model_params = llama.llama_model_default_params()
    params.n_gpu_layers = load.n_gpu_layers if llama.llama_supports_gpu_offload() else 0
    params.split_mode = _SPLIT_MODES[load.split_mode]
    return params


def _device(load: Load, *, blas: bool) -> str:
    if offloads(load):
        layers = "all" if load.n_gpu_layers < 0 else str(load.n_gpu_layers)
        return f"GPU ({layers} layers offloaded, split by {load.split_mode})"
    reason = "n_gpu_layers is 0" if load.n_gpu_layers == 0 else "this build has no GPU support"
    return f"CPU ({load.threads} threads, {'BLAS for prompts' if blas else 'no BLAS'}; {reason})"
