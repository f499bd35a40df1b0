"""A prepared corpus as blocks for training: an index over its shards, which holds no token itself.

The index is written once for each way to cut, published by one rename and memory-mapped, so that memory stays flat for
a corpus of any size but for 4 bytes a block (its length). A block costs 28 bytes on disk, and those cut by sentences 8
more and 4 for each sentence. Reading 32 blocks of 128 tokens takes about a tenth of a millisecond.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np

from bert_cli.data.cache import MARKERS, NO_ROOM, named_shortage, only_writer, touch
from bert_cli.data.cutting import STRETCH, Cut, across_documents, by_sentences, by_tokens
from bert_cli.data.growing import Growing
from bert_cli.data.holdout import holdout
from bert_cli.data.shards import Corpus, Shard
from bert_cli.files import drafted

VERSION = 1
ROW = np.dtype([("shard", "<i4"), ("length", "<i4"), ("start", "<i8"), ("document", "<i8")])
By = Literal["tokens", "sentences"]


def held_out(n_documents: int, share: float, seed: int) -> np.ndarray:
    """Which documents are held out for validation, at least one and never all. Shape: `[n_documents]` bool.

    Args:
        n_documents: at least two.
    """
    _, held = holdout(np.zeros(n_documents, dtype=np.float32), share, seed=seed)
    mask = np.zeros(n_documents, dtype=bool)
    mask[held] = True
    return mask


class Blocks:
    """A corpus cut into blocks of at most `room` tokens.

    Attributes:
        shards: those of the corpus.
        lengths: tokens of each block. Shape: `[N]` int32.
        index: shard, length, first token and document of each block. Shape: `[N]` of `ROW`.
        offsets: where the parts of each block begin, and the end. Shape: `[N + 1]` int64, or None without parts.
        parts: tokens of each piece `[P]` int32 of blocks cut by sentences; stretches `[P]` of those that cross
            documents.
    """

    def __init__(self, corpus: Corpus, room: int, folder: Path) -> None:
        self.corpus, self.room, self.shards, self.folder = corpus, room, corpus.shards, folder
        self.facts: dict[str, Any] = json.loads((folder / "blocks.json").read_text(encoding="utf-8"))
        self.lengths, self.index = _mapped(folder / "lengths.npy"), _mapped(folder / "index.npy")
        parted = (folder / "parts.npy").exists()
        self.offsets = _mapped(folder / "offsets.npy") if parted else None
        self.parts = _mapped(folder / "parts.npy") if parted else None

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def n_tokens(self) -> int:
        """Tokens of all blocks."""
        return int(self.facts["tokens"])

    def stretches(self, row: int) -> list[tuple[int, int, int]]:
        """Shard, first token and tokens of what a block is made of: one stretch, or several across documents."""
        shard, length, start, _ = self.index[row].item()
        if self.parts is None or self.parts.dtype != STRETCH:
            return [(shard, start, length)]
        return [(shard, *stretch) for stretch in self.parts_of(row).tolist()]

    def parts_of(self, row: int) -> np.ndarray:
        """The parts of a block."""
        assert self.parts is not None and self.offsets is not None, "blocks cut by tokens have no parts"
        begin, end = self.offsets[row : row + 2].tolist()
        return self.parts[begin:end]


def cut_blocks(
    corpus: Corpus,
    room: int,
    *,
    cache: Path,
    also: Path | None = None,
    by: By = "tokens",
    cross: bool = False,
    held_out: np.ndarray | None = None,
    which: bool = False,
) -> Blocks:
    """The blocks of a corpus, cut first where the cache lacks them.

    Args:
        room: most tokens of a block, special tokens not counted; at least 2.
        cache: folder of all indexes; each has a folder there, named by everything that shaped it.
        also: another such folder, which is looked into first and never written.
        by: `tokens` (full blocks, as far as the documents last) or `sentences` (whole ones, two or more in a block;
            see `by_sentences`).
        cross: let blocks run on from one document into the next of the same shard; by tokens only.
        held_out: a mask of documents; `which` chooses the blocks of those in it or of the others. Shape: `[D]` bool.

    Raises:
        ResourceError: the disk is full (P021); nothing stays of what was written.
    """
    assert room >= 2 and not (cross and by == "sentences")
    shape = {"room": room, "by": by, "cross": cross, "which": which, "version": VERSION, "corpus": corpus.facts}
    digest = hashlib.sha256(json.dumps(shape, sort_keys=True, default=str).encode())
    digest.update(b"" if held_out is None else np.packbits(held_out).tobytes())
    name = digest.hexdigest()[:32]
    if also is not None and (also / name / MARKERS["blocks"]).is_file():
        return Blocks(corpus, room, also / name)
    folder = cache / name
    with named_shortage(folder, help=NO_ROOM):
        # A whole index is opened without a lock, which a cache that may only be read has no place for.
        if not (folder / MARKERS["blocks"]).is_file():
            cache.mkdir(parents=True, exist_ok=True)
            with only_writer(cache / f".lock-{name}"):
                if not (folder / MARKERS["blocks"]).is_file():
                    wanted = None if held_out is None else held_out == which
                    with drafted(folder) as draft:
                        _write(draft, corpus, room, by=by, cross=cross, wanted=wanted)
        touch(folder / MARKERS["blocks"])
        return Blocks(corpus, room, folder)


def _write(folder: Path, corpus: Corpus, room: int, *, by: By, cross: bool, wanted: np.ndarray | None) -> None:
    parted = cross or by == "sentences"
    rows = tokens = at = 0
    with ExitStack() as stack:
        index = stack.enter_context(Growing(folder / "index.npy", ROW))
        lengths = stack.enter_context(Growing(folder / "lengths.npy", "<i4"))
        if parted:
            offsets = stack.enter_context(Growing(folder / "offsets.npy", "<i8"))
            parts = stack.enter_context(Growing(folder / "parts.npy", STRETCH if cross else "<i4"))
            offsets.append(np.zeros(1))
        for number, (shard, chosen, first) in enumerate(_shards(corpus, wanted)):
            cut = _cut(shard, chosen, room, by=by, cross=cross)
            block = np.empty(len(cut.starts), dtype=ROW)
            block["shard"], block["start"], block["length"] = number, cut.starts, cut.lengths
            block["document"] = cut.documents + first
            index.append(block)
            lengths.append(cut.lengths)
            if cut.parts is not None and cut.counts is not None:
                offsets.append(at + np.cumsum(cut.counts))
                parts.append(cut.parts)
                at += len(cut.parts)
            rows, tokens = rows + len(block), tokens + int(cut.lengths.sum())
    (folder / "blocks.json").write_text(json.dumps({"rows": rows, "tokens": tokens}), encoding="utf-8")


def _shards(corpus: Corpus, wanted: np.ndarray | None) -> Iterator[tuple[Shard, np.ndarray, int]]:
    """Each shard, its documents that are wanted, and how many documents the shards before it have."""
    first = 0
    for shard in corpus.shards:
        n = len(shard.documents)
        yield shard, np.arange(n) if wanted is None else np.flatnonzero(wanted[first : first + n]), first
        first += n


def _cut(shard: Shard, chosen: np.ndarray, room: int, *, by: By, cross: bool) -> Cut:
    if by == "sentences":
        return by_sentences(shard.sentences, shard.documents, chosen, room)
    return (across_documents if cross else by_tokens)(shard.document_ends, chosen, room)


def _mapped(file: Path) -> np.ndarray:
    return np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))


@dataclass(frozen=True)
class Content:
    """The text of some blocks, one after the other, without special tokens.

    Attributes:
        ids: token ids. Shape: `[T]` int64.
        words: where a whole word begins. Shape: `[T]` bool.
        lengths: tokens of each block. Shape: `[B]` int64.
    """

    ids: np.ndarray
    words: np.ndarray
    lengths: np.ndarray


class BlockStore:
    """Blocks of several corpora and phases as the rows of one split; see `bert_cli.data.split.Split`.

    Args:
        phases: the blocks of each corpus, for each phase; a corpus may come in several phases.
        special: special tokens that the objective puts around a block.

    Attributes:
        lengths: tokens of each row, special tokens included. Shape: `[N]` int32.
        blocks: all of them, in the order of the rows.
        ranges: the rows of each corpus, for each phase.
    """

    targets: np.ndarray | None = None

    def __init__(
        self, phases: Sequence[Sequence[Blocks]], *, special: int, facts: Mapping[str, Any] | None = None
    ) -> None:
        self.blocks = [blocks for phase in phases for blocks in phase]
        self._edges = np.cumsum([0, *map(len, self.blocks)])
        self._special = special
        self.facts: dict[str, Any] = dict(facts or {})
        self.lengths = np.concatenate([blocks.lengths for blocks in self.blocks])
        self.lengths += special
        places = iter(zip(self._edges[:-1].tolist(), self._edges[1:].tolist(), strict=True))
        self.ranges = tuple(tuple(range(*next(places)) for _ in phase) for phase in phases)
        documents = {id(blocks.corpus): blocks.corpus.n_documents for blocks in self.blocks}
        first = dict(zip(documents, accumulate(documents.values(), initial=0), strict=False))
        self._first_document = [first[id(blocks.corpus)] for blocks in self.blocks]

    def __len__(self) -> int:
        return len(self.lengths)

    def value(self, name: str, row: int) -> Any:
        """None: blocks have no further columns."""
        return None

    def content(self, rows: np.ndarray) -> Content:
        """The text of `rows`, in their order. Shape of rows: `[B]`."""
        lengths = self.lengths[rows].astype(np.int64) - self._special
        ids, words = np.empty(int(lengths.sum()), dtype=np.int64), np.empty(int(lengths.sum()), dtype=bool)
        owners = np.searchsorted(self._edges, rows, side="right") - 1
        at = 0
        for owner, row in zip(owners.tolist(), (rows - self._edges[owners]).tolist(), strict=True):
            blocks = self.blocks[owner]
            for shard, start, length in blocks.stretches(row):
                ids[at : at + length] = blocks.shards[shard].tokens[start : start + length]
                words[at : at + length] = blocks.shards[shard].words[start : start + length]
                at += length
        return Content(ids, words, lengths)

    def sentence_ends(self, row: int) -> np.ndarray:
        """Ends of the sentences of a row in its content, the last one its length; of blocks cut by sentences only.

        Shape: `[s]` int64.
        """
        owner, own = self._place(row)
        return np.cumsum(self.blocks[owner].parts_of(own), dtype=np.int64)

    def document(self, row: int) -> int:
        """The document of a row (of its first token), unique over all corpora."""
        owner, own = self._place(row)
        return self._first_document[owner] + int(self.blocks[owner].index[own]["document"])

    def neighbours(self, row: int) -> tuple[int, int]:
        """First row and end of the blocks of the same phase and corpus, which another segment may be drawn from.

        A segment of another corpus would often be told by its kind alone.
        """
        owner, _ = self._place(row)
        return int(self._edges[owner]), int(self._edges[owner + 1])

    def _place(self, row: int) -> tuple[int, int]:
        owner = int(np.searchsorted(self._edges, row, side="right")) - 1
        return owner, row - int(self._edges[owner])
