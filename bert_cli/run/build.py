"""From a prepared recipe to model, objective, optimizer and plan.

The same function serves a training run, a dry run and scoring, so all three see the same objects.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

from bert_cli.data.plan import Plan, total_steps
from bert_cli.data.store import SplitStore
from bert_cli.errors import UsageError
from bert_cli.models.attention import choose_attention, is_unpadded
from bert_cli.models.build import check_fits, load_model, new_model
from bert_cli.models.cheap import make_cheap
from bert_cli.models.params import ParamGroup, freeze, groups
from bert_cli.objectives.base import Objective
from bert_cli.objectives.mlm import MaskedLanguageModelling
from bert_cli.objectives.sequence import PROBLEM_TYPES, SequenceObjective
from bert_cli.run.prepare import Note, Prepared
from bert_cli.runtime import choose_device
from bert_cli.train.memory import fitting_tokens
from bert_cli.train.optim import adamw, names
from bert_cli.train.schedule import Schedule


@dataclass(frozen=True)
class Built:
    """What the engine takes.

    Attributes:
        objective: what is minimised, class weights and label smoothing included.
        scoring: the same without them, so that scores of different recipes can be compared.
    """

    model: Any
    objective: Objective
    scoring: Objective
    groups: list[ParamGroup]
    optimizer: Any
    plan: Plan
    schedule: Schedule

    @property
    def parameter_names(self) -> list[str]:
        """Names in the optimizer's order."""
        return names(self.groups)


def takes_type_ids(model: Any, tokenizer: Any) -> bool:
    """Whether tokenizer and model agree on segment ids (RoBERTa-like models have one segment only)."""
    return (
        "token_type_ids" in tokenizer.model_input_names
        and getattr(model.config, "type_vocab_size", 0) >= 2
        and "token_type_ids" in inspect.signature(model.forward).parameters
    )


def build_model(prepared: Prepared, *, trained: bool = False, note: Note = lambda _: None) -> Any:
    """The model with the head that the task needs, new weights drawn from the recipe's seed.

    Args:
        trained: the checkpoint must hold a head already; it is neither drawn nor redrawn.
    """
    recipe, task = prepared.recipe, prepared.task
    if prepared.located is None:
        model = new_model(
            dict(recipe.model.config),
            auto_class=MaskedLanguageModelling.auto_class,
            vocab_size=len(prepared.tokenizer),
            pad_token_id=prepared.tokenizer.pad_token_id,
            seed=recipe.train.seed,
            dropout=recipe.model.dropout,
            attention=recipe.model.attention,
        )
    else:
        problem = PROBLEM_TYPES.get(task.objective)
        names = prepared.labels if problem != "regression" else ("score",)
        model = load_model(
            prepared.located,
            auto_class=SequenceObjective.auto_class if problem else MaskedLanguageModelling.auto_class,
            labels=names,
            problem_type=problem,
            reset_head=recipe.model.reset_head and not trained,
            need_head=trained,
            dropout=recipe.model.dropout,
            attention=recipe.model.attention,
            seed=recipe.train.seed,
        )
    check_fits(model, prepared.tokenizer, max_length=recipe.data.max_length)
    reason = choose_attention(model, recipe.model.attention, device=choose_device(recipe.dist.device))
    if reason is not None:
        note(f"padded batches, sorted by length: {reason}")
    return model


def build_objective(prepared: Prepared, model: Any, *, training: bool = False) -> Objective:
    """The task's objective; class weights and label smoothing belong to training alone."""
    recipe, task, tokenizer = prepared.recipe, prepared.task, prepared.tokenizer
    types = takes_type_ids(model, tokenizer)
    if task.objective == MaskedLanguageModelling.name:
        return MaskedLanguageModelling(
            pad_token_id=tokenizer.pad_token_id,
            mask_token_id=tokenizer.mask_token_id,
            special_ids=tokenizer.all_special_ids,
            vocab_size=len(tokenizer),
            takes_type_ids=types,
            rate=recipe.train.mask_rate,
            seed=recipe.train.seed,
        )
    return SequenceObjective(
        task.objective,
        pad_token_id=tokenizer.pad_token_id,
        takes_type_ids=types,
        label_smoothing=recipe.train.label_smoothing if training else 0.0,
        class_weights=_class_weights(prepared, prepared.store.splits["train"]) if training else None,
        threshold_metric=recipe.eval.metric or task.primary,
    )


def _micro_batch_tokens(prepared: Prepared, model: Any, processes: int) -> int:
    recipe, longest = prepared.recipe, int(prepared.store.splits["train"].lengths.max())
    wanted, device = recipe.train.micro_batch_tokens, choose_device(recipe.dist.device)
    if wanted != "auto":
        return wanted
    return fitting_tokens(model, device=device, longest=longest, processes=processes)


def _class_weights(prepared: Prepared, train: SplitStore) -> list[float] | None:
    wanted, labels = prepared.recipe.train.class_weights, prepared.labels
    if wanted == "none":
        return None
    if labels is None:
        raise UsageError(
            "U032",
            "a regression has no classes to weigh",
            key="train.class_weights",
            found=str(wanted),
            help="leave it out",
        )
    if not isinstance(wanted, str):
        if len(wanted) != len(labels):
            raise UsageError(
                "U031",
                "there must be one weight for each class",
                key="train.class_weights",
                found=f"{len(wanted)} weights",
                allowed=f"{len(labels)}: {', '.join(labels[:8])}",
                help="train.class_weights=balanced",
            )
        order = prepared.task_order or tuple(range(len(labels)))
        return [wanted[order.index(place)] for place in range(len(labels))]
    assert train.targets is not None
    if train.targets.ndim == 2:
        positive = np.maximum(train.targets.sum(axis=0), 1.0)
        return [float(weight) for weight in np.maximum(len(train) - positive, 1.0) / positive]
    count = np.maximum(np.bincount(train.targets, minlength=len(labels)), 1)
    return [float(weight) for weight in len(train) / (len(labels) * count)]


def build(prepared: Prepared, *, note: Note = lambda _: None, processes: int = 1) -> Built:
    """Everything the engine takes, nothing trained yet, in one of so many processes that share this machine."""
    recipe = prepared.recipe
    train = prepared.store.splits["train"]
    model = build_model(prepared, note=note)
    objective = build_objective(prepared, model, training=True)
    freeze(model, recipe.model.freeze)
    make_cheap(model)
    parameter_groups = groups(model, layer_decay=recipe.train.layer_decay)
    optimizer = adamw(
        parameter_groups,
        weight_decay=recipe.train.weight_decay,
        beta1=recipe.train.beta1,
        beta2=recipe.train.beta2,
        eps=recipe.train.eps,
    )
    steps = total_steps(len(train), recipe.train.batch_size, epochs=recipe.train.epochs, steps=recipe.train.steps)
    plan = Plan(
        train.lengths,
        recipe.train.batch_size,
        steps,
        recipe.train.seed,
        _micro_batch_tokens(prepared, model, processes),
        unpadded=is_unpadded(model),
    )
    schedule = Schedule(recipe.train.schedule, recipe.train.lr, steps, recipe.train.warmup, recipe.train.decay_share)
    scoring = build_objective(prepared, model)
    return Built(model, objective, scoring, parameter_groups, optimizer, plan, schedule)
