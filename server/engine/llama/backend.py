"""Loaded weights as a `Backend`."""

import ctypes
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as SequenceOf
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import llama_cpp.llama_cpp as llama
import numpy as np

from server.engine.backend import BackendFault, Batch, Interrupted, Logits, State
from server.engine.llama.batch import BatchBuffers
from server.engine.llama.blas import use_blas
from server.engine.llama.loading import ErrorLog, LoadError, load_model
from server.engine.llama.plan import make_plan
from server.engine.llama.vocabulary import Vocabulary
from server.engine.protocol import Load
from server.engine.speculation import most_outputs

_ABORTED = 2
_SCRATCH_BYTES = 64 << 20
_ASK_AGAIN_S = 0.01

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
_KV_TYPES = {"f16": llama.GGML_TYPE_F16, "q8_0": llama.GGML_TYPE_Q8_0}


class LlamaBackend:
    """A GGUF on a device, with a KV stream for each slot or one that all share."""

    def __init__(self, load: Load) -> None:
        llama.llama_backend_init()
        plan = make_plan(load)
        self._model = load_model(Path(load.path), _model_params(load))
        blas = use_blas(load, self._model)
        self.vocabulary = Vocabulary(self._model)
        self.vocabulary_size = self.vocabulary.size
        self.end_of_generation = self.vocabulary.end_of_generation
        self.trimmable = _trimmable(self._model)
        self.sequences = load.sequences
        self.max_outputs = most_outputs(load.sequences)
        self.context_tokens = plan.context_tokens
        self._unified = load.kv_layout == "unified"
        self._context = self._make_context(load)
        self._memory = llama.llama_get_memory(self._context)
        self._scratch = np.empty(_SCRATCH_BYTES, np.uint8)
        self._buffers = BatchBuffers(load.policy.batch_tokens)
        self.device = f"{plan.device}{', BLAS for prompts' if blas else ''}"
        self.memory = plan.memory

    def decode(self, batch: Batch, given_up: Callable[[], bool] | None = None) -> Logits:
        """See `Backend.decode`. llama.cpp breaks off on the CPU only."""
        with self._abortable(given_up):
            status = llama.llama_decode(self._context, self._buffers.fill(batch))
        if status == _ABORTED:
            raise Interrupted
        if status != 0:
            raise BackendFault(f"llama_decode returned {status}")
        shape = (sum(batch.outputs), self.vocabulary.size)
        return np.ctypeslib.as_array(llama.llama_get_logits(self._context), shape=shape)

    @contextmanager
    def _abortable(self, given_up: Callable[[], bool] | None) -> Iterator[None]:
        """Have llama.cpp ask `given_up`, at most every so often: it would after each of its operations."""
        if given_up is None:
            yield
            return
        callback = llama.ggml_abort_callback(_seldom(given_up))
        llama.llama_set_abort_callback(self._context, callback, None)
        try:
            yield
        finally:
            llama.llama_set_abort_callback(self._context, llama.ggml_abort_callback(), None)

    def passes(self, rows: SequenceOf[tuple[int, int]]) -> list[int]:
        """See `Backend.passes`; as `llama_batch_allocr::split_equal` cuts a batch of several streams."""
        if self._unified:
            return [sum(count for _, count in rows)]
        left, passes = list(rows), []
        while left:
            run = _run(left)
            each = min(count for _, count in run)
            passes.append(each * len(run))
            slots = {slot for slot, _ in run}
            left = [(slot, count - each * (slot in slots)) for slot, count in left]
            left = [(slot, count) for slot, count in left if count]
        return passes

    def held(self, slot: int) -> int:
        """See `Backend.held`."""
        return int(llama.llama_memory_seq_pos_max(self._memory, slot)) + 1

    def clear(self, slot: int) -> None:
        """See `Backend.clear`."""
        llama.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def trim(self, slot: int, length: int) -> None:
        """See `Backend.trim`."""
        if not llama.llama_memory_seq_rm(self._memory, slot, length, -1):
            raise BackendFault("llama.cpp cannot take tokens back")

    def copy(self, source: int, target: int, length: int) -> None:
        """See `Backend.copy`.

        A partial `seq_cp` between two streams is an assertion of llama.cpp that ends the process, and a whole
        one copies the stream with all its empty cells: copying by way of the state moves what is held alone.
        """
        if self._unified:
            llama.llama_memory_seq_cp(self._memory, source, target, 0, length)
        else:
            self.load(target, self._read(source, self._scratch))
            self.trim(target, length)

    def save(self, slot: int) -> State:
        """See `Backend.save`."""
        return self._read(slot, None)

    def load(self, slot: int, state: State) -> None:
        """See `Backend.load`."""
        if llama.llama_state_seq_set_data(self._context, _bytes_of(state), state.size, slot) != state.size:
            raise BackendFault("llama.cpp cannot restore a sequence")

    def _read(self, slot: int, scratch: State | None) -> State:
        """What `slot` holds; in `scratch`, where it fits: memory that is new is slower than the copying."""
        size = llama.llama_state_seq_get_size(self._context, slot)
        state = np.empty(size, np.uint8) if scratch is None or size > scratch.size else scratch[:size]
        if llama.llama_state_seq_get_data(self._context, _bytes_of(state), size, slot) != size:
            raise BackendFault("llama.cpp cannot save a sequence")
        return state

    def _make_context(self, load: Load) -> int:
        params = llama.llama_context_default_params()
        params.n_ctx = self.context_tokens * self.sequences
        params.n_seq_max = self.sequences
        params.n_batch = load.policy.batch_tokens
        params.n_ubatch = load.policy.batch_tokens
        params.n_outputs_max = self.max_outputs
        params.n_threads = load.threads
        params.n_threads_batch = load.threads
        params.flash_attn_type = _FLASH_ATTENTION[load.flash_attention]
        params.type_k = params.type_v = _KV_TYPES[load.kv_type]
        params.kv_unified = self._unified
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


def _seldom(question: Callable[[], bool]) -> Callable[[int | None], bool]:
    asked_s = time.monotonic()

    def ask(_data: int | None) -> bool:
        nonlocal asked_s
        now_s = time.monotonic()
        if now_s - asked_s < _ASK_AGAIN_S:
            return False
        asked_s = now_s
        return question()

    return ask


def _run(rows: SequenceOf[tuple[int, int]]) -> list[tuple[int, int]]:
    """The neighbouring slots that one pass takes together, from the first on."""
    run = [rows[0]]
    for slot, count in rows[1:]:
        if slot == run[-1][0] + 1:
            run.append((slot, count))
    return run


def _bytes_of(state: State) -> Any:
    return state.ctypes.data_as(ctypes.POINTER(ctypes.c_uint8))


def _trimmable(model: int) -> bool:
    """Recurrent state has no positions to take back; a sliding window has forgotten what would come back."""
    recurrent = llama.llama_model_is_recurrent(model) or llama.llama_model_is_hybrid(model)
    return not recurrent and llama.llama_model_n_swa(model) == 0
