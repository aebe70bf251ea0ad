"""Memory of this machine that a process may still take."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

_UNLIMITED = 1 << 60


def free_bytes(root: Path = Path("/")) -> int | None:
    """The kernel's MemAvailable, or less where a container's limit is nearer; None where neither is told.

    `root` holds `proc` and `sys`. Sources: proc_meminfo(5); the kernel's cgroup-v1/memory.rst, cgroup-v2.rst.
    """
    bounds = [*_available(root / "proc/meminfo"), *_limits(root)]
    return min(bounds, default=None)


def _available(path: Path) -> Iterator[int]:
    """In bytes; the file has KiB."""
    with contextlib.suppress(OSError, KeyError, ValueError):
        yield int(_table(path)["MemAvailable:"]) * 1024


def _limits(root: Path) -> Iterator[int]:
    """What our control groups, and those that these are in, still allow; page cache can be had back."""
    for kind, path in _groups(root):
        with contextlib.suppress(OSError, KeyError, ValueError):
            yield _version2(path) if kind == "" else _version1(path)


def _groups(root: Path) -> Iterator[tuple[str, Path]]:
    """Controllers and directory of each memory group, from our own outwards.

    In a container the group's name is that of the host, and the mounted root is the group itself.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _number, controllers, name = line.split(":", 2)
        if controllers not in ("", "memory"):
            continue
        base = root / "sys/fs/cgroup" / controllers
        own = base / name.lstrip("/")
        yield from ((controllers, path) for path in (own, *own.parents) if path.is_relative_to(base))


def _version2(path: Path) -> int:
    limit = (path / "memory.max").read_text().strip()
    if limit == "max":
        return _UNLIMITED
    cache = _table(path / "memory.stat")
    used = int((path / "memory.current").read_text())
    return int(limit) - used + int(cache["inactive_file"]) + int(cache["active_file"])


def _version1(path: Path) -> int:
    limit = int((path / "memory.limit_in_bytes").read_text())
    cache = _table(path / "memory.stat")
    used = int((path / "memory.usage_in_bytes").read_text())
    return limit - used + int(cache["total_inactive_file"]) + int(cache["total_active_file"])


def _table(path: Path) -> dict[str, str]:
    rows = (line.split() for line in path.read_text().splitlines())
    return {row[0]: row[1] for row in rows if len(row) > 1}
