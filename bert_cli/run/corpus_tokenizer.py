"""The tokenizer of a pretraining run: the one that is named, else the model's, else one trained on the corpora."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bert_cli.data.cache import NO_ROOM, named_shortage, only_writer
from bert_cli.data.corpus import Part
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.shards import Corpus
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.schema import Recipe
from bert_cli.run.corpora import NamedCorpus
from bert_cli.run.prepare import Note, software
from bert_cli.run.tokenizer import Texts

MARKER = "tokenizer.json"


@dataclass(frozen=True)
class Home:
    """Where things made of corpora are kept.

    Attributes:
        read: where they are looked for first.
        write: where new ones are made; the same, but for a look that leaves nothing behind.
    """

    read: Path
    write: Path

    def folder(self, cache: str, name: str, marker: str) -> Path:
        """A folder of a cache where it is whole, which `marker` says, else where it is to be made."""
        found = self.read / cache / name
        return found if (found / marker).is_file() else self.write / cache / name


def tokenizer_folder(
    recipe: Recipe,
    corpora: Sequence[NamedCorpus],
    located: Located | None,
    *,
    texts: Callable[[NamedCorpus], Sequence[Part]],
    home: Home,
    offline: bool,
    note: Note,
) -> Path:
    """Where the tokenizer is, which is trained first where there is none.

    Args:
        texts: what is to be read of a corpus.

    Raises:
        ResourceError: the disk is full (P021); nothing stays of a tokenizer that was being written.
    """
    if recipe.model.tokenizer is not None:
        return locate(recipe.model.tokenizer, offline=offline, weights=False).folder
    if located is not None:
        return located.folder
    prepared = next((corpus.prepared for corpus in corpora if corpus.prepared is not None), None)
    if prepared is not None:
        return Corpus.open(prepared).tokenizer_folder
    folder = home.folder("tokenizers", named(_shape(recipe, corpora)), MARKER)
    if not (folder / MARKER).is_file():
        _train(recipe, [part for corpus in corpora for part in texts(corpus)], folder, note=note)
    return folder


def _shape(recipe: Recipe, corpora: Sequence[NamedCorpus]) -> Mapping[str, object]:
    """All that shapes a tokenizer trained on the corpora."""
    return {
        "fingerprints": {name: value for corpus in corpora for name, value in corpus.fingerprints.items()},
        "tokenizer": recipe.tokenizer.model_dump(),
        "settings": CorpusSettings.of(recipe.data).as_dict(),
        "max_length": recipe.data.max_length,
        "software": software(),
    }


def _train(recipe: Recipe, parts: Sequence[Part], folder: Path, *, note: Note) -> None:
    from bert_cli.models.tokenizer import train_tokenizer

    wanted = recipe.tokenizer
    with named_shortage(folder, help=NO_ROOM):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(folder.parent / f".lock-{folder.name}"):
            if (folder / MARKER).is_file():
                return
            note(f"training a {wanted.kind} tokenizer of {wanted.vocab_size} tokens")
            train_tokenizer(
                Texts(parts, recipe.data),
                folder,
                kind=wanted.kind,
                vocab_size=wanted.vocab_size,
                lowercase=wanted.lowercase,
                max_length=recipe.data.max_length,
            )


def named(shape: object) -> str:
    """The name of a folder that this, as JSON has it, has shaped."""
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:32]
