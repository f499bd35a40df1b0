"""`bertctl task`: which datasets bertctl knows by name, and everything it assumes about one of them.

`ls` gives one line a task; `show` gives what is needed to lay out local files for it: splits and file names, columns,
class names with ids, metrics. Both print JSON on request and import nothing heavy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from bert_cli.tasks.base import MINIMAL_PAIRS, REPLACED

if TYPE_CHECKING:
    from bert_cli.tasks.base import Task

app = typer.Typer(
    help="List and show the tasks known by name.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    no_args_is_help=True,
)

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@app.command("ls")
def ls(as_json: AsJson = False) -> None:
    """List every task and what it is.

    With --json also objective, language and metrics.
    """
    from bert_cli.cli.console import print_json, print_table
    from bert_cli.tasks import all_tasks

    tasks = all_tasks().values()
    if as_json:
        print_json([overview(task) for task in tasks])
    else:
        print_table([(task.name, task.summary) for task in tasks], ("task", "summary"))


@app.command("show")
def show(
    name: Annotated[str, typer.Argument(metavar="TASK", help="A name of `bertctl task ls`.")],
    as_json: AsJson = False,
) -> None:
    """Show one task: data, columns, labels, metrics and a command."""
    from bert_cli.cli.console import print_json
    from bert_cli.tasks import find_task

    task = find_task(name, key="TASK")
    if as_json:
        print_json(description(task))
    else:
        _print_description(task)


def overview(task: Task) -> dict[str, Any]:
    """The line of `ls` as a JSON object, with objective, language and metrics."""
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
        "recipe": recipe_of(task),
        "example": example(task),
    }


def recipe_of(task: Task) -> str | None:
    """The shipped recipe that `--task` brings along, or None."""
    from bert_cli.recipe.files import shipped_recipes

    name = f"finetune/{task.name}"
    return name if name in shipped_recipes() else None


def example(task: Task) -> str:
    """A command that trains or scores the task; `DIR` and `FILE` stand for data that the hub does not have."""
    if task.pretrains:
        electra = task.objective == REPLACED
        model = "google/electra-small-discriminator" if electra else "google-bert/bert-base-uncased"
        return f"bertctl pretrain --task {task.name} --data FILE --model {model}"
    if task.objective == MINIMAL_PAIRS:
        place = "" if task.hub is not None else " --data DIR"
        return f"bertctl eval google-bert/bert-base-uncased --task {task.name}{place}"
    if "train" not in task.splits:
        return f"bertctl eval RUN --task {task.name} --data DIR --split {next(iter(task.splits))}"
    data = "" if task.hub is not None and "train" in task.hub.splits else " --data DIR"
    return f"bertctl finetune --task {task.name}{data}"


def _print_description(task: Task) -> None:
    from bert_cli.cli.console import print_table, say

    print_table(_facts(task))
    if not task.columns:
        return
    say("")
    print_table(_splits(task), ("split", "on the hub", "file: one of these names"))
    say("")
    print_table(_columns(task), ("role", "column: the first of these that is there"))
    say("")
    _print_labels(task)


def _facts(task: Task) -> list[tuple[str, str]]:
    selects = {} if task.objective == MINIMAL_PAIRS else {task.primary: " (selects the best model)"}
    hub = "none" if task.hub is None else ":".join(filter(None, [task.hub.path, task.hub.config]))
    facts = [
        ("task", task.name),
        ("summary", task.summary),
        ("objective", task.objective),
        ("language", task.language or "any"),
        ("metrics", ", ".join(name + selects.get(name, "") for name in task.metrics)),
        ("on the hub", hub),
        ("local folder", ", ".join(task.folders)),
        ("recipe", recipe_of(task) or ""),
        ("example", example(task)),
    ]
    return [(name, value) for name, value in facts if value]


def _splits(task: Task) -> list[tuple[str, str, str]]:
    on_hub = {} if task.hub is None else task.hub.splits
    return [(split, on_hub.get(split, "-"), ", ".join(stems)) for split, stems in task.splits.items()]


def _columns(task: Task) -> list[tuple[str, str]]:
    optional = {role: " (optional)" for role in task.optional}
    return [(role + optional.get(role, ""), ", ".join(names)) for role, names in task.columns.items()]


def _print_labels(task: Task) -> None:
    from bert_cli.cli.console import print_table, say

    if task.labels is not None:
        spellings: dict[str, list[str]] = {}
        for other, label in task.label_aliases.items():
            spellings.setdefault(label, []).append(other)
        rows = [
            (i, label + (f" (also {', '.join(spellings[label])})" if label in spellings else ""))
            for i, label in enumerate(task.labels)
        ]
        print_table(rows, ("id", "label; the data may hold either"))
    elif task.objective == MINIMAL_PAIRS:
        say("the first text is counted where a model finds it the more likely one;")
        say("other roles are groups that are scored apart")
    elif task.score_range is not None:
        low, high = task.score_range
        say(f"scores from {low:g} to {high:g}")
    elif task.objective in _LABELS:
        say(_LABELS[task.objective])


_OF_TRAIN = "labels: those of the training split, or data.labels"
_LABELS = {
    "text-classification": _OF_TRAIN,
    "multi-label-classification": _OF_TRAIN,
    "token-classification": _OF_TRAIN,
    "text-regression": "scores: any numbers",
    "multiple-choice": "label: the number or letter of the right choice, or the choice itself",
    "question-answering": "answers: their texts and where they begin, counted in characters",
}
