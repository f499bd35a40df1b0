"""What is run before a recipe: the recipes that its key `stages` names, in turn.

Each stage goes on from the model of the one before, the first one from the recipe's own model, or from scratch where
its own recipe gives a shape. All share the recipe's model, tokenizer, seed, precision and devices; everything else is
a stage's own. Reads recipe files and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bert_cli.errors import BertctlError, ErrorGroup, UsageError
from bert_cli.recipe.files import IN_RUN, RecipeFile, find_recipe
from bert_cli.recipe.load import Loaded, load_recipe
from bert_cli.recipe.schema import ModelSection, Recipe
from bert_cli.run.find import check_start, find, is_shape, require_training
from bert_cli.run.places import beside, with_source

MAX_STAGES = 16
_BEFORE = ModelSection(name="the model of the stage before")


@dataclass(frozen=True)
class Stage:
    """One recipe of a chain, the last one included.

    Attributes:
        number: its place, from 1.
        name: what its recipe is called, without folder and suffix.
        recipe: its own, with what all stages share. `model.name` is where the first one starts; in the others it stands
            for a model that is not there yet.
        title: how messages begin that are about it; empty for the recipe itself.
        file: where its recipe stands; empty for the recipe itself.
    """

    number: int
    name: str
    recipe: Recipe
    title: str = ""
    file: str = ""

    def named(self) -> AbstractContextManager[None]:
        """Let errors inside the block say which stage they are about, and where its keys stand."""
        return about(self.title, self.file)


@dataclass(frozen=True)
class Chain:
    """The stages of a recipe, and the recipe itself as the last one of them."""

    stages: tuple[Stage, ...]
    last: Stage

    @property
    def scratch(self) -> bool:
        """Whether the first stage makes a new model."""
        return is_shape(self.stages[0].recipe.model)

    @property
    def all(self) -> tuple[Stage, ...]:
        """The stages and the recipe, in the order in which they are run."""
        return (*self.stages, self.last)


@contextmanager
def about(title: str, file: str = "") -> Iterator[None]:
    """Let errors inside the block begin with a title, unless it is empty; their codes and exit codes stay.

    Args:
        file: the place of an error that names a key and no other place.
    """
    try:
        yield
    except BertctlError as error:
        for each in error.errors if isinstance(error, ErrorGroup) else (error,):
            each.message = f"{title}: {each.message}" if title else each.message
            if each.where is None and each.key is not None and file:
                each.where = file
        raise


def going_on(recipe: Recipe, name: str, *, reset_head: bool = False) -> Recipe:
    """The recipe with the model of another run to start from."""
    start: dict[str, Any] = {"name": name, "revision": None, "reset_head": recipe.model.reset_head or reset_head}
    return recipe.model_copy(update={"model": recipe.model.model_copy(update=start)})


def find_all(loaded: Loaded, *, offline: bool = False) -> None:
    """Refuse a recipe whose task, model or data cannot be found, or those of one of its stages.

    Raises:
        UsageError: see `find`, `check_start` and `chain_of`; or a model is named that no stage starts from (U105).
    """
    recipe = loaded.recipe
    check_start(loaded)
    if not recipe.stages:
        find(recipe, offline=offline)
        return
    chain = chain_of(recipe)
    origin = loaded.origins["model.name"]
    if chain.scratch and recipe.model.name is not None and origin.kind in ("file", "override", "flag"):
        raise UsageError(
            "U105",
            f"{chain.stages[0].title} starts from scratch, so nothing starts from this model",
            where=origin.place,
            key="model.name",
            found=recipe.model.name,
            allowed="no model, or a first stage that gives no model.size and no model.config",
            help="leave the model out",
        )
    for stage in chain.all:
        with stage.named():
            find(stage.recipe, offline=offline, model=stage.number == 1)


def chain_of(recipe: Recipe) -> Chain:
    """The stages of a recipe, those that stages themselves have before them included.

    Raises:
        UsageError: a recipe cannot be found (R001), is one of its own stages (U100), there are too many (U101), one
            has another tokenizer (U102), starts anew where a model has been trained already (U103), names no text to
            learn from (U104), or learns nothing (U006); and mistakes in a stage's recipe.
    """
    found = list(_listed(recipe.stages, ()))
    stages = []
    for number, (file, own) in enumerate(found, 1):
        name = _name(file.path)
        stage = Stage(number, name, own, f"stage {number} of {len(found)} ({name})", file.name)
        with stage.named():
            _check_text(own)
            stages.append(replace(stage, recipe=with_source(_inheriting(own, recipe, first=number == 1))))
    _check_goes_on(recipe.model, "this recipe has stages, and starts from scratch all the same")
    last = recipe.model_copy(update={"stages": (), "model": _started(recipe.model, _BEFORE)})
    return Chain(tuple(stages), Stage(len(found) + 1, str(recipe.task), last))


def _listed(names: tuple[str, ...], trail: tuple[Path, ...]) -> Iterator[tuple[RecipeFile, Recipe]]:
    """File and recipe of each stage; stages of a stage come before it. `trail` holds the files that led here."""
    count = 0
    for given in names:
        file = find_recipe(given, where=given, key="stages")
        real = file.path.resolve()
        if real in trail:
            raise UsageError(
                "U100",
                "a recipe is one of its own stages",
                where=str(trail[-1]),
                key="stages",
                found=given,
                allowed="recipes that do not name each other in a circle",
                help=f"take {Path(given).name} out of the stages of {trail[-1].name}",
            )
        loaded = load_recipe(given)
        check_start(loaded)
        own = loaded.recipe
        for listed in (*_listed(own.stages, (*trail, real)), (file, beside(own, file.path.parent))):
            count += 1
            if count > MAX_STAGES:
                raise UsageError(
                    "U101",
                    f"more than {MAX_STAGES} stages",
                    key="stages",
                    found=", ".join(names[:8]),
                    allowed=f"at most {MAX_STAGES}, those of stages included",
                    help="split the recipe, and go on from a run with --model RUN",
                )
            yield listed


def _name(path: Path) -> str:
    """What a recipe is called; one of a run folder as the folder."""
    name = path.parent.name if path.name == IN_RUN else path.stem
    return re.sub(r"[^\w.-]+", "-", name).strip("-") or "stage"


def _inheriting(own: Recipe, recipe: Recipe, *, first: bool) -> Recipe:
    """A stage's recipe with what all stages share."""
    anew = first and is_shape(own.model)
    start = _BEFORE
    if first:
        start = own.model if anew or recipe.model.name is None else recipe.model
    else:
        _check_goes_on(own.model, "only the first stage may start from scratch: the model before it would be lost")
    _check_tokenizer(own.model, recipe.model, anew=anew)
    model = _started(own.model, start)
    tokenizer = recipe.model.tokenizer or (own.model.tokenizer if anew else None)
    shared = {"seed": recipe.train.seed, "precision": recipe.train.precision}
    return own.model_copy(
        update={
            "stages": (),
            "model": model.model_copy(update={"tokenizer": tokenizer}),
            "train": own.train.model_copy(update=shared),
            "dist": recipe.dist,
        }
    )


def _check_text(own: Recipe) -> None:
    """Refuse pretraining without text, which `BERTCTL_DATA`, the place of labelled data, would otherwise stand in for.

    Raises:
        UsageError: no text is named (U104), or nothing is learnt (U006).
    """
    if require_training(own).pretrains and own.data.source is None and not own.data.mix:
        raise UsageError(
            "U104",
            "its recipe names no text to learn from",
            key="data.source",
            allowed="data.source in the recipe of the stage; --data is that of the recipe which names the stages",
            help="make the stage a file of your own: `extends:` this recipe, with `data: {source: corpus.txt}`",
        )


def _started(model: ModelSection, start: ModelSection) -> ModelSection:
    """The section with the model that another one starts from."""
    return model.model_copy(update={key: getattr(start, key) for key in ("name", "revision", "allow_bin")})


def _check_goes_on(model: ModelSection, message: str) -> None:
    """Refuse a new model where one has been trained.

    Raises:
        UsageError: its shape is given (U103).
    """
    if is_shape(model):
        key = "size" if model.size else "config"
        raise UsageError(
            "U103",
            message,
            key=f"model.{key}",
            found=model.size or ", ".join(f"{name}={value}" for name, value in model.config.items()),
            allowed="in the recipe of the first stage alone",
            help=f"leave model.{key} out, or put it into the first stage",
        )


def _check_tokenizer(own: ModelSection, shared: ModelSection, *, anew: bool) -> None:
    """Refuse a tokenizer that only one stage would have.

    Raises:
        UsageError: it is not the one that all share (U102).
    """
    same = (None, shared.tokenizer, os.path.abspath(shared.tokenizer or ""))
    if own.tokenizer in same or (anew and shared.tokenizer is None):
        return
    raise UsageError(
        "U102",
        "a stage with a tokenizer of its own could not be gone on from",
        key="model.tokenizer",
        found=own.tokenizer,
        allowed=shared.tokenizer or "the model's own, as in all other stages",
        help=f"model.tokenizer={own.tokenizer} in the recipe that names the stages, for all of them",
    )
