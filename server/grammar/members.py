"""The members of a JSON object whose properties come in one order, some of which may be left out."""

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Member(NamedTuple):
    """A property with its name, as a Lark expression."""

    text: str
    required: bool


def members(found: Sequence[Member], rule: Callable[[str], str]) -> str:
    """Lark expression of the whole object; `rule` takes a part into the grammar and gives its name.

    A comma stands before every member but the first, so where the first may be left out each member that can
    come first has an alternative of its own.
    """
    leading = next((index for index, each in enumerate(found) if each.required), len(found))
    if leading:
        found = [Member(rule(each.text), each.required) for each in found]
    firsts = [
        " ".join([found[index].text, *map(_following, found[index + 1 :])])
        for index in range(min(leading + 1, len(found)))
    ]
    if not firsts:
        return '"{}"'
    inside = firsts[0] if len(firsts) == 1 else f"({' | '.join(firsts)})"
    optional = "" if leading < len(found) else "?"
    return f'"{{" ({inside}){optional} "}}"'


def _following(member: Member) -> str:
    return f'("," {member.text})' if member.required else f'("," {member.text})?'
