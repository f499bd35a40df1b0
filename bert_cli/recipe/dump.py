"""Writes a recipe out: as YAML that is read back equal, and as a hash that names it.

Every key is written, in the order of the schema, so a dumped recipe does not change when a default does. Floats are
written with all their digits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping

from bert_cli.recipe.scalars import flow
from bert_cli.recipe.schema import Recipe


def _lines(values: Mapping[str, object], indent: str) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            yield f"{indent}{flow(key)}:"
            yield from _lines(value, indent + "  ")
        else:
            yield f"{indent}{flow(key)}: {flow(value)}"


def dump_recipe(recipe: Recipe) -> str:
    """YAML with every key of the recipe; `load_recipe` makes an equal recipe of it."""
    return "\n".join(_lines(recipe.model_dump(), "")) + "\n"


def recipe_hash(recipe: Recipe) -> str:
    """SHA-256 of the recipe's canonical JSON, as 64 hexadecimal digits."""
    text = json.dumps(recipe.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
