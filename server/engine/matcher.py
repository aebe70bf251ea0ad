"""A grammar's state for one sequence: what may come next, what must come next."""

from copy import copy

from llguidance import LLMatcher, LLParserLimits, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

from server.engine.mask import Mask


class GrammarFault(Exception):
    """The matcher can no longer vouch for the output."""


class Matcher:
    """One `llguidance.LLMatcher`; every error it reports is raised, never warned about."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str, limits: LLParserLimits | None = None) -> None:
        self._matcher = LLMatcher(tokenizer, grammar, log_level=0, limits=limits)
        self._vocabulary = tokenizer.vocab_size
        self._check()

    def fork(self) -> "Matcher":
        """Another matcher, in the state of this one."""
        other = copy(self)
        other._matcher = self._matcher.deep_copy()
        return other

    @property
    def finished(self) -> bool:
        """Whether nothing more may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> Mask:
        """Token ids that may come next; never empty while not finished."""
        bits = allocate_token_bitmask(1, self._vocabulary)
        fill_next_token_bitmask(self._matcher, bits)
        self._check()
        if not bits.any():
            raise GrammarFault("no token can follow")
        return Mask(bits[0])

    def accept(self, token: int) -> None:
        """Move on by a token that was allowed."""
        if not self._matcher.consume_token(token):
            self._check()
            raise GrammarFault("the token was refused")

    def valid(self, tokens: list[int]) -> list[int]:
        """The first of `tokens` that may follow each other from here; the state stays as it is."""
        count = self._matcher.validate_tokens(tokens)
        self._check()
        return tokens[:count]

    def coming(self) -> list[int]:
        """The tokens that must follow whatever the weights say; the state stays as it is."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        self._check()
        return tokens

    def forced(self) -> list[int]:
        """Take and return the tokens that must follow whatever the weights say."""
        tokens = self.coming()
        for token in tokens:
            self.accept(token)
        return tokens

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarFault("the matcher failed")
