"""Whether what a recipe names exists: task, model, data.

Runs before torch is imported, so a typing mistake or a missing download costs half a second. Returns or raises; nothing
is read but names, and what the hub has to give is fetched.
"""

from __future__ import annotations

from bert_cli.data.budget import check_timed, merged
from bert_cli.errors import UsageError, raise_all
from bert_cli.models.locate import locate
from bert_cli.recipe.load import Loaded
from bert_cli.recipe.schema import MaskSection, ModelSection, Recipe, TokenizerSection
from bert_cli.run.corpora import corpora_of
from bert_cli.tasks import Task, find_task
from bert_cli.tasks.base import MASKED, MINIMAL_PAIRS, PRETRAINING, REPLACED

_CLASSES = ("text-classification", "multi-label-classification")
_TEXTS = (*_CLASSES, "text-regression")
_TOKENS, _QUESTIONS, _CHOICES = "token-classification", "question-answering", "multiple-choice"
_SIMILARITY, _RANKING = "sentence-similarity", "text-ranking"
_LABELLED = (*_TEXTS, _TOKENS, _QUESTIONS, _CHOICES, _SIMILARITY, _RANKING)

# Which objectives read a key that not all of them read; saying it to another one is a mistake, not a wish.
_READERS: dict[str, tuple[str, ...]] = {
    **{f"mask.{name}": PRETRAINING for name in MaskSection.model_fields},
    **{f"tokenizer.{name}": PRETRAINING for name in TokenizerSection.model_fields},
    **{f"data.{name}": PRETRAINING for name in ("mix", "documents", "sentences", "words", "lengths")},
    **dict.fromkeys(("train.batch_sizes", "eval.mask_rate", "model.size"), PRETRAINING),
    **dict.fromkeys(("mask.rtd_weight", "model.generator"), (REPLACED,)),
    "data.cross_documents": (MASKED, REPLACED),
    "data.quoting": (*_LABELLED, MINIMAL_PAIRS),
    "data.labels": (*_TEXTS, _TOKENS, _CHOICES),
    "model.reset_head": (*_TEXTS, _TOKENS, _QUESTIONS, _CHOICES, _RANKING),
    "train.label_smoothing": (*_CLASSES, _CHOICES),
    "train.class_weights": _TEXTS,
    "eval.threshold": ("multi-label-classification", _QUESTIONS),
    "data.stride": (*_TEXTS, _TOKENS, _QUESTIONS),
    "data.aggregate": _TEXTS,
    "data.scheme": (_TOKENS,),
    **dict.fromkeys(("eval.n_best", "eval.max_answer_length"), (_QUESTIONS,)),
    **dict.fromkeys(("data.negatives", "train.loss"), (_SIMILARITY, _RANKING)),
    **dict.fromkeys(("model.pooling", "train.scale", "train.margin"), (_SIMILARITY,)),
    "eval.depth": (_SIMILARITY, _RANKING),
}


def check_keys(recipe: Recipe) -> None:
    """Refuse keys that would change nothing for this task.

    Raises:
        UsageError: one is set to something else than its default (U016).
    """
    errors = []
    objective = require_task(recipe).objective
    for key in (key for key, readers in _READERS.items() if objective not in readers):
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


def reads(objective: str, key: str) -> bool:
    """Whether a recipe key changes anything for an objective."""
    return objective in _READERS.get(key, (objective,))


def find(recipe: Recipe, *, offline: bool = False, model: bool = True) -> None:
    """Refuse a recipe whose task, model or data cannot be found, before anything heavy is imported.

    Args:
        model: False where the model is that of a stage, which may not have been trained yet.
    """
    from bert_cli.data.source import find_sources

    task = require_training(recipe)
    check_keys(recipe)
    train = recipe.train
    stages = len(merged(recipe.data.lengths or {1: 1.0}, train.batch_sizes or {1: 1.0}))
    check_timed(train.amount, stages=stages, warmup=train.warmup)
    if task.pretrains:
        corpora_of(recipe, offline=offline)
    else:
        model_of(recipe)
        find_sources(task, recipe.data, offline=offline)
    if model and recipe.model.name is not None:
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


def require_training(recipe: Recipe) -> Task:
    """The recipe's task, which must be one to learn from.

    Raises:
        UsageError: see `require_task`; or nothing is learnt from it (U006).
    """
    task = require_task(recipe)
    if "train" not in task.splits and not task.pretrains:
        raise UsageError(
            "U006",
            f"the task {task.name} measures a model, and nothing is trained on it",
            key="task",
            found=task.name,
            allowed="a task to train on: bertctl task ls",
            help=f"bertctl eval MODEL --task {task.name} --split {next(iter(task.splits))}",
        )
    return task


def check_start(loaded: Loaded) -> None:
    """Refuse the shape of a new model beside the name of a trained one, which would win without a word.

    Raises:
        UsageError: both are given (U004).
    """
    model = loaded.recipe.model
    if model.name is None or not is_shape(model):
        return
    key = f"model.config.{next(iter(model.config))}" if model.config else "model.size"
    shape = [f"model.size {model.size}"] if model.size else []
    shape += [f"model.config with {', '.join(model.config)}"] if model.config else []
    undo = " ".join(f"model.{name}=" for name in ("config", "size") if getattr(model, name))
    raise UsageError(
        "U004",
        "model.name is a model to start from, model.size and model.config are one from scratch",
        where=loaded.origins[key].place or None,
        key=key,
        found=f"{model.name}, and {' and '.join(shape)}",
        allowed="one of the two",
        help=f"{undo} goes on from the model; leave the model out to make a new one",
    )


def is_shape(model: ModelSection) -> bool:
    """Whether a new model is described."""
    return bool(model.size or model.config)


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
