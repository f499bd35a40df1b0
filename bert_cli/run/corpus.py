"""From a pretraining recipe to tokens: a corpus as blocks, with a tokenizer trained on it where none is named."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bert_cli.data.store import open_or_write, write_split
from bert_cli.env import cache_dir
from bert_cli.errors import DataError, ModelError
from bert_cli.files import digest
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.schema import AUTO_SHARE, Recipe
from bert_cli.run.find import corpus_of, require_task
from bert_cli.run.prepare import Note, Prepared, software, store_key


def prepare_corpus(
    recipe: Recipe, *, offline: bool = False, note: Note = lambda _: None, keep: bool = True
) -> Prepared:
    """Prepare a pretraining recipe: a corpus as blocks of tokens; a tokenizer is trained where none is named."""
    from bert_cli.models.build import load_tokenizer

    task = require_task(recipe)
    files = corpus_of(recipe)
    located = None
    if recipe.model.name is not None:
        located = locate(
            recipe.model.name, revision=recipe.model.revision, allow_bin=recipe.model.allow_bin, offline=offline
        )
        if not _has_head(located):
            note("the MLM head is new: this model has none for masked words")
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
        key = store_key(recipe, task, folder, fingerprints, {"corpus": True})
    store = open_or_write(
        cache_dir() / "tokens",
        key,
        lambda draft: _write_corpus(draft, recipe, files, tokenizer, fingerprints, note=note),
        keep=keep,
    )
    return Prepared(recipe, task, located, tokenizer, store, None)


def _has_head(located: Located) -> bool:
    """Whether the checkpoint says that it holds a head for masked language modelling.

    ELECTRA's own pretraining head is that of its discriminator.
    """
    kinds = ("ForMaskedLM", "ForPreTraining")
    names = [str(name) for name in located.config.get("architectures") or ()]
    return any(name.endswith(kinds) and name != "ElectraForPreTraining" for name in names)


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
    share = recipe.data.validation_share or AUTO_SHARE
    train, held = holdout(np.zeros(len(documents), dtype=np.float32), share, seed=recipe.train.seed)
    origin = files[0].name if len(files) == 1 else f"{len(files)} files"
    for name, rows in (("train", train), ("validation", held)):
        chunks = encode_blocks(tokenizer, [documents[row] for row in rows], max_length=recipe.data.max_length)
        held_out = share if name == "validation" else None
        facts = {"origin": origin, "empty_texts": 0, "documents": len(rows), "held_out": held_out}
        write_split(folder / f"{name}.arrow", chunks, facts)
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
        "max_length": recipe.data.max_length,
        "software": software(),
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
