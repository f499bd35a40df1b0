"""From a recipe to tokens: finds task, model folder and data, and opens (or writes) the token store.

Everything that can be wrong with names, data and labels is found here, before torch computes anything and before a run
folder exists. With a warm cache it costs the hashing of the data files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bert_cli.data.store import Store, open_or_write, write_split
from bert_cli.env import cache_dir
from bert_cli.errors import DataError, ModelError, UsageError
from bert_cli.files import digest
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.schema import Recipe
from bert_cli.tasks import Task, find_task

STORE_VERSION = 1
TOKENIZER_FILES = ("tokenizer*", "vocab*", "merges*", "special_tokens_map.json", "added_tokens.json", "*.model")

Note = Callable[[str], None]


@dataclass(frozen=True)
class Prepared:
    """A recipe whose names have all been found.

    Attributes:
        task: with the recipe's columns and labels worked in.
        labels: class names in the order of the model's outputs; None where there are no classes.
        located: the encoder's folder, or None for a model from scratch.
        tokenizer_folder: where the tokenizer was read from.
    """

    recipe: Recipe
    task: Task
    located: Located | None
    tokenizer: Any
    tokenizer_folder: Path
    store: Store
    labels: tuple[str, ...] | None


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


def tokenizer_digest(folder: Path) -> str:
    """SHA-256 over the names and bytes of everything a tokenizer is read from."""
    files = sorted({file for pattern in TOKENIZER_FILES for file in folder.glob(pattern) if file.is_file()})
    return hashlib.sha256("\n".join(f"{file.name} {digest(file)}" for file in files).encode()).hexdigest()


def prepare_sequence(
    recipe: Recipe,
    *,
    offline: bool = False,
    note: Note = lambda _: None,
    splits: tuple[str, ...] | None = None,
    model_labels: tuple[str, ...] | None = None,
    file_split: str = "train",
    require_labels: tuple[str, ...] = ("train", "validation"),
    keep: bool = True,
) -> Prepared:
    """Prepare a text classification, multi-label or regression recipe.

    Args:
        splits: which splits to read; None means train and all validation splits.
        model_labels: class names of an already trained model, which the data must use.
        file_split: the split that a single data file stands for.
        require_labels: splits that must have labels.
        keep: leave the tokens in the cache for the next run.
    """
    from bert_cli.data.examples import load_examples
    from bert_cli.data.source import find_sources

    task = require_task(recipe)
    if recipe.model.name is None:
        raise UsageError(
            "U012",
            "no model is named",
            key="model.name",
            allowed="a hub id, a model folder or a run folder",
            help="--model google-bert/bert-base-uncased",
        )
    located = locate(
        recipe.model.name, revision=recipe.model.revision, allow_bin=recipe.model.allow_bin, offline=offline
    )
    tokenizer_folder = _tokenizer_folder(recipe, located, offline=offline)
    sources = find_sources(task, recipe.data, offline=offline, file_split=file_split)
    if model_labels is None and not recipe.model.reset_head:
        model_labels = _head_of(located, task, recipe)
    if splits is None:
        more = sorted(name for name in sources if name.startswith("validation_"))
        splits = ("train", "validation", *more)
    # Held-out rows and label names come from the training split, so it counts even where another one is read.
    used = {name: source for name, source in sources.items() if name in splits or name == "train"}
    fingerprints = {name: used[name].fingerprint() for name in sorted(used)}
    key = _key(
        recipe,
        task,
        tokenizer_folder,
        fingerprints,
        {"splits": splits, "labels": model_labels, "needed": require_labels},
    )

    from bert_cli.models.build import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)

    def write(folder: Path) -> dict[str, Any]:
        from bert_cli.objectives.sequence import encode_chunks

        note("tokenising")
        examples = load_examples(
            task,
            recipe.data,
            sources=sources,
            seed=recipe.train.seed,
            labels=model_labels,
            require_labels=require_labels,
            splits=splits,
        )
        for name, split in examples.splits.items():
            columns: dict[str, Any] = {"text": split.texts, "line": split.lines}
            if split.pairs is not None:
                columns["text_pair"] = split.pairs
            if split.targets is not None:
                columns["target"] = split.targets
            chunks = encode_chunks(
                tokenizer, split.texts, split.pairs, columns=columns, max_length=recipe.data.max_length
            )
            write_split(folder / f"{name}.arrow", chunks, {"origin": split.origin, "empty_texts": split.empty_texts})
        return {
            "labels": examples.labels,
            "columns": examples.columns,
            "fingerprints": fingerprints,
        }

    store = open_or_write(cache_dir() / "tokens", key, write, keep=keep)
    labels = tuple(store.facts["labels"]) if store.facts["labels"] else None
    return Prepared(recipe, task, located, tokenizer, tokenizer_folder, store, labels)


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

    if task.objective == "text-regression":
        return None
    head = head_labels(located.config, "ForSequenceClassification")
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


def _key(
    recipe: Recipe, task: Task, tokenizer_folder: Path, fingerprints: Mapping[str, str], extra: Mapping[str, Any]
) -> str:
    data = recipe.data.model_dump(mode="json", exclude={"source"})
    shape = {
        "version": STORE_VERSION,
        "objective": task.objective,
        "columns": {role: list(names) for role, names in task.columns.items()},
        "labels": task.labels,
        "aliases": dict(task.label_aliases),
        "range": task.score_range,
        "prepare": None if task.prepare is None else task.name,
        "data": data,
        "seed": recipe.train.seed,
        "tokenizer": tokenizer_digest(tokenizer_folder),
        "fingerprints": dict(fingerprints),
        **extra,
    }
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:32]


def prepare_corpus(
    recipe: Recipe, *, offline: bool = False, note: Note = lambda _: None, keep: bool = True
) -> Prepared:
    """Prepare a pretraining recipe: a corpus as blocks of tokens; a tokenizer is trained where none is named."""
    from bert_cli.data.corpus import corpus_files
    from bert_cli.models.build import load_tokenizer

    task = require_task(recipe)
    if recipe.data.source is None:
        raise UsageError(
            "U013",
            "no corpus is named",
            key="data.source",
            allowed="a text file or a folder of them",
            help="--data corpus.txt",
        )
    if recipe.model.name is None and not recipe.model.config:
        raise UsageError(
            "U014",
            "neither a model to continue nor one to start from scratch is named",
            key="model",
            allowed="model.name, or model.config with model_type and sizes",
            help="--model google-bert/bert-base-uncased, or model.config.model_type=bert",
        )
    if recipe.data.validation != "auto" and not recipe.data.validation.endswith("%"):
        raise UsageError(
            "U015",
            "a corpus has no split of that name",
            key="data.validation",
            found=recipe.data.validation,
            allowed="auto (10%), or a share of the documents as '5%'",
            help="data.validation=5%",
        )
    located = None
    if recipe.model.name is not None:
        located = locate(
            recipe.model.name, revision=recipe.model.revision, allow_bin=recipe.model.allow_bin, offline=offline
        )
    files = corpus_files(Path(recipe.data.source).expanduser())
    fingerprints = {file.name: digest(file) for file in files}
    with ExitStack() as stack:
        if recipe.model.tokenizer is not None:
            folder = locate(recipe.model.tokenizer, offline=offline, weights=False).folder
        elif located is not None:
            folder = located.folder
        else:
            home = cache_dir() if keep else Path(stack.enter_context(TemporaryDirectory(prefix="bertctl-")))
            folder = _trained_tokenizer(recipe, files, fingerprints, home=home, note=note)
        tokenizer = load_tokenizer(folder)
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "L031",
                "the tokenizer has no mask token",
                where=str(folder),
                help="use the tokenizer of a masked language model",
            )
        key = _key(recipe, task, folder, fingerprints, {"corpus": True})
    store = open_or_write(
        cache_dir() / "tokens",
        key,
        lambda draft: _write_corpus(draft, recipe, files, tokenizer, fingerprints, note=note),
        keep=keep,
    )
    return Prepared(recipe, task, located, tokenizer, folder, store, None)


def _write_corpus(
    folder: Path, recipe: Recipe, files: list[Path], tokenizer: Any, fingerprints: Mapping[str, str], *, note: Note
) -> dict[str, Any]:
    from bert_cli.data.corpus import read_documents
    from bert_cli.data.holdout import holdout
    from bert_cli.objectives.mlm import encode_blocks

    note(f"tokenising {', '.join(file.name for file in files[:4])}")
    documents = [document for file in files for document in read_documents(file, encoding=recipe.data.encoding)]
    documents = documents[: recipe.data.limit]
    if len(documents) < 2:
        raise DataError(
            "D084",
            "a corpus needs two documents, one to learn from and one to score on",
            where=", ".join(file.name for file in files[:4]),
            key="data.source",
            found=f"{len(documents)} document",
            allowed="documents with blank lines between them",
            help="put a blank line between the documents",
        )
    share = 0.1 if recipe.data.validation == "auto" else float(recipe.data.validation.rstrip("%")) / 100
    train, held = holdout(np.zeros(len(documents), dtype=np.float32), share, seed=recipe.train.seed)
    for name, rows in (("train", train), ("validation", held)):
        chunks = encode_blocks(tokenizer, [documents[row] for row in rows], max_length=recipe.data.max_length)
        write_split(
            folder / f"{name}.arrow", chunks, {"origin": files[0].name, "empty_texts": 0, "documents": len(rows)}
        )
    return {"labels": None, "columns": {}, "fingerprints": dict(fingerprints)}


def _trained_tokenizer(
    recipe: Recipe, files: list[Path], fingerprints: Mapping[str, str], *, home: Path, note: Note
) -> Path:
    from bert_cli.data.corpus import read_documents
    from bert_cli.models.tokenizer import train_wordpiece

    shape = {
        "fingerprints": dict(fingerprints),
        "tokenizer": recipe.tokenizer.model_dump(),
        "encoding": recipe.data.encoding,
    }
    name = hashlib.sha256(json.dumps(shape, sort_keys=True).encode()).hexdigest()[:32]
    folder = home / "tokenizers" / name
    if not (folder / "tokenizer.json").is_file():
        note(f"training a WordPiece tokenizer of {recipe.tokenizer.vocab_size} tokens")
        texts: Iterator[str] = (text for file in files for text in read_documents(file, encoding=recipe.data.encoding))
        train_wordpiece(
            texts,
            folder,
            vocab_size=recipe.tokenizer.vocab_size,
            lowercase=recipe.tokenizer.lowercase,
            max_length=recipe.data.max_length,
        )
    return folder
