"""Prepared corpora in memory: every token has a number of its own, so that none can be lost or doubled unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bert_cli.data.shards import Corpus, Shard

Sizes = Sequence[Sequence[Sequence[int]]]
"""Tokens of each sentence, of each document, of each shard."""


def corpus_of(sizes: Sizes, *, first: int = 0) -> Corpus:
    """A corpus whose tokens count up from `first`; every third begins a word."""
    shards = []
    for documents in sizes:
        sentences = [size for document in documents for size in document]
        tokens = np.arange(first, first + sum(sentences), dtype=np.uint32)
        first += len(tokens)
        shards.append(
            Shard(tokens, tokens % 3 == 0, np.cumsum(sentences), np.cumsum([len(document) for document in documents]))
        )
    return Corpus(Path("nowhere"), {"name": hashlib.sha256(repr((sizes, first)).encode()).hexdigest()}, tuple(shards))


def corpus_from(documents: Sequence[Sequence[Sequence[int]]]) -> Corpus:
    """A corpus of one shard from the token ids of each sentence of each document."""
    sentences = [np.array(sentence) for document in documents for sentence in document]
    tokens = np.concatenate(sentences).astype(np.uint16)
    words = np.ones(len(tokens), dtype=bool)
    counts = np.cumsum([len(document) for document in documents])
    shard = Shard(tokens, words, np.cumsum([len(sentence) for sentence in sentences]), counts)
    digest = hashlib.sha256(tokens.tobytes() + counts.tobytes()).hexdigest()
    return Corpus(Path("nowhere"), {"name": digest}, (shard,))


def documents_of(corpus: Corpus) -> list[list[int]]:
    """The tokens of each document."""
    found = []
    for shard in corpus.shards:
        ends: Any = shard.document_ends
        found += [part.tolist() for part in np.split(np.asarray(shard.tokens), ends[:-1])]
    return found
