"""What a corpus holds, counted twice."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from prepared import TEXT, documents, files, flat, prepare, trained

from bert_cli.data.corpus import find_corpus
from bert_cli.data.corpus_stats import Lengths, prepared_stats, text_stats
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.shards import token_slices


def test_lengths_are_described_as_numpy_would() -> None:
    lengths = Lengths()
    values = np.random.default_rng(0).integers(1, 40, 301)
    for part in np.array_split(values, 7):
        lengths.add(part)
    found = lengths.as_dict()
    assert found["count"] == 301 and found["mean"] == pytest.approx(values.mean())
    assert (found["min"], found["max"]) == (values.min(), values.max())
    for name, share in {"p5": 0.05, "median": 0.5, "p95": 0.95}.items():
        assert found[name] == np.quantile(values, share, method="inverted_cdf")


def test_statistics_agree_with_the_documents(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, TEXT + "\nहाँ one\n", trained("wordpiece"))
    found = prepared_stats(corpus)
    lengths = [len(flat(document)) for document in documents(corpus)]
    assert found["documents"]["mean"] == pytest.approx(np.mean(lengths)) and found["documents"]["count"] == 4
    assert found["sentences"]["count"] == sum(len(shard.sentences) for shard in corpus.shards)
    unknown = sum(int((tokens == corpus.facts["unknown_id"]).sum()) for tokens in token_slices(corpus))
    assert found["unknown"] * found["tokens"] == pytest.approx(unknown)
    assert found["bytes"] == sum(
        len(raw) for name, raw in files(corpus.folder / "shards").items() if name.endswith("npy")
    )
    text = text_stats(find_corpus(str(tmp_path / "text")), CorpusSettings())
    assert text["characters"] == found["characters"] == text["documents"]["count"] * text["documents"]["mean"]
