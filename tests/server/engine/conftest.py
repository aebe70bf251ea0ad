"""An engine without llama.cpp: its logits are a hash of what a slot holds."""

import itertools
import socket
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from llguidance import LLTokenizer, TokenizerWrapper

from server.engine.backend import Batch, Interrupted, Logits, State
from server.engine.calibration import StepCost
from server.engine.channel import Channel
from server.engine.loop import EngineLoop
from server.engine.protocol import (
    Cancel,
    CodeSetReady,
    FromEngine,
    Output,
    Policy,
    Step,
    Submit,
    ToEngine,
    Warm,
)

END = 256
VOCABULARY = END + 1
END_BONUS = 1.2
PLACEHOLDERS = (END + 1, END + 2)


class FakeBackend:
    """Deterministic weights that hold the loop to the contract of `Backend`.

    With a `memory` of a few tokens the text goes round in circles. `interruptions` says of each step after
    how many of its tokens it is broken off, if at all; `meanwhile` is called once, in the middle of a step
    that may be given up. `computed_in` has for each output how many tokens of
    its sequence went together with each that it rests on: what rounding depends on.
    """

    device = "fake"
    end_of_generation = frozenset({END})
    vocabulary_size = VOCABULARY
    trimmable = True

    def __init__(
        self,
        *,
        sequences: int = 2,
        context_tokens: int = 512,
        budget: int = 512,
        memory: int | None = None,
        interruptions: Iterable[int | None] = (),
    ) -> None:
        self.sequences = sequences
        self.context_tokens = context_tokens
        self.max_outputs = sequences + 8
        self.held_tokens: list[list[int]] = [[] for _ in range(sequences)]
        self.held_pieces: list[list[int]] = [[] for _ in range(sequences)]
        self.computed_in: list[list[int]] = []
        self.rows = 0
        self.prefilled = 0
        self.meanwhile: Callable[[], None] | None = None
        self._budget = budget
        self._memory = memory
        self._interruptions = iter(interruptions)
        self._logits: Logits = np.zeros((0, VOCABULARY), np.float32)

    def decode(self, batch: Batch, given_up: Callable[[], bool] | None = None) -> Logits:
        columns = (batch.tokens, batch.positions, batch.slots, batch.outputs)
        assert {len(column) for column in columns} == {len(batch)}
        assert 0 < len(batch) <= self._budget
        assert sum(batch.outputs) <= self.max_outputs
        assert batch.slots == sorted(batch.slots)
        if self._is_given_up(given_up):
            raise Interrupted
        rows = []
        pieces = Counter(batch.slots)
        broken_off = next(self._interruptions, None)
        for index, (token, position, slot, output) in enumerate(zip(*columns, strict=True)):
            if index == broken_off:
                raise Interrupted
            assert position == len(self.held_tokens[slot]) < self.context_tokens
            self.held_tokens[slot].append(token)
            self.held_pieces[slot].append(pieces[slot])
            if output:
                self.computed_in.append(list(self.held_pieces[slot]))
                rows.append(self._row(self.held_tokens[slot]))
        self.rows += len(rows)
        self.prefilled += len(batch)
        self._logits.fill(np.nan)  # rows are valid until the next step only
        self._logits = np.array(rows, np.float32).reshape(len(rows), VOCABULARY)
        return self._logits

    def passes(self, rows: Sequence[tuple[int, int]]) -> list[int]:
        slots = [slot for slot, _ in rows]
        assert slots == sorted(set(slots))
        levels = sorted({0, *(count for _, count in rows)})
        return [
            (more - less) * sum(count >= more for _, count in rows)
            for less, more in itertools.pairwise(levels)
        ]

    def held(self, slot: int) -> int:
        return len(self.held_tokens[slot])

    def clear(self, slot: int) -> None:
        self.trim(slot, 0)

    def trim(self, slot: int, length: int) -> None:
        assert length <= len(self.held_tokens[slot])
        del self.held_tokens[slot][length:]
        del self.held_pieces[slot][length:]

    def copy(self, source: int, target: int, length: int) -> None:
        assert not self.held_tokens[target]
        assert 0 < length <= len(self.held_tokens[source])
        self.held_tokens[target] = self.held_tokens[source][:length]
        self.held_pieces[target] = self.held_pieces[source][:length]

    def save(self, slot: int) -> State:
        return np.array([self.held_tokens[slot], self.held_pieces[slot]], np.int16).view(np.uint8)

    def load(self, slot: int, state: State) -> None:
        assert not self.held_tokens[slot]
        self.held_tokens[slot], self.held_pieces[slot] = state.view(np.int16).tolist()

    def _is_given_up(self, given_up: Callable[[], bool] | None) -> bool:
        if given_up is None or self.meanwhile is None:
            return False
        meanwhile, self.meanwhile = self.meanwhile, None
        meanwhile()
        return given_up()

    def _row(self, tokens: list[int]) -> Logits:
        state = zlib.crc32(np.array(tokens[-self._memory :] if self._memory else tokens, np.int32).tobytes())
        row = np.random.default_rng(state).normal(size=VOCABULARY).astype(np.float32)
        row[END] += END_BONUS
        return row


class FakeEngine:
    """An EngineLoop that is turned by hand."""

    def __init__(
        self,
        tokenizer: LLTokenizer,
        *,
        slots: int = 2,
        budget: int = 8,
        context: int = 48,
        memory: int | None = None,
        interruptions: Iterable[int | None] = (),
        trimmable: bool = True,
        **policy: Any,
    ) -> None:
        self.backend = FakeBackend(
            sequences=slots,
            context_tokens=context,
            budget=budget,
            memory=memory,
            interruptions=interruptions,
        )
        self.backend.trimmable = trimmable
        self.socket, theirs = socket.socketpair()
        self._theirs = theirs
        self._loop = EngineLoop(
            self.backend,
            tokenizer,
            Channel(theirs),
            Policy(batch_tokens=budget, **({"kept_bytes": 1 << 20} | policy)),
            StepCost({1: 1.2, 2: 1.4}),
        )
        self._decoder: msgspec.msgpack.Decoder[FromEngine] = msgspec.msgpack.Decoder(FromEngine)
        self._sent = False
        self.steps: list[Step] = []
        self.reports: list[CodeSetReady] = []

    @property
    def busy(self) -> bool:
        """Whether a turn would not wait for a message."""
        return self._sent or bool(self.steps and (self.steps[-1].running or self.steps[-1].waiting))

    def send(self, message: ToEngine) -> None:
        payload = msgspec.msgpack.encode(message)
        self.socket.sendall(struct.pack(">I", len(payload)) + payload)
        self._sent = True

    def turn(self) -> Step:
        assert self.busy, "this turn would wait for ever"
        self._loop.turn()
        self._sent = False
        while not isinstance(message := self._message(), Step):
            self.reports.append(message)
        self.steps.append(message)
        return message

    def wait_report(self) -> CodeSetReady:
        """That a code set is ready, or cannot be."""
        if not self.reports:
            self.reports.append(self._message())
        return self.reports.pop(0)

    def finish(self, *, within: int = 5000) -> None:
        """Turn until nothing runs or waits."""
        while self.busy:
            self.turn()
            assert len(self.steps) <= within, "a request starves"

    def serve(self, *messages: Submit | Warm | Cancel) -> list[Output]:
        """All outputs, one for each request, in the order of their ends."""
        for message in messages:
            self.send(message)
        self.finish()
        return self.answers()

    def answers(self) -> list[Output]:
        """The outputs so far, joined by request; those that ended only."""
        tokens: dict[int, list[int]] = {}
        ended = []
        for output in (output for step in self.steps for output in step.outputs):
            tokens.setdefault(output.id, []).extend(output.tokens)
            if output.finish:
                ended.append(Output(output.id, tokens[output.id], output.finish, output.detail))
        return ended

    def close(self) -> None:
        self.socket.close()
        self._theirs.close()

    def _message(self) -> Any:
        (length,) = struct.unpack(">I", self._read(4))
        return self._decoder.decode(self._read(length))

    def _read(self, size: int) -> bytes:
        return self.socket.recv(size, socket.MSG_WAITALL)


def make_gguf(path: Path, entries: Mapping[str, object]) -> Path:
    """A GGUF with this key-value section and no tensors: counts, floats, truths, texts and lists."""
    section = b"".join(_text(key) + _value(value) for key, value in entries.items())
    path.write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 1, len(entries)) + section)
    return path


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def _value(value: object) -> bytes:
    kind, data = _typed(value)
    return struct.pack("<I", kind) + data


def _typed(value: object) -> tuple[int, bytes]:
    match value:
        case bool():
            return 7, struct.pack("<?", value)
        case int():
            return (4, struct.pack("<I", value)) if value >= 0 else (5, struct.pack("<i", value))
        case float():
            return 12, struct.pack("<d", value)
        case str():
            return 8, _text(value)
        case list():
            pairs = [_typed(each) for each in value]
            kind = pairs[0][0] if pairs else 4
            return 9, struct.pack("<IQ", kind, len(pairs)) + b"".join(data for _, data in pairs)
    raise TypeError(value)


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    """Writes a GGUF of these keys and gives its path."""
    return lambda entries, name="weights.gguf": make_gguf(tmp_path / name, entries)


LLAMA: Mapping[str, object] = {
    "general.architecture": "llama",
    "llama.block_count": 32,
    "llama.context_length": 131_072,
    "llama.embedding_length": 4096,
    "llama.feed_forward_length": 14_336,
    "llama.attention.head_count": 32,
    "llama.attention.head_count_kv": 8,
    "tokenizer.ggml.tokens": ["a", "bc", ""],
}


@pytest.fixture
def llama_keys() -> dict[str, object]:
    """The keys of weights with the published shape of Llama 3 8B."""
    return dict(LLAMA)


class CodedVocabulary:
    """Every byte a token, one that ends the answer, two that stand for code sets, and longer `pieces`."""

    eos_token_id = END
    bos_token_id = None
    special_token_ids = (END, *PLACEHOLDERS)

    def __init__(self, pieces: Sequence[bytes]) -> None:
        single = (bytes([byte]) for byte in range(END))
        self.tokens = (*single, b"\xff<end>", b"\xff<one>", b"\xff<other>", *pieces)
        self._longest_first = sorted(pieces, key=len, reverse=True)

    def __call__(self, text: bytes) -> list[int]:
        tokens = []
        while text:
            piece = next((piece for piece in self._longest_first if text.startswith(piece)), text[:1])
            tokens.append(self.tokens.index(piece))
            text = text[len(piece) :]
        return tokens


@pytest.fixture(scope="session")
def coded_tokenizer() -> Callable[..., LLTokenizer]:
    """Makes tokenizers with control tokens that can stand for code sets, and with these longer tokens."""
    return lambda *pieces: LLTokenizer(TokenizerWrapper(CodedVocabulary(pieces)))


@pytest.fixture(scope="session")
def make_backend() -> type[FakeBackend]:
    """Makes backends."""
    return FakeBackend


@pytest.fixture(scope="session")
def make_engine(byte_tokenizer: LLTokenizer) -> Iterator[Callable[..., FakeEngine]]:
    """Makes engines; those that a test leaves open are closed before the next is made."""
    engines: list[FakeEngine] = []

    def make(**sizes: Any) -> FakeEngine:
        while len(engines) > 2:
            engines.pop(0).close()
        engines.append(FakeEngine(sizes.pop("tokenizer", byte_tokenizer), **sizes))
        return engines[-1]

    yield make
    for engine in engines:
        engine.close()
