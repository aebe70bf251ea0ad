"""Patterns mean the same to llguidance (Rust's syntax) and to validators (Python's `re`), or are refused."""

import re

ASCII_ONLY = r"^[\x00-\x7f]*$"

_PIECE = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_ESCAPED = re.compile(r"\\.", re.DOTALL)
_SET_OF_SETS = re.compile(r"\[|--|&&|~~|\|\|")
_NEGATED = re.compile(r"\[\^.*\\[dw]|.*\\[DW]", re.DOTALL)
_WIDER = re.compile(r"\\[dw]")
_ANCHOR = re.compile(r"\\[AZzG]")
_DIALECTS_DIFFER = {
    "flags": re.compile(r"\(\?(?!:|=|!|<=|<!|P<|i\))"),
    "possessive quantifiers": re.compile(r"[*+?}]\+"),
    "a range without its least": re.compile(r"\{,"),
}


def problem_of(pattern: object) -> str | None:
    """Why a pattern cannot be forced as validators read it; llguidance itself refuses what it cannot read."""
    if not isinstance(pattern, str):
        return "it is no text"
    pieces = _PIECE.findall(pattern)
    if any(piece[0] == "[" and _SET_OF_SETS.search(_ESCAPED.sub("", piece[1:])) for piece in pieces):
        return "sets of sets differ between dialects"
    if any(_ANCHOR.fullmatch(piece) for piece in pieces):
        return "of the anchors only ^ and $ are known to all dialects"
    skeleton = "".join(piece if len(piece) == 1 else "x" for piece in pieces)
    differing = [name for name, sign in _DIALECTS_DIFFER.items() if sign.search(skeleton)]
    if differing:
        return f"{differing[0]} differ between dialects"
    return None if _is_python(pattern) else "it is no regular expression in Python's dialect"


def _is_python(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        return False
    return True


def needs_ascii(pattern: str) -> bool:
    """Whether it asks for what is no digit or no word.

    To llguidance those are all signs but [0-9] or [0-9A-Za-z_], to Python not the letters and digits of other
    scripts: in ASCII both agree.
    """
    return any(len(piece) > 1 and _NEGATED.match(piece) for piece in _PIECE.findall(pattern))


def is_wider_for_names(pattern: str) -> bool:
    r"""Whether a name may fit the pattern for Python and not for llguidance, which would call it additional.

    To Python, letters and digits of all scripts are \w and \d, and $ stops before a last line break, too.
    """
    return any(piece == "$" or (len(piece) > 1 and _WIDER.search(piece)) for piece in _PIECE.findall(pattern))


def without_controls(pattern: str) -> str:
    """`pattern`, whose negated classes leave out the sign NUL, too, which no string of ours holds.

    llguidance 1.9.1 lets the escapes of quote and backslash through any class that has all control signs.
    """
    return "".join(
        _without_control(piece) if len(piece) > 1 and piece.startswith("[^") else piece
        for piece in _PIECE.findall(pattern)
    )


def _without_control(negated: str) -> str:
    rest = negated.removeprefix("[^")
    return rf"[^\x00\{rest}" if rest.startswith("]") else rf"[^\x00{rest}"
