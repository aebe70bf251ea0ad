"""Numbers that mean the same in decimals, as llguidance writes, and in binary, as validators count."""

import math
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

_MOST_INTEGER = 2**53
_MOST_DIGITS = 15
_STEP = Decimal("1e-6")
_MOST_MULTIPLE = 10**9

_BOUNDS = (("exclusiveMinimum", "minimum", 1, max), ("exclusiveMaximum", "maximum", -1, min))


def inexact(value: Any) -> str | None:
    """Why a number in `value`, a literal or a bound, would come back as another one."""
    for number in _numbers(value):
        if isinstance(number, int) and abs(number) >= _MOST_INTEGER:
            return "integers from 2^53 on are not exact"
        if isinstance(number, float) and not (
            abs(number) < _MOST_INTEGER and _digits(number) <= _MOST_DIGITS
        ):
            return f"numbers of more than {_MOST_DIGITS} digits are not exact"
    return None


def no_multiple(value: Any) -> str | None:
    """Why multiples of `value` cannot be forced: 0.3 is one of 0.1, but not for who counts in binary."""
    if not isinstance(value, float):
        return inexact(value)
    denominator = Fraction(repr(value)).denominator
    return "this fraction is not exact in binary" if denominator & (denominator - 1) else inexact(value)


def too_many_multiples(values: Iterable[Any]) -> bool:
    """Whether the least common multiple of all `values` may be more than llguidance can count by.

    It wraps beyond 32 bits (65536 and 65537 come to 65536), and from 10^9 on no matcher can be made.
    """
    known = {Fraction(repr(each)) for each in values if isinstance(each, int | float) and each}
    scale = math.lcm(*(each.denominator for each in known))
    return math.lcm(*(int(each * scale) for each in known)) > _MOST_MULTIPLE


def with_safe_bounds(schema: Mapping[str, Any]) -> dict[str, Any]:
    """`schema` with exclusive bounds that hold for a reader, too: 0.99999999999999999999 reads as 1.

    A number beside such a bound has six decimals. llguidance takes an excluded bound where the other one
    has the same integer part (0 for more than 0 and at most 0.5), and overlooks 0.9 at most 0.999999: which
    of both ways is right goes by the side of zero. Raises ValueError for a bound of too many digits.
    """
    changed = dict(schema)
    for exclusive, bound, sign, stricter in _BOUNDS:
        limit = changed.pop(exclusive, None)
        if isinstance(limit, bool):  # draft 4
            limit = changed.get(bound) if limit else None
        if not isinstance(limit, int | float):
            continue
        if schema.get("type") == "integer" or limit * sign >= 0:
            beyond = _beyond(limit, sign, whole=schema.get("type") == "integer")
            changed[bound] = stricter(changed.get(bound, beyond), beyond)
        else:
            if isinstance(schema[exclusive], bool):
                del changed[bound]
            changed[exclusive] = limit
            changed.setdefault("multipleOf", float(_STEP))
    return changed


def _beyond(limit: float, sign: int, *, whole: bool) -> float:
    if whole:
        return math.floor(limit) + 1 if sign > 0 else math.ceil(limit) - 1
    beyond = Decimal(repr(limit)) + sign * _STEP
    if len(beyond.as_tuple().digits) > _MOST_DIGITS:
        raise ValueError("the bound has too many digits to be exclusive")
    return float(beyond)


def _digits(number: float) -> int:
    return len(Decimal(repr(number)).normalize().as_tuple().digits)


def _numbers(value: Any) -> Iterator[int | float]:
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for each in value:
            yield from _numbers(each)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value
