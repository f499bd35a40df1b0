"""Whether what a recipe names exists: task, model, data.

Runs before torch is imported, so a typing mistake or a missing download costs half a second. Returns or raises; nothing
is read but names, and what the hub has to give is fetched.
"""

from __future__ import annotations

from pathlib import Path

from bert_cli.errors import UsageError, raise_all
from bert_cli.models.locate import locate
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import Task, find_task

# What a recipe may say that its objective would never read; saying it is a mistake, not a wish.
_UNREAD = {
    "fill-mask": ("data.columns", "data.labels", "train.label_smoothing", "train.class_weights", "eval.threshold"),
    "text-regression": ("train.label_smoothing", "train.mask_rate", "eval.threshold"),
    "text-classification": ("train.mask_rate", "eval.threshold"),
    "multi-label-classification": ("train.mask_rate",),
}


def check_keys(recipe: Recipe) -> None:
    """Refuse keys that would change nothing for this task.

    Raises:
        UsageError: one is set to something else than its default (U016).
    """
    errors = []
    for key in _UNREAD[require_task(recipe).objective]:
        value, default = _value(recipe, key), _value(Recipe(), key)
        if value != default:
            errors.append(
                UsageError(
                    "U016",
                    f"{key} changes nothing for the task {recipe.task}",
                    key=key,
                    found=str(value),
                    allowed="left out",
                    help=f"leave {key} out of the recipe",
                )
            )
    raise_all(errors)


def _value(recipe: Recipe, key: str) -> object:
    value: object = recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def find(recipe: Recipe, *, offline: bool = False) -> None:
    """Refuse a recipe whose task, model or data cannot be found, before anything heavy is imported."""
    from bert_cli.data.source import find_sources

    task = require_task(recipe)
    check_keys(recipe)
    if task.objective == "fill-mask":
        corpus_of(recipe)
    else:
        model_of(recipe)
        find_sources(task, recipe.data, offline=offline)
    if recipe.model.name is not None:
        locate(recipe.model.name, revision=recipe.model.revision, allow_bin=recipe.model.allow_bin, offline=offline)


def require_task(recipe: Recipe) -> Task:
    """The recipe's task.

    Raises:
        UsageError: the recipe names none (U011), or one that is unknown (U010).
    """
    if recipe.task is None:
        raise UsageError(
            "U011",
            "no task is named",
            key="task",
            allowed="a name of `bertctl task ls`",
            help="--task sst2, or --task text-classification for data of your own",
        )
    return find_task(recipe.task, key="task")


def model_of(recipe: Recipe) -> str:
    """The name of the recipe's encoder.

    Raises:
        UsageError: it names none (U012).
    """
    if recipe.model.name is None:
        raise UsageError(
            "U012",
            "no model is named",
            key="model.name",
            allowed="a hub id, a model folder or a run folder",
            help="--model google-bert/bert-base-uncased",
        )
    return recipe.model.name


def corpus_of(recipe: Recipe) -> list[Path]:
    """The text files of a pretraining recipe.

    Raises:
        UsageError: no corpus (U013), or neither a model to continue nor one to start (U014).
        DataError: see `corpus_files`.
    """
    from bert_cli.data.corpus import corpus_files

    if recipe.data.source is None:
        raise UsageError(
            "U013",
            "no corpus is named",
            key="data.source",
            allowed="a text file or a folder of them",
            help="--data corpus.txt",
        )
    if recipe.model.name is None and not recipe.model.config:
        raise UsageError(
            "U014",
            "neither a model to continue nor one to start from scratch is named",
            key="model",
            allowed="model.name, or model.config with model_type and sizes",
            help="--model google-bert/bert-base-uncased, or model.config.model_type=bert",
        )
    if recipe.data.validation != "auto" and not recipe.data.validation.endswith("%"):
        raise UsageError(
            "U015",
            "a corpus has no split of that name",
            key="data.validation",
            found=recipe.data.validation,
            allowed="auto (10%), or a share of the documents as '5%'",
            help="data.validation=5%",
        )
    return corpus_files(Path(recipe.data.source).expanduser())
