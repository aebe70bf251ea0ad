"""Vocabularies: one of bytes for what needs no GGUF, and the real one of the embedded weights."""

from collections.abc import Callable
from random import Random

import pytest
from llguidance import LLTokenizer, TokenizerWrapper

from server.engine.llama.vocabulary import Vocabulary
from server.engine.matcher import Matcher
from server.inference.weights import weights_file

BYTES = 256
END = BYTES
CLOSING = {END, *b'"],}'}
LONGEST_WALK = 20_000
MOST_PATIENCE = 0.7


class ByteVocabulary:
    """Every byte a token, and one that ends the answer; the form that llguidance asks of a tokenizer."""

    eos_token_id = END
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(BYTES)), b"\xff<end>")
    special_token_ids = (END,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


@pytest.fixture(scope="session")
def byte_tokenizer() -> LLTokenizer:
    return LLTokenizer(TokenizerWrapper(ByteVocabulary()))


@pytest.fixture(scope="session")
def vocabulary() -> Vocabulary:
    return Vocabulary.load(weights_file(None))


@pytest.fixture(scope="session")
def walk(byte_tokenizer: LLTokenizer) -> Callable[[str, int], str]:
    """A text that a grammar lets through, each byte of it chosen at random."""

    def choose(grammar: str, seed: int) -> str:
        random = Random(seed)
        patience = random.uniform(0, MOST_PATIENCE)
        matcher = Matcher(byte_tokenizer, grammar)
        written: list[int] = []
        while not matcher.finished:
            assert len(written) < LONGEST_WALK
            allowed = set(matcher.allowed().ids.tolist())
            going_on = allowed - CLOSING
            if going_on and random.random() < patience:
                allowed = going_on
            token = END if END in allowed else random.choice(sorted(allowed))
            matcher.accept(token)
            if token != END:
                written.append(token)
        return bytes(written).decode("utf-8")

    return choose


@pytest.fixture(scope="session")
def accepts(byte_tokenizer: LLTokenizer) -> Callable[[str, str], bool]:
    """Whether a text is a whole sentence of a grammar."""

    def check(grammar: str, text: str) -> bool:
        matcher = Matcher(byte_tokenizer, grammar)
        tokens = list(text.encode())
        if matcher._matcher.validate_tokens(tokens) < len(tokens):
            return False
        for token in tokens:
            matcher.accept(token)
        return matcher.finished or END in matcher.allowed()

    return check


MARKS = {"<tool_call>": 257, "</tool_call>": 258, "<unused>": 259, "<think>": 260}


class MarkedBytes(ByteVocabulary):
    """The vocabulary of bytes, with tokens of their own for some texts."""

    tokens = (*ByteVocabulary.tokens, *(b"\xff" + text.encode() for text in MARKS))
    special_token_ids = (*ByteVocabulary.special_token_ids, *MARKS.values())


@pytest.fixture(scope="session")
def byte_marks() -> dict[str, int]:
    """The tokens for the marks of a call."""
    return {text: MARKS[text] for text in ("<tool_call>", "</tool_call>")}


@pytest.fixture(scope="session")
def accepts_tokens() -> Callable[[str, list[int]], bool]:
    """Whether tokens, bytes and marks, are a whole sentence of a grammar."""
    tokenizer = LLTokenizer(TokenizerWrapper(MarkedBytes()))

    def check(grammar: str, tokens: list[int]) -> bool:
        matcher = Matcher(tokenizer, grammar)
        for token in tokens:
            if matcher.finished or token not in matcher.allowed():
                return False
            matcher.accept(token)
        return matcher.finished or END in matcher.allowed()

    return check
