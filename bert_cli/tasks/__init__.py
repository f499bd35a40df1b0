"""The tasks bertctl knows by name, found by scanning the modules of this folder.

A module here defines `TASKS: tuple[Task, ...]`; adding a task is adding one entry to one file. Names are unique.
"""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

from bert_cli.errors import UsageError
from bert_cli.tasks.base import Task

__all__ = ["Task", "all_tasks", "find_task"]


@cache
def all_tasks() -> dict[str, Task]:
    """Every task by name, in the order of the names."""
    tasks: dict[str, Task] = {}
    for module in pkgutil.iter_modules(__path__):
        if module.name == "base":
            continue
        for task in importlib.import_module(f"{__name__}.{module.name}").TASKS:
            assert task.name not in tasks, f"two tasks are called {task.name}"
            tasks[task.name] = task
    return dict(sorted(tasks.items()))


def find_task(name: str, *, where: str | None = None, key: str = "--task") -> Task:
    """The task called `name`.

    Raises:
        UsageError: no task has that name (U010); names near it are suggested.
    """
    tasks = all_tasks()
    if name not in tasks:
        raise UsageError(
            "U010",
            f"there is no task called '{name}'",
            where=where,
            key=key,
            found=name,
            allowed=list(tasks),
            help="bertctl task ls",
        )
    return tasks[name]
