"""Output types that are no JSON: one of several texts, a regex, a Lark grammar."""

from collections.abc import Sequence

from llguidance import LLMatcher
from outlines.types import CFG, Choice, Regex

from server.errors import InvalidGrammar
from server.grammar.compiler import Grammar, compile_output_type
from server.grammar.lark import callers_lark

MAX_CHOICE_CHARACTERS = 128 * 1024
MAX_REGEX_CHARACTERS = 8 * 1024


def compile_choice(texts: Sequence[str]) -> Grammar:
    """Exactly one of `texts`; raises InvalidGrammar where they are too long."""
    if sum(map(len, texts)) > MAX_CHOICE_CHARACTERS:
        raise InvalidGrammar(f"the choices are together longer than {MAX_CHOICE_CHARACTERS} characters")
    return compile_output_type(Choice(list(texts)))


def compile_regex(pattern: str) -> Grammar:
    """A whole answer that matches `pattern`, in Rust's dialect; raises InvalidGrammar with the reason."""
    if len(pattern) > MAX_REGEX_CHARACTERS:
        raise InvalidGrammar(f"the regex is longer than {MAX_REGEX_CHARACTERS} characters")
    # Outlines puts parentheses around it, which would make some of what is no regex one.
    if fault := LLMatcher.validate_grammar(LLMatcher.grammar_from_regex(pattern)):
        raise InvalidGrammar(f"the regex cannot be forced: {_last_line(fault)}")
    return compile_output_type(Regex(pattern))


def compile_lark(grammar: str) -> Grammar:
    """A sentence of a caller's Lark grammar, llguidance's dialect; raises InvalidGrammar with the reason."""
    return compile_output_type(CFG(callers_lark(grammar)))


def _last_line(fault: str) -> str:
    return [line.strip() for line in fault.splitlines() if line.strip()][-1]
