"""Sentence pairs beside masked words: next sentences (NSP, Devlin et al. 2019) and their order (SOP, Lan et al. 2020).

A block of sentences is cut in two. NSP puts, for half of the rows, a segment of another document behind the first part;
SOP swaps the two parts. Which rows, where and what are functions of (seed, epoch, row). A foreign segment begins and
ends where true ones do, and the best of a few candidates has nearly their length, so that neither gives the label away.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Self

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch
from bert_cli.data.blocks import BlockStore
from bert_cli.errors import DataError
from bert_cli.objectives import terms
from bert_cli.objectives.draws import row_keys, uniforms
from bert_cli.objectives.masking import Rows
from bert_cli.objectives.mlm import MaskedLanguageModelling, narrowed
from bert_cli.objectives.texts import Texts

TERMS = {"fill-mask-nsp": "nsp", "fill-mask-sop": "sop"}
UNLABELLED = -100
"""Label of a row that cannot be cut in two; nothing is asked about it."""
CANDIDATES = 6
"""Rows of other documents in which a segment of the right length is looked for; more where none is short enough."""
TRIES = 24
"""Rows drawn at most."""


@dataclass(frozen=True, kw_only=True)
class PairBatch(Batch):
    """A batch with what is asked about each pair.

    Attributes:
        relations: 0 where the second text follows the first, 1 where it is foreign (NSP) or comes first (SOP), or
            `UNLABELLED`. Shape: `[B]` int64.
    """

    relations: torch.Tensor

    def to(self, device: torch.device) -> Self:
        """The same batch on another device."""
        return replace(self, **{**vars(super().to(device)), "relations": self.relations.to(device, non_blocking=True)})


@dataclass(frozen=True)
class PairOutputs:
    """Logits, fp32: of the masked tokens `[M, V]`, and of the relation `[B, 2]`."""

    tokens: torch.Tensor
    relation: torch.Tensor


@dataclass(frozen=True)
class Segment:
    """Tokens `begin` to `end` of a row's text."""

    row: int
    begin: int
    end: int

    @property
    def size(self) -> int:
        """Tokens."""
        return self.end - self.begin


class SentencePairs:
    """Masked language modelling and a question about two texts; loss terms `mlm` and `nsp` or `sop`.

    Args:
        name: a key of `TERMS`.
        options: those of `MaskedLanguageModelling`.
    """

    def __init__(self, name: str, **options: Any) -> None:
        self.name = name
        self.term = TERMS[name]
        self.mlm = MaskedLanguageModelling(**options)
        self.seed: int = self.mlm.masking.seed
        self.weights: Mapping[str, float] = terms.weights({"mlm": 1.0, self.term: 1.0}, scoring=self.mlm.scoring)

    def collate(self, store: BlockStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> PairBatch:
        """Pairs with their masks. Shapes: as in `MaskedLanguageModelling.collate`, and relations `[B]`."""
        segments, relations = self.pairs(store, rows, epochs=epochs)
        texts = _texts(store, segments)
        hidden = self.mlm.masking.hide(texts, Rows(rows, epochs), progress=progress)
        batch = self.mlm.batch(texts, hidden, rows)
        return PairBatch(**vars(batch), relations=torch.from_numpy(relations))

    def pairs(
        self, store: BlockStore, rows: np.ndarray, *, epochs: np.ndarray
    ) -> tuple[list[tuple[Segment, Segment]], np.ndarray]:
        """The two segments of each row, and their relations `[B]` int64.

        Raises:
            DataError: there is no other document within reach (D089).
        """
        draws = uniforms(row_keys(self.seed, "pair", epochs, rows)[:, None], np.arange(2 + TRIES))
        segments = [
            _cut(int(row), store.sentence_ends(int(row)), draw) for row, draw in zip(rows, draws[:, 0], strict=True)
        ]
        relations = (draws[:, 1] < 0.5).astype(np.int64)
        for i, (first, second) in enumerate(segments):
            if not second.size:
                relations[i] = UNLABELLED
            elif relations[i] and self.term == "sop":
                segments[i] = second, first
            elif relations[i]:
                segments[i] = first, _foreign(store, second, draws[i, 2:])
        return segments, relations

    def counts(self, batch: Batch) -> dict[str, float]:
        """Masked positions, and pairs."""
        assert isinstance(batch, PairBatch) and batch.targets is not None
        pairs = batch.relations.ne(UNLABELLED).sum()
        counts = {"mlm": float(batch.targets.numel()), self.term: float(pairs)}
        return terms.with_accuracy(counts) if self.mlm.scoring else counts

    def forward(self, model: Any, batch: Batch) -> PairOutputs:
        """Logits at the masked positions and of each pair."""
        with narrowed(model, batch):
            outputs = model(**batch.inputs)
        relation = outputs.get("seq_relationship_logits")
        relation = outputs["sop_logits"] if relation is None else relation
        return PairOutputs(outputs.prediction_logits.squeeze(0).float(), relation.float())

    def totals(self, outputs: PairOutputs, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy of the masked tokens and of the relations, nats."""
        assert isinstance(batch, PairBatch)
        found = self.mlm.totals(outputs.tokens, batch)
        found[self.term] = functional.cross_entropy(
            outputs.relation, batch.relations, ignore_index=UNLABELLED, reduction="sum"
        )
        if self.mlm.scoring:
            found[f"{self.term}{terms.ACCURACY}"] = terms.hits(outputs.relation, batch.relations)
        return found

    def scores(self, outputs: PairOutputs, batch: Batch) -> np.ndarray:
        """Nothing about whole examples. Shape: `[B, 0]`."""
        return terms.no_scores(batch)

    def ends(self, batch: Batch) -> np.ndarray:
        """One empty line for each row. Shape: `[B]` int64."""
        return np.arange(1, len(batch) + 1)


def check_documents(store: BlockStore) -> None:
    """Refuse blocks to which no other document can be found, before the first step.

    Raises:
        DataError: all blocks within reach of one are of the same document (D089).
    """
    row = 0
    while row < len(store):
        low, high = store.neighbours(row)
        _elsewhere(store, row, high - 1)
        row = max(high, row + 1)


def _cut(row: int, ends: np.ndarray, draw: float) -> tuple[Segment, Segment]:
    """A block in two at the end of any sentence but the last; one sentence in its middle, one token not at all."""
    length = int(ends[-1])
    at = int(ends[int(draw * (len(ends) - 1))]) if len(ends) > 1 else max(1, length // 2)
    return Segment(row, 0, at), Segment(row, at, length)


def _foreign(store: BlockStore, own: Segment, draws: np.ndarray) -> Segment:
    """What stands in for `own`: whole sentences of another document, no longer than it and as near as can be.

    Where `own` begins in the middle of a sentence, so does what is returned; where it is shorter than all sentences
    that were seen, the first of them is cut.
    """
    low, high = store.neighbours(own.row)
    document = store.document(own.row)
    halves = len(store.sentence_ends(own.row)) == 1
    drawn = dict.fromkeys((low + (draws * (high - low)).astype(np.int64)).tolist())
    best = None
    for seen, row in enumerate(row for row in drawn if store.document(row) != document):
        found = _longest(row, store.sentence_ends(row).tolist(), own.size, halves=halves)
        best = found if best is None or found.size > best.size else best
        if seen + 1 >= CANDIDATES and best.size:
            break
    if best is None:
        row = _elsewhere(store, own.row, low + int(draws[0] * (high - low)))
        best = _longest(row, store.sentence_ends(row).tolist(), own.size, halves=halves)
    return best if best.size else replace(best, end=best.begin + own.size)


def _longest(row: int, ends: list[int], room: int, *, halves: bool) -> Segment:
    """The longest run of whole sentences within `room`; no tokens at all where every sentence is longer.

    Args:
        halves: begin in the middle of a sentence instead of where it begins.
    """
    begins = [0, *ends[:-1]]
    if halves:
        begins = [(begin + end) // 2 for begin, end in zip(begins, ends, strict=True)]
    best = Segment(row, begins[0], begins[0])
    for begin in begins:
        fitting = bisect_right(ends, begin + room)
        if fitting and ends[fitting - 1] - begin > best.size:
            best = Segment(row, begin, ends[fitting - 1])
    return best


def _elsewhere(store: BlockStore, row: int, start: int) -> int:
    """The first row from `start` on, and round, whose document is not that of `row`."""
    low, high = store.neighbours(row)
    document = store.document(row)
    rows = chain(range(start, high), range(low, start))
    found = next((i for i in rows if store.document(i) != document), None)
    if found is None:
        raise DataError(
            "D089",
            "next-sentence prediction needs two documents, and all of this text is one",
            key="data.source",
            found=f"{high - low} blocks of one document",
            allowed="documents with blank lines between them, or one to a file",
            help="put a blank line between the documents, or leave the pairs out: task=fill-mask",
        )
    return found


def _texts(store: BlockStore, pairs: list[tuple[Segment, Segment]]) -> Texts:
    """The tokens of the segments, each row read once."""
    segments = [segment for pair in pairs for segment in pair]
    rows = {row: i for i, row in enumerate(dict.fromkeys(segment.row for segment in segments))}
    content = store.content(np.fromiter(rows, dtype=np.int64, count=len(rows)))
    starts = np.cumsum(content.lengths) - content.lengths
    sizes = np.array([segment.size for segment in segments], dtype=np.int64)
    begins = np.array([starts[rows[segment.row]] + segment.begin for segment in segments], dtype=np.int64)
    tokens = np.arange(sizes.sum()) + np.repeat(begins - (np.cumsum(sizes) - sizes), sizes)
    return Texts(content.ids[tokens], content.words[tokens], sizes.reshape(-1, 2))
