"""Constraints on answers that are no JSON. See `server.inference.constraint.Constraint`."""

from collections.abc import Sequence

from server.errors import InvalidGrammar, InvalidOutput
from server.grammar.acceptance import accepts
from server.grammar.compiler import Grammar
from server.grammar.texts import compile_choice, compile_lark, compile_regex
from server.privacy.pseudonyms import PseudonymizedText


class ChoiceConstraint:
    """One of several texts, exactly. They are de-identified like messages and come back as given."""

    is_json = False

    def __init__(self, choices: Sequence[str]) -> None:
        self._choices = frozenset(choices)
        self.texts = tuple(dict.fromkeys(choices))

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:  # noqa: ARG002 - see Constraint
        """See `Constraint.compile`."""
        return compile_choice([text.spelled for text in texts])

    def check(self, answer: str) -> None:
        """See `Constraint.check`."""
        if answer not in self._choices:
            raise InvalidOutput("with identities restored, the answer is none of the choices")


class RegexConstraint:
    """Text that a regex matches from beginning to end. One that holds an identifier is refused."""

    is_json = False

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self.texts = (pattern,)

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:  # noqa: ARG002 - see Constraint
        """See `Constraint.compile`."""
        _refuse_identifiers(texts, "regex")
        return compile_regex(self._pattern)

    def check(self, answer: str) -> None:
        """See `Constraint.check`."""
        _check_sentence(compile_regex(self._pattern), answer, "regex")


class GrammarConstraint:
    """A sentence of a Lark grammar, in llguidance's dialect. One that holds an identifier is refused."""

    is_json = False

    def __init__(self, grammar: str) -> None:
        self._grammar = grammar
        self.texts = (grammar,)

    def compile(self, texts: Sequence[PseudonymizedText], messages: Sequence[PseudonymizedText]) -> Grammar:  # noqa: ARG002 - see Constraint
        """See `Constraint.compile`."""
        _refuse_identifiers(texts, "grammar")
        return compile_lark(self._grammar)

    def check(self, answer: str) -> None:
        """See `Constraint.check`."""
        _check_sentence(compile_lark(self._grammar), answer, "grammar")


def _refuse_identifiers(texts: Sequence[PseudonymizedText], kind: str) -> None:
    if any(text.atoms for text in texts):
        raise InvalidGrammar(f"the {kind} holds an identifier, which cannot be replaced in it")


def _check_sentence(grammar: Grammar, answer: str, kind: str) -> None:
    if not accepts(grammar, answer):
        raise InvalidOutput(f"with identities restored, the answer no longer fits the {kind}")
