"""What a run is made from besides its recipe, by sums: its data, and the model and tokenizer that it starts from.

A change of any byte of these changes its own sum and no other. Costs the hashing of all of them, 0.6 ms per MB.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bert_cli.data.source import find_sources
from bert_cli.files import digest
from bert_cli.models.locate import DISCRIMINATOR, GENERATOR, Located, locate
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import shape_of
from bert_cli.run.corpora import corpora_of
from bert_cli.run.find import require_task
from bert_cli.run.prepare import TOKENIZER_FILES, fingerprints_of, tokenizer_digest, training_splits
from bert_cli.tasks.base import REPLACED

_OF_A_MODEL = ("config.json", "*.safetensors", "*.safetensors.index.json", *TOKENIZER_FILES)


def data_facts(recipe: Recipe, *, offline: bool = False) -> Mapping[str, str]:
    """The fingerprint of everything that is read, by its name."""
    task = require_task(recipe)
    if task.pretrains:
        corpora = corpora_of(recipe, offline=offline)
        return {name: value for corpus in corpora for name, value in corpus.fingerprints.items()}
    sources = find_sources(task, recipe.data, offline=offline)
    return fingerprints_of(sources, (*training_splits(sources), recipe.data.validation_split))


def model_facts(recipe: Recipe, located: Located | None, *, offline: bool = False) -> dict[str, Any]:
    """The model that a run starts from: whose it is, and the SHA-256 of each file that shapes it.

    Args:
        located: where it lies; None from scratch.
    """
    if located is None:
        facts: dict[str, Any] = {"from": "scratch", "config": shape_of(recipe)}
    else:
        facts = {
            "from": located.hub_id or "folder",
            "revision": located.revision,
            "sha256": _sums(recipe, located.folder),
        }
    if (tokenizer := tokenizer_facts(recipe, offline=offline)) is not None:
        facts["tokenizer"] = tokenizer
    return facts


def tokenizer_facts(recipe: Recipe, *, offline: bool = False) -> str | None:
    """The bytes of a tokenizer that is not the model's own."""
    name = recipe.model.tokenizer
    return None if name is None else tokenizer_digest(locate(name, offline=offline, weights=False).folder)


def _sums(recipe: Recipe, folder: Path) -> dict[str, str]:
    folders = {"": folder}
    if require_task(recipe).objective == REPLACED and folder.name == DISCRIMINATOR:
        # Of ELECTRA's two models, both are trained further.
        folders[f"{GENERATOR}/"] = folder.with_name(GENERATOR)
    files = {
        f"{prefix}{file.name}": file
        for prefix, each in folders.items()
        for pattern in _OF_A_MODEL
        for file in each.glob(pattern)
        if file.is_file()
    }
    return {name: digest(file) for name, file in sorted(files.items())}
