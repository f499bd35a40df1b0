"""From the tokens of corpora to the blocks of each split: which documents are held out, and how long blocks are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bert_cli.data.blocks import Blocks, BlockStore, cut_blocks, held_out
from bert_cli.data.shards import Corpus
from bert_cli.errors import DataError
from bert_cli.objectives.frame import Frame
from bert_cli.recipe.schema import AUTO_SHARE, Recipe
from bert_cli.run.find import require_task
from bert_cli.tasks.base import NEXT


@dataclass(frozen=True)
class Cut:
    """How tokens become blocks.

    Attributes:
        names: what messages call the corpora.
        cache, also: as of `cut_blocks`.
        pairs: blocks are of whole sentences, for two segments.
    """

    recipe: Recipe
    corpora: Sequence[Corpus]
    names: Sequence[str]
    frame: Frame
    cache: Path
    also: Path | None
    pairs: bool

    def whole(self, name: str) -> dict[str, BlockStore]:
        """All documents as one split."""
        return {name: self._split([self.recipe.data.max_length], [None] * len(self.corpora), which=False)}

    def splits(self) -> dict[str, BlockStore]:
        """`train`, in blocks of each length, and `validation`, in those of the longest.

        Raises:
            DataError: too few documents (D084).
        """
        data = self.recipe.data
        share, longest = data.validation_share or AUTO_SHARE, [data.max_length]
        masks = [self._held_out(corpus, name, share) for corpus, name in zip(self.corpora, self.names, strict=True)]
        return {
            "train": self._split(list(data.lengths) or longest, masks, which=False),
            "validation": self._split(longest, masks, which=True),
        }

    def _held_out(self, corpus: Corpus, name: str, share: float) -> np.ndarray:
        # A segment of another document is to be found on either side.
        n, least = corpus.n_documents, 2 if require_task(self.recipe).objective == NEXT else 1
        if n < 2 * least:
            wanted = (
                "four documents, two to learn from and two"
                if least == 2
                else "two documents, one to learn from and one"
            )
            raise DataError(
                "D084",
                f"{'a corpus of sentence pairs' if least == 2 else 'a corpus'} needs {wanted} to score on",
                where=name,
                key="data.source",
                found=f"{n} document{'' if n == 1 else 's'}",
                allowed="documents with blank lines between them, or one to a file with data.documents=files",
                help="put a blank line between the documents",
            )
        # The same documents for every seed: scores of several runs, and of runs that go on from others, compare.
        return held_out(n, max(share, least / n), 0)

    def _split(self, lengths: list[int], masks: Sequence[np.ndarray | None], *, which: bool) -> BlockStore:
        """The blocks of each length over each corpus; `which` of its documents is said as in `cut_blocks`."""
        parts: list[list[Blocks]] = [
            [
                cut_blocks(
                    corpus,
                    self.frame.room(length, pair=self.pairs),
                    cache=self.cache,
                    also=self.also,
                    by="sentences" if self.pairs else "tokens",
                    cross=self.recipe.data.cross_documents,
                    held_out=mask,
                    which=which,
                )
                for corpus, mask in zip(self.corpora, masks, strict=True)
            ]
            for length in lengths
        ]
        documents = sum(
            corpus.n_documents if mask is None else int((mask == which).sum())
            for corpus, mask in zip(self.corpora, masks, strict=True)
        )
        facts = {
            "origin": self.names[0] if len(self.names) == 1 else f"{len(self.names)} corpora",
            "held_out": documents / sum(corpus.n_documents for corpus in self.corpora) if which else None,
            "documents": documents,
            "empty_texts": 0,
            "truncated": 0,
            "lost_tokens": 0,
        }
        special = self.frame.two.size if self.pairs else self.frame.one.size
        return BlockStore(parts, special=special, facts=facts)
