"""A step's tokens as the arrays that a `llama_batch` points into."""

import ctypes

import llama_cpp.llama_cpp as llama
import numpy as np

from server.engine.backend import Batch


class BatchBuffers:
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
        """The batch of one step; valid until the next call."""
        count = len(step)
        self.tokens[:count] = step.tokens
        self.positions[:count] = step.positions
        self.slots[:count] = step.slots
        self.outputs[:count] = step.outputs
        self.batch.n_tokens = count
        return self.batch
