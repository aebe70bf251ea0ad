"""The catalogue: every task found under `tasks/`."""

import importlib
import pkgutil
from collections.abc import Iterator

from server.clinical import tasks
from server.clinical.task import Task


class Catalogue:
    """The tasks, in the order of their files."""

    def __init__(self) -> None:
        self._tasks: list[Task] = [importlib.import_module(each.name).TASK for each in _modules()]

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks)


def _modules() -> list[pkgutil.ModuleInfo]:
    return sorted(pkgutil.iter_modules(tasks.__path__, f"{tasks.__name__}."), key=lambda each: each.name)
