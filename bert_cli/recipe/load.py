"""From files, `key=value` and flags to one frozen recipe, with the origin of every value.

Later layers win: defaults, what the recipe extends, the recipe (a file, else the task's shipped one), overrides,
flags. All mistakes of all layers are reported together, each with its place; text never becomes a number, and nothing
is read but the files that are named.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from bert_cli.recipe.dump import dump_recipe, recipe_hash
from bert_cli.recipe.files import RecipeFile, recipes_root, shipped_recipes
from bert_cli.recipe.keys import known_keys, schema_json
from bert_cli.recipe.layers import Layers, Origin
from bert_cli.recipe.schema import Recipe

__all__ = [
    "Loaded",
    "Origin",
    "dump_recipe",
    "load_recipe",
    "recipe_hash",
    "recipes_root",
    "schema_json",
    "shipped_recipes",
]


@dataclass(frozen=True)
class Loaded:
    """A recipe and the origin of each of its values by dotted key."""

    recipe: Recipe
    origins: dict[str, Origin]

    def rows(self) -> list[tuple[str, object, str]]:
        """Dotted key, value and origin of every value, in the order of the schema."""
        return [(key, value, str(self.origins[key])) for key, value in _values(self.recipe)]


def _values(recipe: Recipe) -> Iterable[tuple[str, object]]:
    keys = known_keys()
    for name in keys.fields:
        value: object = recipe
        for part in name.split("."):
            value = getattr(value, part)
        if name in keys.mappings and isinstance(value, Mapping) and value:
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        else:
            yield name, value


def load_recipe(
    path: str | None = None,
    *,
    task: str | None = None,
    overrides: Sequence[str] = (),
    flags: Mapping[str, object] | None = None,
    verb: str = "finetune",
) -> Loaded:
    """The recipe that all layers make together.

    Args:
        path: a recipe file, or the name of a shipped recipe (`finetune/sst2`, `sst2`).
        task: `--task`; without `path`, the shipped recipe `VERB/TASK` is the lowest layer where there is one.
        overrides: `key=value`, the value in YAML.
        flags: dotted key -> value; None means that the flag was not given.
        verb: where short names of shipped recipes are looked up first.

    Raises:
        UsageError: one mistake.
        ErrorGroup: several, in reading order.
    """
    layers = Layers(verb)
    if path is not None:
        layers.add_named(path)
    elif task is not None and (name := f"{verb}/{task}") in (shipped := shipped_recipes()):
        layers.add_root(RecipeFile(shipped[name], name, True))
    for text in overrides:
        layers.add_override(text)
    for key, value in {"task": task, **(flags or {})}.items():
        if value is not None:
            layers.add_flag(key, value)
    recipe = layers.recipe()
    origins = {key: layers.origins.get(key, Origin("default")) for key, _ in _values(recipe)}
    return Loaded(recipe, origins)
