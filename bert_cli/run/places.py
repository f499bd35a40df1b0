"""Places that a recipe names, written out in full: it then means the same in another shell and folder."""

from __future__ import annotations

import os
from pathlib import Path

from bert_cli.recipe.schema import Recipe

_HUB = "hub:"


def with_source(recipe: Recipe) -> Recipe:
    """The recipe with the place of its data written out; where it names none, that of `BERTCTL_DATA`."""
    mix = {_absolute(place): weight for place, weight in recipe.data.mix.items()}
    source = None if mix else recipe.data.source or os.environ.get("BERTCTL_DATA") or None
    places = {"source": None if source is None else _absolute(source), "mix": mix}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update=places)})


def beside(recipe: Recipe, folder: Path) -> Recipe:
    """The recipe of a file in `folder`: data are looked for there, and a model or tokenizer that lies there is meant.

    Any other name of a model or tokenizer stays: it may be one on the hub.
    """

    def model(name: str | None) -> str | None:
        place = None if name is None else folder / Path(name).expanduser()
        return name if place is None or not place.is_dir() else os.path.abspath(place)

    mix = {_absolute(place, folder): weight for place, weight in recipe.data.mix.items()}
    source = None if recipe.data.source is None else _absolute(recipe.data.source, folder)
    models = {"name": model(recipe.model.name), "tokenizer": model(recipe.model.tokenizer)}
    return recipe.model_copy(
        update={
            "data": recipe.data.model_copy(update={"source": source, "mix": mix}),
            "model": recipe.model.model_copy(update=models),
        }
    )


def _absolute(place: str, folder: Path = Path()) -> str:
    # Links stay: the name says the format, and what a link leads to may have another.
    return place if place.startswith(_HUB) else os.path.abspath(folder / Path(place).expanduser())
