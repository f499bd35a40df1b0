"""The corpora that a pretraining recipe names: text to be tokenised, or tokens that have been made before.

Looking for them lists folders; nothing is read but the fingerprints, when they are asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from bert_cli.data.corpus import CorpusPart, find_corpus
from bert_cli.data.shards import MARKER, Corpus, is_prepared
from bert_cli.errors import UsageError, listing
from bert_cli.files import digest
from bert_cli.recipe.schema import Recipe


@dataclass(frozen=True)
class NamedCorpus:
    """One corpus of a recipe.

    Attributes:
        place: what the recipe calls it.
        weight: its weight in the stream; a single corpus has 1.
        parts: its files of text, or splits on the hub; none where it has been prepared.
        prepared: the folder of tokens, where it is one.
    """

    place: str
    weight: float
    parts: tuple[CorpusPart, ...] = ()
    prepared: Path | None = None

    @property
    def name(self) -> str:
        """In a few words, for tables and messages."""
        if self.prepared is not None:
            return self.prepared.name
        return self.parts[0].name if len(self.parts) == 1 else f"{len(self.parts)} files of {Path(self.place).name}"

    @property
    def files(self) -> dict[str, str]:
        """Name -> path, or the hub's name, of everything that shapes it."""
        if self.prepared is not None:
            return {self.prepared.name: str(self.prepared / MARKER)}
        return {part.name: str(part.path or f"hub:{part.name}") for part in self.parts}

    @cached_property
    def fingerprints(self) -> dict[str, str]:
        """Name -> SHA-256, or what stands for it on the hub. Reads every file of text once."""
        if self.prepared is not None:
            return {self.prepared.name: digest(self.prepared / MARKER)}
        return {part.name: part.fingerprint for part in self.parts}


def corpora_of(recipe: Recipe, *, offline: bool = False) -> list[NamedCorpus]:
    """The corpora of a pretraining recipe, in its order.

    Raises:
        UsageError: none is named (U013), neither a model to continue nor one to start (U014), a split where a corpus
            has none (U015).
        DataError: see `find_corpus` and `Corpus.open`.
    """
    if recipe.data.source is None and not recipe.data.mix:
        raise UsageError(
            "U013",
            "no corpus is named",
            key="data.source",
            allowed="a text file, a folder or pattern of them, a prepared folder, or hub:OWNER/NAME",
            help="--data corpus.txt",
        )
    if recipe.model.name is None and not recipe.model.config and recipe.model.size is None:
        raise UsageError(
            "U014",
            "neither a model to continue nor one to start from scratch is named",
            key="model",
            allowed="model.name, model.size, or model.config with model_type and sizes",
            help="--model google-bert/bert-base-uncased, or model.size=bert-mini",
        )
    if recipe.data.validation_split is not None:
        raise UsageError(
            "U015",
            "a corpus has no split of that name",
            key="data.validation",
            found=recipe.data.validation,
            allowed="auto (10%), or a share of the documents as '5%'",
            help="data.validation=5%",
        )
    mix: Mapping[str, float] = recipe.data.mix or {str(recipe.data.source): 1.0}
    found = [_corpus(place, weight, offline=offline) for place, weight in mix.items()]
    _check_names(found)
    return found


def in_order_of_content(corpora: Sequence[NamedCorpus]) -> list[NamedCorpus]:
    """Sorted by what they hold, so that the stream of a mixture does not depend on where its corpora lie.

    One corpus stays as it is; several are read once for their fingerprints.
    """
    if len(corpora) == 1:
        return list(corpora)
    return sorted(corpora, key=lambda corpus: sorted((value, name) for name, value in corpus.fingerprints.items()))


def reordered(recipe: Recipe, corpora: Sequence[NamedCorpus]) -> Recipe:
    """The recipe with its mixture in this order."""
    if not recipe.data.mix:
        return recipe
    mix = {corpus.place: corpus.weight for corpus in corpora}
    return recipe.model_copy(update={"data": recipe.data.model_copy(update={"mix": mix})})


def _corpus(place: str, weight: float, *, offline: bool) -> NamedCorpus:
    folder = Path(place).expanduser()
    if folder.is_dir() and is_prepared(folder):
        Corpus.open(folder)
        return NamedCorpus(place, weight, prepared=folder)
    return NamedCorpus(place, weight, parts=tuple(find_corpus(place, offline=offline)))


def _check_names(corpora: list[NamedCorpus]) -> None:
    """Files are recorded by name, so two of one name would be one."""
    names = [name for corpus in corpora for name in corpus.files]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise UsageError(
            "U087",
            "two files of the corpora have the same name",
            key="data.mix",
            found=listing(doubled, 4),
            allowed="a name of its own for each file",
            help="rename one of them, or prepare each corpus: bertctl data prepare",
        )
