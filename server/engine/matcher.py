"""A grammar's state for one sequence: what may come next, what must come next."""

import numpy as np
from llguidance import LLMatcher, LLTokenizer
from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask
from numpy.typing import NDArray


class GrammarFault(Exception):
    """The matcher can no longer vouch for the output."""


class Matcher:
    """One `llguidance.LLMatcher`; every error it reports is raised, never warned about."""

    def __init__(self, tokenizer: LLTokenizer, grammar: str) -> None:
        self._matcher = LLMatcher(tokenizer, grammar, log_level=0)
        self._bitmask = allocate_token_bitmask(1, tokenizer.vocab_size)
        self._check()

    @property
    def finished(self) -> bool:
        """Whether nothing more may follow."""
        return bool(self._matcher.is_stopped())

    def allowed(self) -> NDArray[np.intp]:
        """Token ids that may come next, ascending; never empty while not finished."""
        fill_next_token_bitmask(self._matcher, self._bitmask)
        self._check()
        bits = np.unpackbits(self._bitmask.view(np.uint8), bitorder="little")
        ids = np.flatnonzero(bits)
        if not ids.size:
            raise GrammarFault("no token can follow")
        return ids

    def accept(self, token: int) -> None:
        """Move on by a token that was allowed."""
        if not self._matcher.consume_token(token):
            self._check()
            raise GrammarFault("the token was refused")

    def forced(self) -> list[int]:
        """Take and return the tokens that must follow whatever the weights say."""
        tokens: list[int] = self._matcher.compute_ff_tokens()
        self._check()
        for token in tokens:
            self.accept(token)
        return tokens

    def _check(self) -> None:
        if self._matcher.is_error():
            raise GrammarFault("the matcher failed")
