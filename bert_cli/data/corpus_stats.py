"""What a corpus holds: how many documents and sentences of which lengths, and how much of it the tokenizer knows.

Lengths are counted, not kept, so memory stays flat; text is read once as a stream, tokens once from the page cache.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_cli.data.corpus import CorpusPart, read_documents
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.sentences import document_pieces
from bert_cli.data.shards import Corpus, token_slices

QUANTILES = {"p5": 0.05, "median": 0.5, "p95": 0.95}


class Lengths:
    """A distribution of lengths."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()

    def add(self, lengths: npt.ArrayLike) -> None:
        """Count some lengths, integers from 0."""
        values, counts = np.unique(np.asarray(lengths, dtype=np.int64), return_counts=True)
        self._counts.update(dict(zip(values.tolist(), counts.tolist(), strict=True)))

    def as_dict(self) -> dict[str, float]:
        """Count, mean, least, 5 %, 50 %, 95 % and most; a quantile is the least length that so many reach at most."""
        lengths = np.array(sorted(self._counts))
        counts = np.array([self._counts[length] for length in lengths.tolist()])
        below = np.cumsum(counts)
        total = int(below[-1])
        found = {name: int(lengths[np.searchsorted(below, share * total)]) for name, share in QUANTILES.items()}
        mean = float((lengths * counts).sum() / total)
        return {"count": total, "mean": mean, "min": int(lengths[0]), **found, "max": int(lengths[-1])}


def prepared_stats(corpus: Corpus) -> dict[str, Any]:
    """Counts and lengths in tokens of a prepared corpus.

    Returns:
        `documents` and `sentences` (see `Lengths.as_dict`), `tokens`, `words`, `characters`, `dropped` documents,
        `unknown` (share of tokens; None for a tokenizer that knows everything), `shards`, `bytes`.
    """
    documents, sentences = Lengths(), Lengths()
    words = 0
    for shard in corpus.shards:
        documents.add(np.diff(shard.document_ends, prepend=0))
        sentences.add(np.diff(shard.sentences, prepend=0))
        words += int(np.count_nonzero(shard.words))
    unknown_id = corpus.facts["unknown_id"]
    unknown = None
    if unknown_id is not None:
        unknown = sum(int(np.count_nonzero(tokens == unknown_id)) for tokens in token_slices(corpus)) / corpus.n_tokens
    return {
        "unit": "tokens",
        "documents": documents.as_dict(),
        "sentences": sentences.as_dict(),
        "tokens": corpus.n_tokens,
        "words": words,
        "characters": corpus.facts["characters"],
        "dropped": corpus.facts["dropped"],
        "unknown": unknown,
        "shards": len(corpus.shards),
        "bytes": corpus.n_bytes,
    }


def text_stats(parts: Sequence[CorpusPart], settings: CorpusSettings) -> dict[str, Any]:
    """Counts and lengths in characters of a corpus that is still text.

    Returns:
        `documents` and `sentences` (see `Lengths.as_dict`), `characters`, `files`.

    Raises:
        DataError: see `read_documents`.
    """
    documents, sentences = Lengths(), Lengths()
    characters = 0
    for document in read_documents(parts, settings.reading, limit=settings.limit):
        lengths = [len(piece) for piece in document_pieces(document, by=settings.sentences)]
        sentences.add(lengths)
        documents.add([sum(lengths)])
        characters += sum(lengths)
    return {
        "unit": "characters",
        "documents": documents.as_dict(),
        "sentences": sentences.as_dict(),
        "characters": characters,
        "files": len(parts),
    }
