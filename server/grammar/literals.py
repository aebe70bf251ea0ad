"""Texts of a Lark grammar that stand for JSON."""

import json
from collections.abc import Iterable
from typing import Any


def choice(members: Iterable[Any]) -> str:
    """Lark expression of exactly one of these JSON values."""
    return "(" + " | ".join(literal(compact(member)) for member in members) + ")"


def compact(value: Any) -> str:
    """`value` as the model writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def literal(text: str) -> str:
    """A Lark string; its lexer takes no DEL as it is."""
    return json.dumps(text).replace("\x7f", "\\u007f")
