"""From a pretraining recipe to blocks of tokens, with a tokenizer trained on the corpora where none is named.

Each corpus is tokenised once, whatever is learnt from it later; blocks of a length are an index over its tokens. The
documents to score on are held out of every corpus, the same ones in each run.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from bert_cli.data.blocks import BlockStore
from bert_cli.data.cache import MARKERS, evict, touch
from bert_cli.data.corpus import Part
from bert_cli.data.corpus_sample import Sample, beginning
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import corpus_identity, prepare_corpus_folder
from bert_cli.data.shards import Corpus, repeated
from bert_cli.data.split import Split
from bert_cli.data.store import Store
from bert_cli.env import cache_dir
from bert_cli.errors import DataError, ModelError
from bert_cli.families.base import Prepared
from bert_cli.models.locate import Located, locate
from bert_cli.recipe.schema import Recipe
from bert_cli.run.corpora import NamedCorpus, corpora_of, in_order_of_content, reordered
from bert_cli.run.corpus_tokenizer import Home, named, tokenizer_folder
from bert_cli.run.find import require_task
from bert_cli.run.prepare import Note
from bert_cli.run.shards import tokenizer_files
from bert_cli.tasks.base import MASKED, NEXT


def prepare_corpus(
    recipe: Recipe, *, offline: bool = False, note: Note = lambda _: None, keep: bool = True, whole: str | None = None
) -> Prepared:
    """Prepare a pretraining recipe.

    Args:
        keep: leave tokens, blocks and a trained tokenizer in the cache for the next run. Without it, what is not in
            the cache already is made of the beginning of a large corpus alone, which then stands for all of it.
        whole: take all documents, as the split of this name; none are held out of others.

    Returns:
        The recipe's corpora in the order of what they hold, and all else as it was.

    Raises:
        ModelError: the tokenizer has no mask token (L031), and see `check_model`.
        UsageError: see `check_model` and `check_blocks`.
        DataError: fewer than two documents (D084), and see `corpora_of`, `prepare_corpus_folder`.
        ResourceError: the disk is full (P021).
    """
    from bert_cli.objectives.frame import Frame
    from bert_cli.objectives.pairs import TERMS, check_documents
    from bert_cli.run.cut import Cut
    from bert_cli.run.room import check_blocks, check_model

    task, corpora = require_task(recipe), in_order_of_content(corpora_of(recipe, offline=offline))
    recipe = reordered(recipe, corpora)
    located = _located(recipe, offline=offline)
    with ExitStack() as stack:
        # Maps stay readable after their files are gone.
        new = cache_dir() if keep else Path(stack.enter_context(TemporaryDirectory(prefix="bertctl-")))
        look = _Look(recipe, Home(cache_dir(), new), keep, note)
        folder = tokenizer_folder(
            recipe, corpora, located, texts=look.parts, home=look.home, offline=offline, note=note
        )
        tokenizer = _tokenizer(folder)
        frame, pairs = Frame.of(tokenizer), task.objective in TERMS
        check_model(recipe, located, tokenizer, note=note)
        check_blocks(recipe, frame)
        opened = [look.tokens(corpus, folder, tokenizer) for corpus in corpora]
        names = [look.name(corpus, found) for corpus, found in zip(corpora, opened, strict=True)]
        cut = Cut(recipe, opened, names, frame, new / "blocks", None if keep else cache_dir() / "blocks", pairs)
        splits = cut.splits() if whole is None else cut.whole(whole)
        if keep:
            for corpus in opened:
                touch(corpus.folder / MARKERS["corpora"])
            cut_now = {blocks.folder for split in splits.values() for blocks in split.blocks}
            evict(new, keep={corpus.folder for corpus in opened} | cut_now)
    if task.objective == NEXT:
        for split in splits.values():
            check_documents(split)
    facts = _facts(corpora, tokenizer_files(folder, tokenizer).digest, mixed=bool(recipe.data.mix))
    return Prepared(recipe, task, tokenizer, None, located=located, store=Store(splits, facts))


def _facts(corpora: Sequence[NamedCorpus], made_by: str, *, mixed: bool) -> dict[str, Any]:
    """What the rows come from: the corpora, in this order, and the tokenizer of this digest."""
    weights = {"mix": " : ".join(f"{corpus.weight:g}" for corpus in corpora)} if mixed else {}
    return {
        "labels": None,
        "columns": {},
        "fingerprints": {name: value for corpus in corpora for name, value in corpus.fingerprints.items()},
        "tokenizer": made_by,
        "doubts": [],
        **weights,
    }


def _located(recipe: Recipe, *, offline: bool) -> Located | None:
    """The model to go on from, where one is named."""
    model = recipe.model
    if model.name is None:
        return None
    return locate(model.name, revision=model.revision, allow_bin=model.allow_bin, offline=offline)


def _tokenizer(folder: Path) -> Any:
    from bert_cli.models.build import load_tokenizer

    tokenizer = load_tokenizer(folder)
    if tokenizer.mask_token_id is None:
        raise ModelError(
            "L031",
            "the tokenizer has no mask token",
            where=str(folder),
            help="use the tokenizer of a masked language model",
        )
    return tokenizer


@dataclass(frozen=True)
class _Look:
    """How corpora become tokens: those in a folder of their own or in the cache, else new ones.

    Attributes:
        keep: of all the text, for later runs; otherwise of its beginning.
    """

    recipe: Recipe
    home: Home
    keep: bool
    note: Note
    samples: dict[str, Sample] = field(default_factory=dict)

    def parts(self, corpus: NamedCorpus) -> Sequence[Part]:
        """The text of a corpus, as much of it as is to be read."""
        return corpus.parts if self.keep else self._sample(corpus).parts

    def _sample(self, corpus: NamedCorpus) -> Sample:
        if corpus.place not in self.samples:
            self.samples[corpus.place] = found = beginning(corpus.parts, CorpusSettings.of(self.recipe.data))
            if found.times > 1:
                size = f"{100 / found.times:.2g} % of it"
                self.note(f"{corpus.name} is large and not in the cache: its beginning, {size}, stands for the rest")
        return self.samples[corpus.place]

    def tokens(self, corpus: NamedCorpus, folder: Path, tokenizer: Any) -> Corpus:
        """The tokens of a corpus, made by the tokenizer in `folder` where they are not there yet."""
        made_from = tokenizer_files(folder, tokenizer)
        if corpus.prepared is not None:
            found = Corpus.open(corpus.prepared)
            found.require_tokenizer(made_from.digest)
            check_settings(self.recipe, found)
            return found
        settings = CorpusSettings.of(self.recipe.data)
        name = named(corpus_identity(corpus.parts, made_from, settings))
        place = self.home.folder("corpora", name, MARKERS["corpora"])
        if not self.keep and (place / MARKERS["corpora"]).is_file():
            return Corpus.open(place)
        found = prepare_corpus_folder(
            place, self.parts(corpus), tokenizer, made_from=made_from, settings=settings, note=self.note
        )
        return found if self.keep else repeated(found, self._sample(corpus).times)

    def name(self, corpus: NamedCorpus, found: Corpus) -> str:
        """What to call a corpus, which may be known by its beginning alone."""
        return corpus.name if found.facts.get("times", 1.0) == 1.0 else f"{corpus.name}, extrapolated"


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
    term = "loss" if prepared.task.objective == MASKED else "mlm_loss"
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
