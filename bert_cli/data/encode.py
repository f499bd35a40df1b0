"""Documents -> tokens, word starts and ends of sentences, many documents at a time and on all cores.

A document is tokenised as one text and its sentences are found again by their characters, so its tokens are those of
the whole document with every kind of tokenizer. Only documents of more than `PART` characters are cut, before a
sentence that follows a space. WordPiece takes a core about two seconds for 1M tokens, four fifths of it the library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_cli.data.shards import Shard, token_type
from bert_cli.data.words import Segment, WordStarts
from bert_cli.errors import ModelError

PART, LONGEST_PART = 1 << 15, 1 << 20
"""Characters from which a document is cut at the next space before a sentence, and from which at any sentence."""


@dataclass(frozen=True)
class Pieces:
    """Documents on their way into the tokenizer.

    Attributes:
        texts: whole documents, long ones in parts.
        ends: end of each sentence in the joined texts, in characters. Shape: `[P]` int64.
        text_pieces: sentences of each text. Shape: `[len(texts)]` int64.
        document_pieces: sentences of each document. Shape: `[D]` int64.
    """

    texts: list[str]
    ends: npt.NDArray[np.int64]
    text_pieces: npt.NDArray[np.int64]
    document_pieces: npt.NDArray[np.int64]

    @classmethod
    def of(cls, documents: Sequence[Sequence[str]]) -> Pieces:
        """Documents as lists of sentences that together are their text."""
        parts = [part for document in documents for part in _parts(document)]
        lengths = np.fromiter((len(piece) for part in parts for piece in part), np.int64)
        return cls(
            ["".join(part) for part in parts],
            np.cumsum(lengths),
            np.array([len(part) for part in parts]),
            np.array([len(document) for document in documents]),
        )


@dataclass(frozen=True)
class Encoded:
    """Tokens of documents.

    Attributes:
        shard: those documents that have a token the tokenizer knows.
        kept: which documents these are. Shape: `[D]` bool.
    """

    shard: Shard
    kept: npt.NDArray[np.bool_]


class Encoder:
    """A fast tokenizer without its special tokens, its truncation and its padding.

    Raises:
        ModelError: the tokenizer is not one of the tokenizers library (L062).
    """

    def __init__(self, tokenizer: Any, *, segment: Segment | None = None) -> None:
        backend = getattr(tokenizer, "backend_tokenizer", None)
        if backend is None:
            raise ModelError(
                "L062",
                "a corpus is prepared with tokenizers of the tokenizers library only",
                key="model.tokenizer",
                found=type(tokenizer).__name__,
                allowed="a folder with tokenizer.json",
                help="bertctl tokenizer train makes one",
            )
        self._backend = type(backend).from_str(backend.to_str())
        self._backend.no_truncation()
        self._backend.no_padding()
        self._starts = WordStarts(self._backend, segment=segment)
        self.vocab_size = max(self._backend.get_vocab(with_added_tokens=True).values()) + 1
        self.special_ids = sorted(tokenizer.all_special_ids)
        self.unknown_id: int | None = tokenizer.unk_token_id
        self._special = np.zeros(self.vocab_size, dtype=bool)
        self._special[self.special_ids] = True

    def tokenise(self, pieces: Pieces) -> list[Any]:
        """What the tokenizer says of each text; works on all cores and lets other threads run meanwhile."""
        found: list[Any] = self._backend.encode_batch(pieces.texts, add_special_tokens=False)
        return found

    def arrays(self, pieces: Pieces, encodings: Sequence[Any]) -> Encoded:
        """The same as arrays, documents without a known token left out."""
        counts = np.array([len(encoding) for encoding in encodings])
        text = np.repeat(np.arange(len(counts)), counts)
        total = int(counts.sum())
        ids = _flat((encoding.ids for encoding in encodings), total)
        words = _flat((encoding.word_ids for encoding in encodings), total) + (text << 32)
        base = np.cumsum([0, *map(len, pieces.texts[:-1])])
        starts = _flat(([begin for begin, _ in encoding.offsets] for encoding in encodings), total) + base[text]
        # A token that stands for no character belongs where the one before does.
        piece = np.minimum(np.searchsorted(pieces.ends, starts, side="right"), np.cumsum(pieces.text_pieces)[text] - 1)
        piece = np.maximum.accumulate(piece)
        begins = self._starts.find(ids, words, starts, pieces.texts)
        begins[np.flatnonzero(np.diff(piece, prepend=-1))] = True
        return self._known(ids, begins, piece, pieces.document_pieces)

    def _known(
        self,
        ids: npt.NDArray[np.int64],
        begins: npt.NDArray[np.bool_],
        piece: npt.NDArray[np.int64],
        document_pieces: npt.NDArray[np.int64],
    ) -> Encoded:
        document_of = np.repeat(np.arange(len(document_pieces)), document_pieces)
        owner = document_of[piece]
        kept = np.bincount(owner[~self._special[ids]], minlength=len(document_pieces)) > 0
        stays = kept[owner]
        lengths = np.bincount(piece[stays], minlength=len(document_of))
        full = lengths > 0
        sentences = np.bincount(document_of[full], minlength=len(document_pieces))
        known: npt.NDArray[Any] = ids[stays].astype(token_type(self.vocab_size))
        shard = Shard(
            known,
            begins[stays],
            np.cumsum(lengths[full]),
            np.cumsum(sentences[kept]),
        )
        return Encoded(shard, kept)


def _flat(lists: Iterable[Iterable[int]], total: int) -> npt.NDArray[np.int64]:
    return np.fromiter(chain.from_iterable(lists), np.int64, total)


def _parts(document: Sequence[str]) -> list[Sequence[str]]:
    """The sentences of a document, in groups that are tokenised apart; one group for all but long documents."""
    parts, begin, size = [], 0, 0
    for number, piece in enumerate(document):
        if size > (PART if piece[0].isspace() else LONGEST_PART):
            parts.append(document[begin:number])
            begin, size = number, 0
        size += len(piece)
    return [*parts, document[begin:]]
