"""From a pretraining recipe to blocks of tokens, with a tokenizer trained on the corpora where none is named.

Each corpus is tokenised once, whatever is learnt from it later; blocks of a length are an index over its tokens. The
documents to score on are held out of every corpus, the same ones in each run.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from bert_cli.data.blocks import Blocks, BlockStore, cut_blocks, held_out
from bert_cli.data.cache import MARKERS, evict, only_writer, touch
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import corpus_identity, prepare_corpus_folder
from bert_cli.data.shards import Corpus
from bert_cli.data.split import Split
from bert_cli.data.store import Store
from bert_cli.env import cache_dir
from bert_cli.errors import DataError, ModelError, UsageError
from bert_cli.families.base import Prepared
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.schema import AUTO_SHARE, Recipe
from bert_cli.run.corpora import NamedCorpus, corpora_of
from bert_cli.run.find import require_task
from bert_cli.run.prepare import Note, software
from bert_cli.run.shards import tokenizer_files
from bert_cli.run.tokenizer import Texts

if TYPE_CHECKING:
    from bert_cli.objectives.frame import Frame

MLM = "fill-mask"
NSP = "fill-mask-nsp"
PAIRS = (NSP, "fill-mask-sop")


def prepare_corpus(
    recipe: Recipe, *, offline: bool = False, note: Note = lambda _: None, keep: bool = True, whole: str | None = None
) -> Prepared:
    """Prepare a pretraining recipe.

    Args:
        keep: leave tokens, blocks and a trained tokenizer in the cache for the next run.
        whole: take all documents, as the split of this name; none are held out of others.

    Raises:
        ModelError: the tokenizer has no mask token (L031).
        DataError: fewer than two documents (D084), and see `corpora_of`, `prepare_corpus_folder`.
    """
    from bert_cli.models.build import load_tokenizer
    from bert_cli.objectives.frame import Frame
    from bert_cli.objectives.pairs import check_documents

    task, corpora = require_task(recipe), corpora_of(recipe, offline=offline)
    located = None
    if recipe.model.name is not None:
        located = locate(
            recipe.model.name, revision=recipe.model.revision, allow_bin=recipe.model.allow_bin, offline=offline
        )
    with ExitStack() as stack:
        # Maps stay readable after their files are gone.
        home = cache_dir() if keep else Path(stack.enter_context(TemporaryDirectory(prefix="bertctl-")))
        folder = _tokenizer_folder(recipe, corpora, located, home=home, offline=offline, note=note)
        tokenizer = load_tokenizer(folder)
        if tokenizer.mask_token_id is None:
            raise ModelError(
                "L031",
                "the tokenizer has no mask token",
                where=str(folder),
                help="use the tokenizer of a masked language model",
            )
        prepare = _Preparation(recipe, folder, tokenizer, home, note)
        opened = [prepare.corpus(corpus) for corpus in corpora]
        for corpus in opened:
            touch(corpus.folder / MARKERS["corpora"])
        cut = _Cut(recipe, corpora, opened, Frame.of(tokenizer), home / "blocks", task.objective in PAIRS, whole)
        splits = cut.splits()
        if keep:
            cut_now = {blocks.folder for split in splits.values() for blocks in split.blocks}
            evict(home, keep={corpus.folder for corpus in opened} | cut_now)
    if task.objective == NSP:
        for split in splits.values():
            check_documents(split)
    fingerprints = {name: value for corpus in corpora for name, value in corpus.fingerprints.items()}
    made_by = tokenizer_files(folder, tokenizer).digest
    facts: dict[str, Any] = {
        "labels": None,
        "columns": {},
        "fingerprints": fingerprints,
        "tokenizer": made_by,
        "doubts": [],
    }
    place = None if located is None else located.folder
    return Prepared(recipe, task, tokenizer, None, place, located=located, store=Store(splits, facts))


@dataclass(frozen=True)
class _Preparation:
    """How corpora become tokens: in their own folder, or in one of the cache."""

    recipe: Recipe
    folder: Path
    tokenizer: Any
    home: Path
    note: Note

    def corpus(self, corpus: NamedCorpus) -> Corpus:
        """The tokens of a corpus, made where they are not there yet."""
        made_from = tokenizer_files(self.folder, self.tokenizer)
        if corpus.prepared is not None:
            found = Corpus.open(corpus.prepared)
            found.require_tokenizer(made_from.digest)
            check_settings(self.recipe, found)
            return found
        settings = CorpusSettings.of(self.recipe.data)
        name = _named(corpus_identity(corpus.parts, made_from, settings))
        return prepare_corpus_folder(
            self.home / "corpora" / name,
            corpus.parts,
            self.tokenizer,
            made_from=made_from,
            settings=settings,
            note=self.note,
        )


def check_settings(recipe: Recipe, corpus: Corpus) -> None:
    """Refuse what a recipe says about reading text where the text has been read before, and otherwise.

    Raises:
        DataError: a setting is neither the default nor that of the tokens (D066).
    """
    made, asked, usual = (
        _flat(settings)
        for settings in (
            corpus.facts["settings"],
            CorpusSettings.of(recipe.data).as_dict(),
            CorpusSettings.of(Recipe().data).as_dict(),
        )
    )
    other = [name for name, value in asked.items() if value not in (usual[name], made.get(name))]
    if other:
        raise DataError(
            "D066",
            "this corpus was prepared with other settings",
            where=str(corpus.folder),
            key="data.source",
            found=", ".join(f"{name}: {asked[name]}" for name in other),
            allowed=", ".join(f"{name}: {made.get(name)}" for name in other),
            help="leave them out, or prepare the text anew: bertctl data prepare",
        )


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings by name; those of reading stand one level deeper."""
    return {**{name: value for name, value in settings.items() if name != "reading"}, **settings["reading"]}


@dataclass(frozen=True)
class _Cut:
    """How tokens become the blocks of each split."""

    recipe: Recipe
    corpora: Sequence[NamedCorpus]
    opened: Sequence[Corpus]
    frame: Frame
    cache: Path
    pairs: bool
    whole: str | None

    def splits(self) -> dict[str, BlockStore]:
        data = self.recipe.data
        longest = [data.max_length]
        shortest = min([*data.lengths, *longest])
        if self.frame.room(shortest, pair=self.pairs) < 2:
            raise UsageError(
                "R034",
                "a block has no room for two tokens beside the special ones",
                key="data.lengths" if data.lengths else "data.max_length",
                found=shortest,
                allowed=f"at least {2 + shortest - self.frame.room(shortest, pair=self.pairs)}",
                help="data.max_length=128",
            )
        if self.whole is not None:
            return {self.whole: self._split(longest, [None] * len(self.opened), which=False)}
        share = data.validation_share or AUTO_SHARE
        masks = [self._held_out(corpus, named, share) for corpus, named in zip(self.opened, self.corpora, strict=True)]
        return {
            "train": self._split(list(data.lengths) or longest, masks, which=False),
            "validation": self._split(longest, masks, which=True),
        }

    def _held_out(self, corpus: Corpus, named: NamedCorpus, share: float) -> np.ndarray:
        # A segment of another document is to be found on either side.
        n, least = corpus.n_documents, 2 if self.recipe.task == NSP else 1
        if n < 2 * least:
            wanted = (
                "four documents, two to learn from and two"
                if least == 2
                else "two documents, one to learn from and one"
            )
            raise DataError(
                "D084",
                f"{'a corpus of sentence pairs' if least == 2 else 'a corpus'} needs {wanted} to score on",
                where=named.name,
                key="data.source",
                found=f"{n} document{'' if n == 1 else 's'}",
                allowed="documents with blank lines between them, or one to a file with data.documents=files",
                help="put a blank line between the documents",
            )
        # The same documents for every seed: scores of several runs, and of runs that go on from others, compare.
        return held_out(n, max(share, least / n), 0)

    def _split(self, lengths: list[int], masks: Sequence[np.ndarray | None], *, which: bool) -> BlockStore:
        """The blocks of each length over each corpus; `which` of its documents is said as in `cut_blocks`."""
        data = self.recipe.data
        parts: list[list[Blocks]] = [
            [
                cut_blocks(
                    corpus,
                    self.frame.room(length, pair=self.pairs),
                    cache=self.cache,
                    by="sentences" if self.pairs else "tokens",
                    cross=data.cross_documents,
                    held_out=mask,
                    which=which,
                )
                for corpus, mask in zip(self.opened, masks, strict=True)
            ]
            for length in lengths
        ]
        documents = sum(
            corpus.n_documents if mask is None else int((mask == which).sum())
            for corpus, mask in zip(self.opened, masks, strict=True)
        )
        facts = {
            "origin": self.corpora[0].name if len(self.corpora) == 1 else f"{len(self.corpora)} corpora",
            "held_out": documents / sum(corpus.n_documents for corpus in self.opened) if which else None,
            "documents": documents,
            "empty_texts": 0,
            "truncated": 0,
            "lost_tokens": 0,
        }
        special = self.frame.two.size if self.pairs else self.frame.one.size
        return BlockStore(parts, special=special, facts=facts)


def _tokenizer_folder(
    recipe: Recipe,
    corpora: Sequence[NamedCorpus],
    located: Located | None,
    *,
    home: Path,
    offline: bool,
    note: Note,
) -> Path:
    """The tokenizer that is named, else the model's, else that of prepared tokens, else one trained on the text."""
    if recipe.model.tokenizer is not None:
        return locate(recipe.model.tokenizer, offline=offline, weights=False).folder
    if located is not None:
        return located.folder
    prepared = next((corpus.prepared for corpus in corpora if corpus.prepared is not None), None)
    if prepared is not None:
        return Corpus.open(prepared).tokenizer_folder
    return _trained_tokenizer(recipe, corpora, home=home, note=note)


def _trained_tokenizer(recipe: Recipe, corpora: Sequence[NamedCorpus], *, home: Path, note: Note) -> Path:
    from bert_cli.models.tokenizer import train_tokenizer

    wanted, settings = recipe.tokenizer, CorpusSettings.of(recipe.data)
    shape = {
        "fingerprints": {name: value for corpus in corpora for name, value in corpus.fingerprints.items()},
        "tokenizer": wanted.model_dump(),
        "settings": settings.as_dict(),
        "max_length": recipe.data.max_length,
        "software": software(),
    }
    folder = home / "tokenizers" / _named(shape)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with only_writer(folder.parent / f".lock-{folder.name}"):
        if (folder / "tokenizer.json").is_file():
            return folder
        note(f"training a {wanted.kind} tokenizer of {wanted.vocab_size} tokens")
        train_tokenizer(
            Texts([part for corpus in corpora for part in corpus.parts], recipe.data),
            folder,
            kind=wanted.kind,
            vocab_size=wanted.vocab_size,
            lowercase=wanted.lowercase,
            max_length=recipe.data.max_length,
        )
    return folder


def _named(shape: object) -> str:
    return hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode()).hexdigest()[:32]


def baseline(prepared: Prepared) -> str:
    """What a model reaches that knows only how often each token comes: a loss which stays there has learnt nothing.

    Estimated from blocks of the training and the validation split, spread over them evenly.
    """
    train, held = (
        _sample(prepared.store.splits[name], most) for name, most in (("train", 16_384), ("validation", 4_096))
    )
    loss = unigram_loss(
        np.bincount(train, minlength=len(prepared.tokenizer)), held, special_ids=prepared.tokenizer.all_special_ids
    )
    term = "loss" if prepared.task.objective == MLM else "mlm_loss"
    return f"knowing only how often each token comes gives {term} {loss:.2f} (perplexity {math.exp(loss):.0f})"


def _sample(split: Split, most: int) -> np.ndarray:
    """The tokens of at most so many blocks. Shape: `[T]`."""
    assert isinstance(split, BlockStore)
    return split.content(np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64)).ids


def unigram_loss(counts: np.ndarray, ids: np.ndarray, *, special_ids: Sequence[int]) -> float:
    """Mean negative log-likelihood, nats, of tokens under their frequencies, each counted once more than it came.

    Shapes: counts `[V]`, ids `[T]`; special tokens are left out of both.
    """
    ordinary = np.setdiff1d(np.arange(len(counts)), np.asarray(special_ids))
    smoothed = counts.astype(np.float64) + 1
    logs = np.log(smoothed) - math.log(smoothed[ordinary].sum())
    known = ids[~np.isin(ids, np.asarray(special_ids))]
    return float(-logs[known].mean()) if len(known) else math.nan
