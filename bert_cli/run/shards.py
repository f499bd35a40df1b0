"""From a recipe to a prepared corpus: finds text and tokenizer, and tokenises the one with the other once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bert_cli.data.corpus import find_corpus
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import TokenizerFiles, prepare_corpus_folder
from bert_cli.data.shards import Corpus, is_prepared
from bert_cli.errors import UsageError
from bert_cli.models.locate import locate
from bert_cli.recipe.schema import DataSection, Recipe
from bert_cli.run.prepare import TOKENIZER_FILES, tokenizer_digest

Note = Callable[[str], None]

_NOT_OF_TEXT = ("truncation", "padding", "post_processor")
"""Parts of a tokenizer that act on sequences, of which a corpus has none."""


def prepare_source(
    source: str,
    folder: Path,
    *,
    data: DataSection,
    tokenizer_folder: Path,
    offline: bool = False,
    note: Note = lambda _: None,
) -> Corpus:
    """One corpus, tokenised into `folder` as the recipe's section `data` says; see `prepare_corpus_folder`.

    Raises:
        UsageError: the corpus is prepared already (U078).
    """
    from bert_cli.models.build import load_tokenizer

    tokenizer = load_tokenizer(tokenizer_folder)
    if is_prepared(Path(source).expanduser()):
        raise UsageError(
            "U078",
            "this corpus is already prepared",
            where=source,
            key="data.source",
            found="a folder of tokens",
            allowed="text, JSON lines or parquet",
            help=f"bertctl data stats {source} shows what it holds; bertctl pretrain bert-mini-wiki --data {source} "
            "learns from it",
        )
    return prepare_corpus_folder(
        folder,
        find_corpus(source, offline=offline),
        tokenizer,
        made_from=tokenizer_files(tokenizer_folder, tokenizer),
        settings=CorpusSettings.of(data),
        note=note,
    )


def prepare_recipe(recipe: Recipe, folder: Path, *, offline: bool = False, note: Note = lambda _: None) -> Corpus:
    """The corpus of a recipe with the tokenizer of its model, tokenised into `folder`.

    Raises:
        UsageError: the recipe names no tokenizer (U084), or see `source_of`.
    """
    source = source_of(recipe)
    name = recipe.model.tokenizer or recipe.model.name
    if name is None:
        raise UsageError(
            "U084",
            "no tokenizer is named",
            key="model.tokenizer",
            allowed="a hub id, a model folder or a tokenizer's folder",
            help="--tokenizer google-bert/bert-base-uncased, or one of your own: bertctl tokenizer train",
        )
    located = locate(
        name,
        revision=recipe.model.revision if recipe.model.tokenizer is None else None,
        offline=offline,
        weights=False,
    )
    return prepare_source(source, folder, data=recipe.data, tokenizer_folder=located.folder, offline=offline, note=note)


def source_of(recipe: Recipe) -> str:
    """The one corpus that a recipe names.

    Raises:
        UsageError: it names none (U013) or several (U079).
    """
    if recipe.data.mix:
        raise UsageError(
            "U079",
            "several corpora are prepared one after the other, each into a folder of its own",
            key="data.mix",
            found=", ".join(recipe.data.mix),
            allowed="one corpus",
            help="--data FILE data.mix=",
        )
    if recipe.data.source is None:
        raise UsageError(
            "U013",
            "no corpus is named",
            key="data.source",
            allowed="a text file, a folder or a pattern of them, or hub:OWNER/NAME",
            help="--data corpus.txt",
        )
    return recipe.data.source


def tokenizer_files(folder: Path, tokenizer: Any) -> TokenizerFiles:
    """What `tokenizer` was read from, the configuration that names its class included.

    It is named by how it cuts text: one saved again with another length or for another model makes the same tokens.
    """
    patterns = (*TOKENIZER_FILES, "config.json")
    files = {file for pattern in patterns for file in folder.glob(pattern) if file.is_file()}
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return TokenizerFiles(tuple(sorted(files)), tokenizer_digest(folder))
    kept = {name: part for name, part in json.loads(backend.to_str()).items() if name not in _NOT_OF_TEXT}
    kept["special"] = sorted(tokenizer.all_special_ids)
    named = hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()
    return TokenizerFiles(tuple(sorted(files)), named)
