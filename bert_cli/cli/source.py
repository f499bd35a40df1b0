"""What the words behind `bertctl data …` mean: a recipe, keys of one, or the place of the data itself."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bert_cli.recipe.load import Loaded


def load_named(
    words: list[str] | None, flags: Mapping[str, object], *, task: str | None = None, verb: str = "pretrain"
) -> Loaded:
    """The recipe that the words and flags make; a word that is no recipe and no key is the place of the data.

    Args:
        flags: dotted key -> value, None where it was not given; `data.source` among them.
        task: what `--task` says; without it and without a recipe, `fill-mask` where `verb` is `pretrain`.
        verb: whose shipped recipes are looked at first.

    Raises:
        UsageError: two places or two recipes (U005).
    """
    from pathlib import Path

    from bert_cli.recipe.files import shipped_recipes
    from bert_cli.recipe.keys import known_keys
    from bert_cli.recipe.load import load_recipe

    words = words or []
    names = {short for name in shipped_recipes() for short in (name, name.rpartition("/")[2])}
    overrides = [word for word in words if "=" in word or word in known_keys().fields]
    others = [word for word in words if word not in overrides]
    recipes = [
        word for word in others if word.endswith((".yaml", ".yml")) or (word in names and not Path(word).exists())
    ]
    sources = [word for word in others if word not in recipes]
    if flags["data.source"] is not None:
        sources.append(str(flags["data.source"]))
    _check_one("RECIPE", recipes)
    _check_one("SOURCE", sources)
    flags = {**flags, "data.source": sources[0] if sources else None}
    recipe = recipes[0] if recipes else None
    if task is None and recipe is None and verb == "pretrain":
        task = "fill-mask"
    return load_recipe(recipe, task=task, overrides=overrides, flags=flags, verb=verb)


def _check_one(key: str, given: list[str]) -> None:
    from bert_cli.errors import UsageError

    if len(given) < 2:
        return
    place = key == "SOURCE"
    raise UsageError(
        "U005",
        "data are read from one place at a time" if place else "only one recipe can be given",
        key=key,
        found=" ".join(given),
        allowed="one file, folder or 'GLOB' in quotes" if place else "one recipe",
        help=f"put '{os.path.dirname(given[0]) or '.'}/*' in quotes for all files of a folder"
        if place
        else f"give {given[0]} alone",
    )
