"""Whether what a recipe names exists: task, model, data.

Runs before torch is imported, so a typing mistake or a missing download costs half a second. Returns or raises; nothing
is read but names, and what the hub has to give is fetched.
"""

from __future__ import annotations

from bert_cli.data.budget import check_timed, merged
from bert_cli.errors import UsageError, raise_all
from bert_cli.models.locate import locate
from bert_cli.recipe.schema import MaskSection, Recipe, TokenizerSection
from bert_cli.run.corpora import corpora_of
from bert_cli.tasks import Task, find_task
from bert_cli.tasks.base import MINIMAL_PAIRS

# What a recipe may say that its objective would never read; saying it is a mistake, not a wish.
_OF_PRETRAINING = (
    *(f"mask.{name}" for name in MaskSection.model_fields),
    *(f"data.{name}" for name in ("mix", "documents", "sentences", "words", "cross_documents", "lengths")),
    *("train.batch_sizes", "eval.mask_rate", "model.generator", "model.size"),
    *(f"tokenizer.{name}" for name in TokenizerSection.model_fields),
)
_OF_LABELS = (
    "model.reset_head",
    "data.labels",
    "train.label_smoothing",
    "train.class_weights",
    "eval.threshold",
    "data.quoting",
)
_OF_PAIRS = ("data.cross_documents",)
_OF_ELECTRA = ("mask.rtd_weight", "model.generator")
_UNREAD = {
    "fill-mask": (*_OF_LABELS, *_OF_ELECTRA),
    "fill-mask-nsp": (*_OF_LABELS, *_OF_ELECTRA, *_OF_PAIRS),
    "fill-mask-sop": (*_OF_LABELS, *_OF_ELECTRA, *_OF_PAIRS),
    "replaced-token-detection": _OF_LABELS,
    MINIMAL_PAIRS: (*_OF_LABELS, *_OF_PRETRAINING),
    "text-regression": (*_OF_PRETRAINING, "train.label_smoothing", "eval.threshold"),
    "text-classification": (*_OF_PRETRAINING, "eval.threshold"),
    "multi-label-classification": _OF_PRETRAINING,
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
    train = recipe.train
    stages = len(merged(recipe.data.lengths or {1: 1.0}, train.batch_sizes or {1: 1.0}))
    check_timed(train.amount, stages=stages, warmup=train.warmup)
    if task.pretrains:
        corpora_of(recipe, offline=offline)
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
