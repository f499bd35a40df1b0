"""From a recipe to tokens: finds task, model folder and data, and opens (or writes) the token store.

Everything that can be wrong with names, data and labels is found here, before torch computes anything and before a run
folder exists. With a warm cache it costs the hashing of the data files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bert_cli import __version__
from bert_cli.data.store import open_or_write, write_split
from bert_cli.env import cache_dir
from bert_cli.errors import ModelError
from bert_cli.families import labelled
from bert_cli.families.base import Prepared, Reading, Request
from bert_cli.files import digest
from bert_cli.inspect.examine import doubts_of
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.schema import Recipe
from bert_cli.run.find import model_of, require_task
from bert_cli.tasks import Task

if TYPE_CHECKING:
    from bert_cli.data.source import Source

STORE_VERSION = 4
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "*.model")

Note = Callable[[str], None]


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of everything a tokenizer is read from."""
    files = sorted({file for pattern in TOKENIZER_FILES for file in folder.glob(pattern) if file.is_file()})
    return hashlib.sha256("\n".join(f"{file.name} {digest(file)}" for file in files).encode()).hexdigest()


def prepare_rows(
    recipe: Recipe,
    *,
    offline: bool = False,
    note: Note = lambda _: None,
    splits: tuple[str, ...] | None = None,
    model_labels: tuple[str, ...] | None = None,
    file_split: str = "train",
    require_labels: tuple[str, ...] | None = None,
    keep: bool = True,
) -> Prepared:
    """Prepare a recipe whose data are labelled rows.

    Args:
        splits: which splits to read; None means train and all validation splits.
        model_labels: class names of an already trained model, which the data must use.
        file_split: the split that a single data file stands for.
        require_labels: splits that must have labels; None means all that are read.
        keep: leave the tokens in the cache for the next run.
    """
    from bert_cli.data.source import find_sources

    task = require_task(recipe)
    located = locate(
        model_of(recipe), revision=recipe.model.revision, allow_bin=recipe.model.allow_bin, offline=offline
    )
    tokenizer_folder = _tokenizer_folder(recipe, located, offline=offline)
    sources = find_sources(task, recipe.data, offline=offline, file_split=file_split)
    if model_labels is None and not recipe.model.reset_head:
        model_labels = _head_of(located, task, recipe)
    if splits is None:
        splits = training_splits(sources)
    labelled_splits = splits if require_labels is None else require_labels
    request = Request(recipe, task, sources, splits, labelled_splits, model_labels)
    fingerprints = fingerprints_of(sources, (*splits, recipe.data.validation_split))
    # What a split is called is shown with its scores, so a file of the same bytes elsewhere has a store of its own.
    origins = {name: sources[name].origin for name in fingerprints}
    wanted = {"splits": splits, "labels": model_labels, "needed": labelled_splits, "origins": origins}
    key = store_key(recipe, task, tokenizer_folder, fingerprints, wanted)

    from bert_cli.models.build import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)

    def write(folder: Path) -> dict[str, Any]:
        note("tokenising")
        return {**_write_rows(folder, request, tokenizer, located.folder), "fingerprints": fingerprints}

    store = open_or_write(cache_dir(), key, write, keep=keep)
    for doubt in store.facts["doubts"]:
        note(doubt)
    labels = tuple(store.facts["labels"]) if store.facts["labels"] else None
    return Prepared(recipe, task, tokenizer, labels, located.folder, located=located, store=store)


def training_splits(sources: Mapping[str, Source]) -> tuple[str, ...]:
    """Train, the validation split that selects, and those that are scored beside it."""
    return ("train", "validation", *sorted(name for name in sources if name.startswith("validation_")))


def labels_in_data(recipe: Recipe, *, offline: bool = False) -> tuple[str, ...] | None:
    """The class names that data bring themselves, whatever a model knows; None where there are no classes."""
    from bert_cli.data.source import find_sources

    task = require_task(recipe)
    sources = find_sources(task, recipe.data, offline=offline)
    splits = training_splits(sources)
    return labelled(task.objective).load(Request(recipe, task, sources, splits, splits)).labels


def fingerprints_of(sources: Mapping[str, Source], splits: tuple[str | None, ...]) -> dict[str, str]:
    """The fingerprint of each source that shapes the examples, by its own name or that of its file.

    Held-out rows and label names come from the training split, so it counts even where another one is read.
    """
    read = {"train", *splits}
    return {name: source.fingerprint() for name, source in sorted(sources.items()) if read & {name, source.stem}}


def _write_rows(folder: Path, request: Request, tokenizer: Any, model: Path) -> dict[str, Any]:
    """Read, check and tokenise the splits into `folder`; the facts of the store."""
    family = labelled(request.task.objective)
    loaded = family.load(request)
    reading = Reading(request.recipe, request.task, tokenizer, loaded.labels, model)
    for name, rows in loaded.splits.items():
        facts = {
            "origin": rows.origin,
            "examples": len(rows),
            "empty_texts": rows.empty_texts,
            "held_out": rows.held_out,
        }
        write_split(folder / f"{name}.arrow", family.encode(rows, reading), facts)
    looked_at = [rows.contents(loaded.labels) for rows in loaded.splits.values()]
    return {
        "labels": loaded.labels,
        "columns": loaded.columns,
        "doubts": (*loaded.doubts, *doubts_of(looked_at)),
        "rows": {contents.name: contents.digest() for contents in looked_at},
    }


def _tokenizer_folder(recipe: Recipe, located: Located, *, offline: bool) -> Path:
    if recipe.model.tokenizer is None:
        return located.folder
    return locate(recipe.model.tokenizer, offline=offline, weights=False).folder


def _head_of(located: Located, task: Task, recipe: Recipe) -> tuple[str, ...] | None:
    """Labels of the checkpoint's own head, so that training goes on with it; None where it starts afresh.

    Raises:
        ModelError: the head has other labels than the task (L030).
    """
    from bert_cli.models.heads import head_labels, same_labels, unnamed

    kind = labelled(task.objective).head
    if not kind.named or kind.suffix is None:
        return None
    head = head_labels(located.config, kind.suffix)
    wanted = recipe.data.labels if recipe.data.labels != "auto" else task.labels
    if head is None or (wanted is None and not unnamed(head)):
        return head
    if wanted is None or not same_labels(head, wanted):
        raise ModelError(
            "L030",
            "the checkpoint's head has other labels than the task",
            where=str(located.folder),
            key="model.reset_head",
            found=", ".join(head[:8]),
            allowed=", ".join(wanted[:8]) if wanted else "a head whose outputs have names",
            help="model.reset_head=true starts a fresh head",
        )
    return head


def software() -> list[str]:
    """Versions of what turns text into tokens; another one may do it differently."""
    return [__version__, *(metadata.version(name) for name in ("tokenizers", "transformers"))]


def store_key(
    recipe: Recipe, task: Task, tokenizer_folder: Path, fingerprints: Mapping[str, str], extra: Mapping[str, Any]
) -> str:
    """The name of a token store: a digest of all that shapes it, the format of stores included.

    Args:
        fingerprints: of the source of each split.
        extra: what else differs between stores of one recipe.
    """
    data = recipe.data.model_dump(mode="json", exclude={"source"})
    shape = {
        "version": STORE_VERSION,
        "software": software(),
        "objective": task.objective,
        "columns": {role: list(names) for role, names in task.columns.items()},
        "labels": task.labels,
        "aliases": dict(task.label_aliases),
        "range": task.score_range,
        "prepare": None if task.prepare is None else task.name,
        "scheme": task.scheme,
        "loss": recipe.train.loss,
        "depth": recipe.eval.depth,
        "data": data,
        "seed": recipe.train.seed,
        "tokenizer": tokenizer_digest(tokenizer_folder),
        "fingerprints": dict(fingerprints),
        **extra,
    }
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:32]
