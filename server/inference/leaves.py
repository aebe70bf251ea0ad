"""The strings and numbers of a JSON value: what de-identification looks at one by one."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def leaves(value: Any) -> Iterator[Any]:
    """Every scalar in `value`, and every key, in order."""
    if isinstance(value, Mapping):
        for key, part in value.items():
            yield key
            yield from leaves(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from leaves(part)
    else:
        yield value


def strings(value: Any) -> Iterator[str]:
    """Those that are strings."""
    return (each for each in leaves(value) if isinstance(each, str))


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """`value` with every scalar and every key changed."""
    if isinstance(value, Mapping):
        return {change(key): mapped(part, change) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [mapped(part, change) for part in value]
    return change(value)


def depth(value: Any) -> int:
    """How many objects and arrays lie within each other; raises RecursionError beyond what Python holds."""
    if isinstance(value, Mapping):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list | tuple) else 0
