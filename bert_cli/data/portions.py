"""The text of a corpus as portions of tokens, each of whole documents and with the place up to which text was read.

Portions depend on the documents alone, never on how many were tokenised at a time, so reading on after one gives the
same next ones. Memory holds one portion and two batches; while all cores tokenise, the next batch is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from bert_cli.data.corpus import Part, Reading
from bert_cli.data.documents import Document
from bert_cli.data.encode import Encoder, Pieces
from bert_cli.data.sentences import document_pieces
from bert_cli.data.shards import Shard
from bert_cli.recipe.schema import DataSection

BATCH = 1 << 19
"""Characters that are tokenised at a time."""


@dataclass(frozen=True)
class CorpusSettings:
    """What shapes a prepared corpus beside its text and its tokenizer.

    Attributes:
        sentences: `split` looks for sentences inside of lines, `lines` takes each line as one.
        words: what a whole word is: as the `tokenizer` splits, or Chinese words as `jieba` finds them.
        limit: most documents that are read; None means all.
    """

    reading: Reading = Reading()
    sentences: Literal["split", "lines"] = "split"
    words: Literal["tokenizer", "jieba"] = "tokenizer"
    limit: int | None = None

    @classmethod
    def of(cls, data: DataSection) -> CorpusSettings:
        """What a recipe says."""
        return cls(Reading.of(data), data.sentences, data.words, data.limit)

    def as_dict(self) -> dict[str, Any]:
        """The same for JSON."""
        return asdict(self)


@dataclass(frozen=True)
class Position:
    """How far a corpus was read: `read` documents of the part `part`, `total` documents of all parts."""

    part: int = 0
    read: int = 0
    total: int = 0


class Reader:
    """The documents of a corpus after a position; `position` is how far they have been read."""

    def __init__(self, parts: Sequence[Part], settings: CorpusSettings, position: Position) -> None:
        self.parts = parts
        self.settings = settings
        self.position = position

    def __iter__(self) -> Iterator[Document]:
        first, skip = self.position.part, self.position.read
        for part in range(first, len(self.parts)):
            for read, document in enumerate(self.parts[part].documents(self.settings.reading), 1):
                if part == first and read <= skip:
                    continue
                if self.position.total == self.settings.limit:
                    return
                self.position = Position(part, read, self.position.total + 1)
                yield document


@dataclass(frozen=True)
class Portion:
    """Tokens of documents that follow one another.

    Attributes:
        positions: how far the text was read with each document, as `Position` has it. Shape: `[D, 3]` int64.
        characters: of the text of each document. Shape: `[D]` int64.
    """

    shard: Shard
    positions: npt.NDArray[np.int64]
    characters: npt.NDArray[np.int64]

    @property
    def position(self) -> Position:
        """How far the text was read when the portion was complete."""
        return Position(*map(int, self.positions[-1]))

    def part(self, begin: int, end: int) -> Portion:
        """The documents from `begin` up to `end`."""
        return Portion(self.shard.part(begin, end), self.positions[begin:end], self.characters[begin:end])


def portions(reader: Reader, encoder: Encoder, *, size: int) -> Iterator[Portion]:
    """The rest of a corpus; each portion ends with the first document that brings it to `size` tokens.

    Documents of which the tokenizer knows no word are left out. Errors as in `CorpusPart.documents`.
    """
    held: list[Portion] = []
    room = size
    for batch in _encoded(reader, encoder):
        begin, ends = 0, batch.shard.document_ends
        while begin < len(ends):
            before = int(ends[begin - 1]) if begin else 0
            end = min(int(np.searchsorted(ends, before + room)) + 1, len(ends))
            held.append(batch.part(begin, end))
            room -= int(ends[end - 1]) - before
            begin = end
            if room <= 0:
                yield joined(held)
                held, room = [], size
    if held:
        yield joined(held)


def joined(held: Sequence[Portion]) -> Portion:
    """Portions that follow one another as one."""
    shards = [portion.shard for portion in held]
    return Portion(
        Shard(
            np.concatenate([shard.tokens for shard in shards]),
            np.concatenate([shard.words for shard in shards]),
            _chained([shard.sentences for shard in shards]),
            _chained([shard.documents for shard in shards]),
        ),
        np.concatenate([portion.positions for portion in held]),
        np.concatenate([portion.characters for portion in held]),
    )


def _encoded(reader: Reader, encoder: Encoder) -> Iterator[Portion]:
    """The documents in batches; one is tokenised by a thread of its own while the next one is read."""
    with ThreadPoolExecutor(1) as worker:
        waiting: tuple[list[Position], Pieces, Future[list[Any]]] | None = None
        for positions, pieces in _batches(reader):
            coming = worker.submit(encoder.tokenise, pieces)
            if waiting is not None:
                yield _portion(encoder, *waiting)
            waiting = positions, pieces, coming
        if waiting is not None:
            yield _portion(encoder, *waiting)


def _batches(reader: Reader) -> Iterator[tuple[list[Position], Pieces]]:
    positions: list[Position] = []
    documents: list[list[str]] = []
    size = 0
    for document in reader:
        positions.append(reader.position)
        documents.append(document_pieces(document, by=reader.settings.sentences))
        size += sum(map(len, document))
        if size >= BATCH:
            yield positions, Pieces.of(documents)
            positions, documents, size = [], [], 0
    if documents:
        yield positions, Pieces.of(documents)


def _portion(encoder: Encoder, positions: Iterable[Position], pieces: Pieces, coming: Future[list[Any]]) -> Portion:
    encoded = encoder.arrays(pieces, coming.result())
    read = np.array([(position.part, position.read, position.total) for position in positions])
    ends = pieces.ends[np.cumsum(pieces.document_pieces) - 1]
    return Portion(encoded.shard, read[encoded.kept], np.diff(ends, prepend=0)[encoded.kept])


def _chained(ends: Sequence[npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
    """Ends of the items of several arrays, counted on from one to the next."""
    base = np.cumsum([0, *(part[-1] for part in ends[:-1])])
    return np.concatenate([part + start for part, start in zip(ends, base, strict=True)])
