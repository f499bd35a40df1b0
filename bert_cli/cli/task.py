"""`bertctl task`: which datasets bertctl knows by name, and everything it assumes about one of them.

`ls` gives one line a task; `show` gives what is needed to lay out local files for it: splits and file stems, columns,
class names with ids, metrics. Both print JSON on request and import nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from bert_cli.tasks.base import Task

app = typer.Typer(
    help="List and describe the tasks known by name.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List every task: name, objective, language, primary metric and what it is."""
    from bert_cli.cli.console import print_json, print_table
    from bert_cli.tasks import all_tasks

    tasks = all_tasks().values()
    if as_json:
        print_json([overview(task) for task in tasks])
        return
    rows = [(task.name, task.objective, task.language or "any", task.primary, task.summary) for task in tasks]
    print_table(rows, ("name", "objective", "language", "primary", "summary"))


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(help="A name of `bertctl task ls`.")],
    as_json: AsJson = False,
) -> None:
    """Describe one task: splits, columns, labels, metrics, hub dataset, recipe and an example command."""
    from bert_cli.cli.console import print_json
    from bert_cli.tasks import find_task

    task = find_task(name, key="NAME")
    if as_json:
        print_json(description(task))
    else:
        _print_description(task)


def overview(task: Task) -> dict[str, Any]:
    """The line of `ls` as a JSON object."""
    return {
        "name": task.name,
        "objective": task.objective,
        "language": task.language,
        "primary": task.primary,
        "metrics": list(task.metrics),
        "summary": task.summary,
    }


def description(task: Task) -> dict[str, Any]:
    """All facts about a task as a JSON object; `labels` is in the order of the ids."""
    return {
        **overview(task),
        "splits": {split: list(stems) for split, stems in task.splits.items()},
        "folders": list(task.folders),
        "columns": {role: list(names) for role, names in task.columns.items()},
        "optional": sorted(task.optional),
        "labels": None if task.labels is None else list(task.labels),
        "label_aliases": dict(task.label_aliases),
        "score_range": None if task.score_range is None else list(task.score_range),
        "hub": None
        if task.hub is None
        else {"path": task.hub.path, "config": task.hub.config, "splits": dict(task.hub.splits)},
        "recipe": task.name,
        "example": example(task),
    }


def example(task: Task) -> str:
    """A command that trains the task; `DIR` stands for data that the hub does not have."""
    data = "" if task.hub is not None else " --data DIR"
    return f"bertctl finetune --task {task.name}{data}"


def _print_description(task: Task) -> None:
    from bert_cli.cli.console import print_table, say

    hub = "none" if task.hub is None else ":".join(filter(None, [task.hub.path, task.hub.config]))
    facts = [
        ("name", task.name),
        ("summary", task.summary),
        ("objective", task.objective),
        ("language", task.language or "any"),
        ("metrics", ", ".join(f"{name} (primary)" if name == task.primary else name for name in task.metrics)),
        ("hub", hub),
        ("recipe", task.name),
        ("example", example(task)),
    ]
    if task.folders:
        facts.insert(-2, ("folders", ", ".join(task.folders)))
    print_table(facts)
    say("\nsplits (local file stems; hub split)")
    hub_splits = {} if task.hub is None else task.hub.splits
    print_table(
        [(split, ", ".join(stems), hub_splits.get(split, "-")) for split, stems in task.splits.items()], indent="  "
    )
    say("\ncolumns (the first that the data have)")
    print_table(
        [
            (role + (" (optional)" if role in task.optional else ""), ", ".join(task.columns[role]))
            for role in task.columns
        ],
        indent="  ",
    )
    _print_labels(task)


def _print_labels(task: Task) -> None:
    from bert_cli.cli.console import print_table, say

    if task.score_range is not None:
        low, high = task.score_range
        say(f"\nscores from {low:g} to {high:g}")
    elif task.objective == "text-regression":
        say("\nscores: any numbers")
    elif task.labels is None:
        say("\nlabels: those of the training split, or data.labels")
    else:
        say(f"\nlabels ({len(task.labels)}; the data may hold ids or names)")
        spellings: dict[str, list[str]] = {}
        for other, label in task.label_aliases.items():
            spellings.setdefault(label, []).append(other)
        rows = [
            (i, label + (f" (also {', '.join(spellings[label])})" if label in spellings else ""))
            for i, label in enumerate(task.labels)
        ]
        print_table(rows, indent="  ")
