"""Text to token ids and back, as a GGUF defines it."""

import ctypes
import functools
import re
from pathlib import Path

import llama_cpp.llama_cpp as llama
from llguidance import LLTokenizer
from llguidance.llamacpp import lltokenizer_from_vocab

from server.engine.llama.loading import load_model

_PIECE_BYTES = 512

# What llguidance, too, takes for a special token.
_MARK = re.compile(rb"<.*>", re.DOTALL)


class Vocabulary:
    """Text to token ids and back, as the GGUF itself defines it. Loads no weights."""

    def __init__(self, model: int) -> None:
        self._model = model
        self._vocab = llama.llama_model_get_vocab(model)
        self.size = int(llama.llama_vocab_n_tokens(self._vocab))
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
        return cls(load_model(path, params))

    @functools.cached_property
    def control_texts(self) -> tuple[str, ...]:
        """Texts that the tokenizer turns into control tokens, longest first."""
        texts = {
            self.piece(token, special=True).decode("utf-8", "replace")
            for token in range(self.size)
            if llama.llama_vocab_is_control(self._vocab, token)
        }
        return tuple(sorted(texts - {""}, key=len, reverse=True))

    @functools.cached_property
    def written_marks(self) -> frozenset[int]:
        """Tokens such as `<think>` that weights write as text, although no other tokens spell them."""
        return frozenset(
            token
            for token in range(self.size)
            if self._attributes(token) & llama.LLAMA_TOKEN_ATTR_USER_DEFINED
            and _MARK.fullmatch(self.piece(token, special=True))
        )

    def mark(self, text: str) -> int | None:
        """The token that alone can stand for `text`: a control token or one of `written_marks`."""
        tokens = self.tokenize(text, control=True)
        if len(tokens) != 1:
            return None
        is_control = self._attributes(tokens[0]) & llama.LLAMA_TOKEN_ATTR_CONTROL
        return tokens[0] if is_control or tokens[0] in self.written_marks else None

    @functools.cached_property
    def placeholders(self) -> tuple[int, ...]:
        """Control tokens that end no answer, the last first: those that nothing uses mostly come last.

        Schemas let none through, so they can stand for codes.
        """
        tokens = (token for token in reversed(range(self.size)) if token not in self.end_of_generation)
        return tuple(token for token in tokens if llama.llama_vocab_is_control(self._vocab, token))

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

    def _attributes(self, token: int) -> int:
        return int(llama.llama_vocab_get_attr(self._vocab, token))

    def _token_text(self, token: int) -> str:
        return "" if token < 0 else self.piece(token, special=True).decode("utf-8", "replace")
