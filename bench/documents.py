"""Random documents of a grammar, written byte by byte, and whether a given document is one of them."""

from dataclasses import dataclass
from random import Random

from llguidance import LLTokenizer, TokenizerWrapper

from server.engine.matcher import Matcher

_BYTES = 256
_END = _BYTES
# What is written outside of strings once a document is long enough, best first: what ends it, what is short.
_RANK = {token: rank for rank, token in enumerate((_END, *b'}]"nft,:0123456789.'))}
_QUOTE, _BACKSLASH = b'"\\'
# Small alphabets make keys meet twice and numbers come near their bounds.
_ALPHABETS = (
    frozenset(range(_BYTES)),
    frozenset(range(0x20, 0x7F)),
    frozenset(b'ab01-.",:[]{}'),
    frozenset(b"0123456789-.eE"),
    frozenset(range(0x80, _BYTES)) | frozenset(b'\\"'),
)
_FAITHFUL = 0.85
_AGAIN = 0.9
_ENDS = 0.4


class ByteVocabulary:
    """Every byte a token, and one that ends the document; the form that llguidance asks of a tokenizer."""

    eos_token_id = _END
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(_BYTES)), b"\xff<end>")
    special_token_ids = (_END,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def byte_tokenizer() -> LLTokenizer:
    """A vocabulary in which every text has one spelling, so that no document is unreachable."""
    return LLTokenizer(TokenizerWrapper(ByteVocabulary()))


@dataclass(frozen=True)
class Length:
    """After `soft` bytes a document is brought to its end; one of `hard` bytes is given up."""

    soft: int
    hard: int


class Writer:
    """Writes documents of one grammar. Each keeps to an alphabet of its own, and may repeat itself."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str) -> None:
        """Compile a grammar (llguidance text); raises GrammarFault."""
        self._start = Matcher(tokenizer, grammar)

    def write(self, random: Random, length: Length) -> bytes | None:
        """One document, or None where it did not end; raises GrammarFault where nothing can follow."""
        matcher, written, strings = self._start.fork(), bytearray(), _Strings()
        alphabet, repeats = random.choice(_ALPHABETS), random.random() < 1 / 3
        soft = random.randrange(length.soft)
        while not matcher.finished:
            if len(written) >= length.hard:
                return None
            allowed = matcher.allowed().ids.tolist()
            if len(written) >= soft:
                token = _soonest_end(allowed, strings, random)
            elif repeats and written and written[-1] in allowed and random.random() < _AGAIN:
                token = written[-1]
            else:
                token = _any(allowed, alphabet, random)
            matcher.accept(token)
            if token != _END:
                written.append(token)
                strings.read(token)
        return bytes(written)

    def accepts(self, document: bytes) -> bool:
        """Whether `document` is a whole document of the grammar."""
        matcher = self._start.fork()
        tokens = list(document)
        if len(matcher.valid(tokens)) < len(tokens):
            return False
        for token in tokens:
            matcher.accept(token)
        return matcher.finished or _END in matcher.allowed()


class _Strings:
    """Whether what was written so far ends inside of a string."""

    def __init__(self) -> None:
        self.inside = False
        self._escaped = False

    def read(self, byte: int) -> None:
        if byte == _QUOTE and not self._escaped:
            self.inside = not self.inside
        self._escaped = self.inside and byte == _BACKSLASH and not self._escaped


def _soonest_end(allowed: list[int], strings: _Strings, random: Random) -> int:
    if strings.inside:
        # A pattern may be waiting for any sign at all before it lets a string end.
        return _QUOTE if _QUOTE in allowed else random.choice(allowed)
    best = min(allowed, key=lambda token: _RANK.get(token, _BYTES))
    return best if best in _RANK else random.choice(allowed)


def _any(allowed: list[int], alphabet: frozenset[int], random: Random) -> int:
    if _END in allowed:
        if len(allowed) == 1 or random.random() < _ENDS:
            return _END
        allowed = [token for token in allowed if token != _END]
    if random.random() < _FAITHFUL:
        allowed = [token for token in allowed if token in alphabet] or allowed
    return random.choice(allowed)
