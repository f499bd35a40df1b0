"""The beginning of a corpus: which documents it has, and how often it fits into the whole."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bert_cli.data import corpus as corpora
from bert_cli.data.corpus import Reading, find_corpus, read_documents
from bert_cli.data.corpus_sample import Sample, beginning
from bert_cli.data.hub import HubSplit
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.stream import Record

TEXTS = [f"{number} {'word ' * 40}".strip() for number in range(1_000)]


def _plain(path: Path) -> None:
    path.write_text("\n\n".join(TEXTS))


def _jsonl(path: Path) -> None:
    path.write_text("".join(json.dumps({"text": text, "source": "x" * 30}) + "\n" for text in TEXTS))


def _gzip(path: Path) -> None:
    # Stored, not deflated: small files are read in few large steps, which would say little about larger ones.
    path.write_bytes(gzip.compress("\n\n".join(TEXTS).encode(), compresslevel=0))


def _parquet(path: Path) -> None:
    pq.write_table(pa.table({"text": TEXTS, "other": [0] * len(TEXTS)}), path)


FORMATS: dict[str, Callable[[Path], None]] = {
    "a.txt": _plain,
    "a.jsonl": _jsonl,
    "a.txt.gz": _gzip,
    "a.parquet": _parquet,
}


def held(sample: Sample) -> list[list[str]]:
    return [document for part in sample.parts for document in part.documents(Reading())]


@pytest.mark.parametrize("name", FORMATS)
def test_the_first_documents_are_taken_and_the_rest_is_told_by_what_was_read(name: str, tmp_path: Path) -> None:
    FORMATS[name](tmp_path / name)
    parts = find_corpus(str(tmp_path / name))
    every = list(read_documents(parts))
    sample = beginning(parts, CorpusSettings(), characters=sum(map(len, TEXTS)) // 2)
    taken = held(sample)
    assert taken == every[: len(taken)] and 500 <= len(taken) <= 502
    # A compressed file is read 128 kB at a time.
    near = 0.35 if name.endswith(".gz") else 0.02
    assert sample.times == pytest.approx(len(every) / len(taken), rel=near) and sample.times > 1


@pytest.mark.parametrize("name", FORMATS)
def test_a_small_corpus_is_taken_whole(name: str, tmp_path: Path) -> None:
    FORMATS[name](tmp_path / name)
    parts = find_corpus(str(tmp_path / name))
    sample = beginning(parts, CorpusSettings())
    assert (held(sample), sample.times) == (list(read_documents(parts)), 1.0)
    assert [part.name for part in sample.parts] == [name]


def test_files_are_taken_in_their_order_and_count_by_their_bytes(tmp_path: Path) -> None:
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text("\n\n".join(TEXTS[:100]))
    (tmp_path / "9.txt").write_text("")
    parts = find_corpus(str(tmp_path))
    sample = beginning(parts, CorpusSettings(), characters=sum(map(len, TEXTS[:100])) * 3 // 2)
    assert [part.name for part in sample.parts] == ["0.txt", "1.txt"] and len(held(sample)) == 151
    assert sample.times == pytest.approx(800 / 151, rel=0.02)


@pytest.mark.parametrize(("limit", "times"), [(50, 1.0), (500, 1.0), (800, 800 / 501), (5_000, 1_000 / 501)])
def test_a_limit_counts_for_the_sample_and_for_the_whole(limit: int, times: float, tmp_path: Path) -> None:
    _plain(tmp_path / "a.txt")
    half = sum(map(len, TEXTS)) // 2
    sample = beginning(find_corpus(str(tmp_path / "a.txt")), CorpusSettings(limit=limit), characters=half)
    assert len(held(sample)) == min(limit, 501)
    assert sample.times == pytest.approx(times, rel=0.01)


def test_an_empty_corpus_has_an_empty_beginning(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n\n")
    sample = beginning(find_corpus(str(tmp_path)), CorpusSettings())
    assert (held(sample), sample.times) == ([], 1.0)


def test_of_a_split_on_the_hub_rows_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    def records(_: HubSplit) -> Iterator[Record]:
        yield from (Record(row, {"text": text}) for row, text in enumerate(TEXTS, 1))

    monkeypatch.setattr(HubSplit, "records", records)
    monkeypatch.setattr(corpora, "load", lambda *_, **__: {"train": TEXTS})
    sample = beginning(find_corpus("hub:owner/wiki"), CorpusSettings(), characters=sum(map(len, TEXTS[:250])))
    assert (len(held(sample)), sample.times) == (250, 4.0)
