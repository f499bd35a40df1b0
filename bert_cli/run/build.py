"""From a prepared recipe to model, objective, optimizer and plan.

The same function serves a training run, a dry run and scoring, so all three see the same objects.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from bert_cli.data.blocks import BlockStore
from bert_cli.data.budget import Stage, check_timed, merged, phases
from bert_cli.data.order import Mixed, Shuffled
from bert_cli.data.plan import Plan
from bert_cli.families import family_of
from bert_cli.families.base import Prepared
from bert_cli.models.attention import choose_attention, is_unpadded
from bert_cli.models.build import check_fits, load_model, new_model
from bert_cli.models.cheap import make_cheap
from bert_cli.models.electra import load_electra, new_electra, parts
from bert_cli.models.params import ParamGroup, freeze, groups
from bert_cli.models.sizes import size_config
from bert_cli.objectives.base import Objective
from bert_cli.objectives.electra import ReplacedTokenDetection
from bert_cli.objectives.frame import has_segments
from bert_cli.recipe.schema import Recipe
from bert_cli.run.prepare import Note
from bert_cli.runtime import choose_device
from bert_cli.train.memory import fitting_tokens
from bert_cli.train.optim import adamw, names
from bert_cli.train.schedule import VIRTUAL_STEPS, Schedule


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
    return "token_type_ids" in tokenizer.model_input_names and has_segments(model)


def build_model(prepared: Prepared, *, trained: bool = False, note: Note = lambda _: None) -> Any:
    """The model with the head that the task needs, new weights drawn from the recipe's seed.

    Args:
        trained: the checkpoint must hold a head already; it is neither drawn nor redrawn.
    """
    recipe, task = prepared.recipe, prepared.task
    family = family_of(task.objective)
    if task.objective == ReplacedTokenDetection.name:
        model = _electra(prepared, trained=trained, note=note)
    elif prepared.located is None:
        model = new_model(
            shape_of(recipe),
            auto_class=family.head.auto_class,
            tokenizer=prepared.tokenizer,
            seed=recipe.train.seed,
            dropout=recipe.model.dropout,
            attention=recipe.model.attention,
        )
    else:
        model = load_model(
            prepared.located,
            auto_class=family.head.auto_class,
            reset_head=recipe.model.reset_head and not trained,
            need_head=trained,
            dropout=recipe.model.dropout,
            attention=recipe.model.attention,
            seed=recipe.train.seed,
            note=note,
            **family.model_settings(prepared),
        )
    for part in parts(model):
        check_fits(part, prepared.tokenizer, max_length=recipe.data.max_length)
        reason = choose_attention(part, recipe.model.attention, device=choose_device(recipe.dist.device))
        if reason is not None:
            note(f"padded batches, sorted by length: {reason}")
    return model


def _electra(prepared: Prepared, *, trained: bool, note: Note) -> Any:
    """Generator and discriminator, new or from where `located` says the discriminator lies."""
    recipe, located = prepared.recipe, prepared.located
    given: dict[str, Any] = {
        "generator": recipe.model.generator,
        "dropout": recipe.model.dropout,
        "attention": recipe.model.attention,
        "seed": recipe.train.seed,
    }
    if located is None:
        return new_electra(shape_of(recipe), tokenizer=prepared.tokenizer, **given)
    both = located.folder.parent
    folder = both if (both / "generator").is_dir() and (both / "discriminator") == located.folder else located.folder
    return load_electra(folder, trained=trained, note=note, **given)


def shape_of(recipe: Recipe) -> dict[str, Any]:
    """The configuration of a model from scratch: the named size, and the recipe's own keys over it."""
    size = {} if recipe.model.size is None else size_config(recipe.model.size)
    return {**size, **recipe.model.config}


def build_objective(prepared: Prepared, model: Any, *, training: bool = False) -> Objective:
    """The task's objective; class weights and label smoothing belong to training alone, as do the recipe's masks."""
    task, part = prepared.task, parts(model)[-1]
    return family_of(task.objective).objective(
        prepared,
        # What learns from raw text numbers the texts by itself, whatever the tokenizer says.
        takes_type_ids=has_segments(part) if task.pretrains else takes_type_ids(part, prepared.tokenizer),
        training=training,
        train=prepared.store.splits["train"] if training else None,
    )


def _micro_batch_tokens(prepared: Prepared, model: Any, processes: int) -> int:
    recipe, longest = prepared.recipe, int(prepared.store.splits["train"].lengths.max())
    wanted, device = recipe.train.micro_batch_tokens, choose_device(recipe.dist.device)
    if wanted != "auto":
        return wanted
    return fitting_tokens(model, device=device, longest=longest, processes=processes)


def _plan(prepared: Prepared, *, micro_batch_tokens: int) -> Plan:
    """Every step of the run: its stages of length and batch size, over as much data as the budget says."""
    train, section, store = prepared.recipe.train, prepared.recipe.data, prepared.store.splits["train"]
    if isinstance(store, BlockStore):
        lengths = section.lengths or {section.max_length: 1.0}
        weights = tuple(section.mix.values()) or (1.0,)
        orders = {
            length: Mixed(ranges, weights, train.seed) for length, ranges in zip(lengths, store.ranges, strict=True)
        }
        parts = merged(lengths, train.batch_sizes or {train.batch_size: 1.0})
        stages = [Stage(orders[length], batch_size, share) for length, batch_size, share in parts]
    else:
        stages = [Stage(Shuffled(len(store), train.seed), train.batch_size)]
    amount = train.amount
    check_timed(amount, stages=len(stages), warmup=train.warmup)
    return Plan(
        store.lengths,
        phases(stages, store.lengths, amount),
        train.seed,
        micro_batch_tokens,
        seconds=amount.value if amount.unit == "seconds" else None,
    )


def build(prepared: Prepared, *, note: Note = lambda _: None, processes: int = 1) -> Built:
    """Everything the engine takes, nothing trained yet, in one of so many processes that share this machine."""
    recipe = prepared.recipe
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
    plan = _plan(prepared, micro_batch_tokens=_micro_batch_tokens(prepared, model, processes))
    plan = replace(plan, unpadded=all(is_unpadded(part) for part in parts(model)))
    schedule = Schedule(
        recipe.train.schedule,
        recipe.train.lr,
        plan.total_steps or VIRTUAL_STEPS,
        recipe.train.warmup,
        recipe.train.decay_share,
    )
    scoring = build_objective(prepared, model)
    return Built(model, objective, scoring, parameter_groups, optimizer, plan, schedule)
