"""A list of codes as the text of one grammar."""

from collections.abc import Iterable, Sequence
from itertools import groupby


def code_grammar(codes: Iterable[str]) -> str:
    """llguidance text whose sentences are the `codes`, each with the quotation mark that ends it.

    The mark is what makes it known that a code is complete where another one goes on. A code must be the
    same inside a JSON string as outside of it.
    """
    return f'start: CODE\nCODE: /{_after(sorted(set(codes)), 0)}"/'


def _after(codes: Sequence[str], length: int) -> str:
    """A pattern of what follows the first `length` signs, which all `codes`, in their order, have in common.

    Signs that the same may follow become one class of signs.
    """
    signs: dict[str, list[str]] = {}
    for sign, group in groupby(codes, lambda code: code[length : length + 1]):
        if sign:
            signs.setdefault(_after(list(group), length + 1), []).append(sign)
    if not signs:
        return ""
    choices = [f"{_class(each)}{rest}" for rest, each in signs.items()]
    pattern = choices[0] if len(choices) == 1 else f"(?:{'|'.join(choices)})"
    if len(codes[0]) > length:
        return pattern
    return f"(?:{pattern})?"


def _class(signs: Sequence[str]) -> str:
    escaped = [sign if sign.isascii() and sign.isalnum() else f"\\x{{{ord(sign):x}}}" for sign in signs]
    return escaped[0] if len(escaped) == 1 else f"[{''.join(escaped)}]"
