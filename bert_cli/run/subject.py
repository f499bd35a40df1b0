"""The model that `eval` scores: the run it belongs to, what it knows of its training, and what its outputs are called.

A head that answers another kind of question than the task asks is refused. Names that a model has for its outputs
stand; names are given from outside only where it has none. Reads configuration files, no weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

from bert_cli.errors import ModelError, UsageError
from bert_cli.families import family_of
from bert_cli.models.heads import head_labels, same_labels, unnamed
from bert_cli.models.locate import Access, Located, locate
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.asked import objective_of
from bert_cli.run.publish import ModelFacts
from bert_cli.run.rundir import RunDir
from bert_cli.tasks import Task


@dataclass(frozen=True)
class Subject:
    """The model that is scored.

    Attributes:
        name: what the user called it.
        facts: what it knows of its training, where bertctl wrote it.
        run: the run that it belongs to; recorded: that run's recipe.
    """

    name: str
    located: Located
    facts: ModelFacts | None
    run: RunDir | None
    recorded: Recipe | None


def run_of(target: str) -> RunDir | None:
    """The run folder that `target` names, itself or by its `best/`; None for any other model."""
    path = Path(target).expanduser()
    for folder in (path, path.parent if path.name == "best" else None):
        if folder is not None and (folder / "recipe.yaml").is_file():
            return RunDir(folder)
    return None


def find_subject(target: str, **access: Unpack[Access]) -> Subject:
    """The model that `target` names; errors as in `locate`."""
    run = run_of(target)
    located = locate(target, **access)
    recorded = load_recipe(str(run.recipe)).recipe if run is not None else None
    facts = ModelFacts.read(located.folder if run is None else run.best)
    return Subject(target, located, facts, run, recorded)


def trained_head(subject: Subject, task: Task) -> tuple[str, ...] | None:
    """Names of the outputs of the model's head; None where the task needs none, or its outputs are no classes.

    Raises:
        ModelError: it has none of the task's kind (L041), or one that answers another kind of question (L044).
    """
    config, kind = subject.located.config, family_of(task.objective).head
    if subject.facts is not None and _kind(subject.facts.objective) != kind.suffix and kind.suffix is not None:
        raise _other_kind(subject, task, subject.facts.objective)
    if kind.suffix is None:
        return None
    head = head_labels(config, kind.suffix)
    if head is None:
        raise ModelError(
            "L041",
            f"this model has no trained head for {kind.what}",
            where=str(subject.located.folder),
            found=", ".join(config.get("architectures") or ["no architectures"]),
            allowed=f"a model of `bertctl finetune`, or any …{kind.suffix}",
            help=f"bertctl finetune --task {task.name} --model {subject.name}",
        )
    objective = subject.facts.objective if subject.facts is not None else objective_of(config)
    # Other tools rarely say whether classes exclude each other, so their word counts only between classes and scores;
    # a score of a pair of texts may be what ranks them.
    kinds = {objective, task.objective}
    doubtful = "text-regression" in kinds and task.objective != "text-ranking"
    if objective is not None and len(kinds) == 2 and (subject.facts is not None or doubtful):
        raise _other_kind(subject, task, objective)
    return head if kind.named else None


def _kind(objective: str) -> str | None:
    return family_of(objective).head.suffix


def _other_kind(subject: Subject, task: Task, objective: str) -> ModelError:
    return ModelError(
        "L044",
        "the model answers another kind of question than the task asks",
        where=str(subject.located.folder),
        key="task",
        found=f"{task.name}, which is {task.objective}",
        allowed=f"a task of {objective}",
        help=f"--task {objective} for data of your own",
    )


def output_names(
    subject: Subject, task: Task, head: tuple[str, ...] | None, labels: tuple[str, ...] | None
) -> tuple[str, ...] | None:
    """Class names of the outputs in their order, None where they are no classes.

    Args:
        head: names that the model has; placeholders count only where bertctl wrote them.
        labels: names given from outside. In another order they are still those of the model, matched by name.

    Raises:
        ModelError: neither the model nor anybody else says the names (L042).
        UsageError: not one name for each output (U051), other names than the model's (U056), no classes at all (U057).
    """
    if head is None:
        if labels is not None:
            raise _no_classes(task, labels)
        return None
    named = subject.facts is not None or not unnamed(head)
    if labels is None:
        if not named:
            raise _nameless(subject, task, head)
        return head
    if len(set(labels)) != len(head) or len(labels) != len(head):
        raise UsageError(
            "U051",
            "one name for each output is needed",
            key="--labels",
            found=f"{len(labels)} names: {', '.join(labels[:8])}",
            allowed=f"{len(head)}: {', '.join(head[:8])}",
            help="--labels NAME,NAME",
        )
    if named and not same_labels(labels, head):
        raise UsageError(
            "U056",
            "the model has names for its outputs, and others would not be true",
            where=str(subject.located.folder / "config.json"),
            key="--labels",
            found=", ".join(labels[:8]),
            allowed=", ".join(head[:8]),
            help=f"leave --labels out; data.labels=[{','.join(head[:8])}] says what the ids 0, 1 … in data mean",
        )
    return head if named else labels


def _no_classes(task: Task, labels: tuple[str, ...]) -> UsageError:
    return UsageError(
        "U057",
        f"there are no classes in {task.objective}",
        key="--labels",
        found=", ".join(labels[:8]),
        allowed="only where outputs are classes",
        help="leave --labels out",
    )


def _nameless(subject: Subject, task: Task, head: tuple[str, ...]) -> ModelError:
    names = ",".join(task.labels[:8]) if task.labels else "NAME,NAME"
    return ModelError(
        "L042",
        "the model does not say what its outputs mean",
        where=str(subject.located.folder / "config.json"),
        key="--labels",
        found=", ".join(head[:8]),
        allowed="a name for each output, in their order",
        help=f"--labels {names} if that is their order",
    )
