"""`--print-config`: the recipe that a command would run, as YAML with the origin of each value behind it.

What is printed is itself a recipe. Where a value is left to bertctl (`auto`, null) and is known from the recipe and its
task alone, the comment says what it comes to; what needs the model, the data or the machine is left open.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from bert_cli.cli.console import print_json, say
from bert_cli.errors import printable

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded
    from bert_cli.recipe.schema import Recipe
    from bert_cli.tasks import Task

WIDEST = 48
"""Origins are aligned behind values up to this width, in characters."""


def show_config(loaded: Loaded, *, as_json: bool) -> None:
    """Print every key of a recipe; as JSON: dotted key -> value, origin and, where known, what it comes to."""
    from bert_cli.recipe.scalars import flow

    known = _resolved(loaded.recipe)
    rows = loaded.rows()
    if as_json:
        facts = {key: {"value": value, "origin": origin} for key, value, origin in rows}
        print_json({key: fact | ({"resolved": known[key]} if key in known else {}) for key, fact in facts.items()})
        return
    lines = list(_lines((key, flow(value), _comment(origin, known.get(key))) for key, value, origin in rows))
    width = max((len(text) for text, _ in lines if len(text) <= WIDEST), default=0)
    for text, comment in lines:
        say(f"{text:<{width}}  # {comment}" if comment else text)


def _comment(origin: str, resolved: object) -> str:
    from bert_cli.recipe.scalars import flow

    return printable(origin if resolved is None else f"{origin}, here {flow(resolved)}", 160)


def _lines(rows: Iterable[tuple[str, str, str]]) -> Iterator[tuple[str, str]]:
    """Nested YAML from dotted keys in the order of the schema: each line, and the comment behind it."""
    from bert_cli.recipe.scalars import flow

    above: list[str] = []
    for key, value, comment in rows:
        *sections, leaf = _parts(key)
        for depth, name in enumerate(sections):
            if above[: depth + 1] != sections[: depth + 1]:
                yield f"{'  ' * depth}{flow(name)}:", ""
        above = sections
        yield f"{'  ' * len(sections)}{flow(leaf)}: {value}", comment


def _parts(key: str) -> list[str]:
    """The names of a dotted key; below `model.config` and `data.columns` a name is the user's, dots and all."""
    from bert_cli.recipe.keys import known_keys

    for mapping in known_keys().mappings:
        if key.startswith(f"{mapping}."):
            return [*mapping.split("."), key.removeprefix(f"{mapping}.")]
    return key.split(".")


def _resolved(recipe: Recipe) -> dict[str, object]:
    """Dotted key -> what its open value comes to, as far as recipe and task tell."""
    from bert_cli.tasks import find_task

    if recipe.task is None:
        return {}
    task = find_task(recipe.task)
    known: dict[str, object] = {}
    if recipe.data.source is None:
        known["data.source"] = _source(task)
    if recipe.data.labels == "auto" and task.labels is not None:
        known["data.labels"] = list(task.labels)
    if recipe.eval.metric is None:
        known["eval.metric"] = task.primary
    if recipe.run.out is None and recipe.model.name is not None:
        known["run.out"] = _run_folder(task.name, recipe)
    return {key: value for key, value in known.items() if value is not None}


def _source(task: Task) -> str | None:
    """Where the data come from when a recipe names no place."""
    if task.pretrains:
        return None
    if given := os.environ.get("BERTCTL_DATA"):
        return given
    return None if task.hub is None else ":".join(filter(None, ["hub", task.hub.path, task.hub.config]))


def _run_folder(task: str, recipe: Recipe) -> str | None:
    """The next free folder; a run that goes on or begins anew takes one that is there."""
    from bert_cli.run.rundir import default_out, numbered

    if recipe.run.resume != "never":
        return None
    free: Iterator[Path] = (path for path in numbered(default_out(task, str(recipe.model.name))) if not path.exists())
    return str(next(free))
