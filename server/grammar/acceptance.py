"""Whether a text is what a grammar asks for, in the dialect in which the engine forces it."""

import functools

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from server.grammar.compiler import Grammar

_BYTES = 256


def accepts(grammar: Grammar, text: str) -> bool:
    """Whether `text` is a whole sentence of `grammar`; takes as long as compiling it."""
    matcher = LLMatcher(byte_tokenizer(), grammar.text, log_level=0)
    if not matcher.consume_tokens(list(text.encode())) or matcher.is_error():
        return False
    return bool(matcher.is_stopped() or matcher.is_accepting())


class _Bytes:
    """A vocabulary of bytes and of one token that ends the text, in the form that llguidance asks for."""

    eos_token_id = _BYTES
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(_BYTES)), b"\xff<end>")
    special_token_ids = (_BYTES,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


@functools.cache
def byte_tokenizer() -> LLTokenizer:
    """A tokenizer of single bytes; the grammars' own language is that of bytes."""
    return LLTokenizer(TokenizerWrapper(_Bytes()))
