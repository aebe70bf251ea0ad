"""The catalogue: every task found under `tasks/`."""

import importlib
import pkgutil
from collections.abc import Iterator

from server.clinical import tasks
from server.clinical.task import Task
from server.errors import NotFound


class Catalogue:
    """The tasks by name."""

    def __init__(self) -> None:
        found = (importlib.import_module(each.name) for each in _modules())
        self._tasks: dict[str, Task] = {module.TASK.name: module.TASK for module in found}

    def __iter__(self) -> Iterator[Task]:
        return iter(self._tasks.values())

    def find(self, name: str) -> Task:
        """The task of that name; raises NotFound."""
        task = self._tasks.get(name)
        if task is None:
            raise NotFound(f"there is no such task; there are: {', '.join(self._tasks)}")
        return task


def _modules() -> list[pkgutil.ModuleInfo]:
    return sorted(pkgutil.iter_modules(tasks.__path__, f"{tasks.__name__}."), key=lambda each: each.name)
