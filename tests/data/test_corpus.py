"""A corpus as a stream of documents: where it may be, what a document is, and what is refused with its place."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bert_cli.data import corpus as corpora
from bert_cli.data.corpus import Reading, find_corpus, read_documents
from bert_cli.data.hub import HubSplit
from bert_cli.data.stream import Record
from bert_cli.errors import BertctlError, DataError, UsageError

REAL = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

TEXT = "One. Two.\nThree.\n\n\n  Second, stripped.  \r\n \t \nThird\n"
DOCUMENTS = [["One. Two.", "Three."], ["Second, stripped."], ["Third"]]


def read(source: object, **reading: Any) -> list[list[str]]:
    return list(read_documents(find_corpus(str(source)), Reading(**reading)))


def zstd(text: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as stream:
        stream.write(text)
    return bytes(sink.getvalue())


def rows(texts: Iterable[object], column: str = "text") -> str:
    return "".join(json.dumps({"id": i, column: text}, ensure_ascii=False) + "\n" for i, text in enumerate(texts))


def refused(source: object, code: str, **reading: Any) -> BertctlError:
    with pytest.raises(BertctlError) as error:
        read(source, **reading)
    assert error.value.code == code, error.value.render()
    assert len(error.value.render().splitlines()) <= 6
    return error.value


def test_blank_lines_stand_between_documents(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    assert read(tmp_path / "a.txt") == DOCUMENTS


def test_a_file_is_one_document_on_request(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_text("More.\n")
    assert read(tmp_path, documents="files") == [[line for document in DOCUMENTS for line in document], ["More."]]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("a.txt", TEXT.encode()),
        ("a.TXT", b"\xef\xbb\xbf" + TEXT.encode()),
        ("a.txt.gz", gzip.compress(TEXT.encode())),
        ("a.txt.zst", zstd(TEXT.encode())),
        ("twice.txt.zst", zstd(TEXT.encode()[:30]) + zstd(TEXT.encode()[30:])),
        ("wiki.train.raw", TEXT.encode()),
        ("no_suffix", TEXT.encode()),
        ("a.jsonl", rows("\n".join(document) for document in DOCUMENTS).encode()),
        ("a.ndjson", rows("\n\n".join(document) for document in DOCUMENTS).encode()),
        ("a.jsonl.gz", gzip.compress(rows("\r\n".join(document) for document in DOCUMENTS).encode())),
        ("a.jsonl.zst", zstd(rows("\n".join(document) for document in DOCUMENTS).encode())),
        ("nothing_in_some.jsonl", rows([None, "One. Two.\nThree.", "", " \n", "Second, stripped.", "Third"]).encode()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_format_gives_the_same_documents(tmp_path: Path, name: str, raw: bytes) -> None:
    (tmp_path / name).write_bytes(raw)
    assert read(tmp_path / name) == DOCUMENTS


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str)
def test_parquet_is_read_from_its_text_column(tmp_path: Path, kind: pa.DataType) -> None:
    texts = ["\n".join(document) for document in DOCUMENTS] + [None, ""]
    table = pa.table({"id": range(5), "body": pa.array(texts).cast(kind)})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    assert read(tmp_path / "a.parquet", column="body") == DOCUMENTS


def test_other_encodings_are_read_when_named(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("你好。\n\n再见。\n".encode("gb18030"))
    assert read(tmp_path / "a.txt", encoding="gb18030") == [["你好。"], ["再见。"]]
    (tmp_path / "b.txt").write_bytes("a\n\nü\n".encode("utf-16"))
    assert read(tmp_path / "b.txt", encoding="utf-16") == [["a"], ["ü"]]


def test_a_folder_is_its_text_files_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt.gz", "c.jsonl", "meta.json", "notes.md", "LICENSE"):
        raw = rows([name]).encode() if name.endswith("jsonl") else name.encode()
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith("gz") else raw)
    (tmp_path / "deeper").mkdir()
    assert [part.name for part in find_corpus(str(tmp_path))] == ["a.txt.gz", "b.txt", "c.jsonl"]
    assert read(tmp_path) == [["a.txt.gz"], ["b.txt"], ["c.jsonl"]]


def test_a_pattern_is_every_file_that_fits(tmp_path: Path) -> None:
    for name in ("b/2.txt", "a/1.txt", "a/1.jsonl", "[odd].txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(rows([name]) if name.endswith("jsonl") else name)
    assert read(tmp_path / "*" / "*.txt") == [["a/1.txt"], ["b/2.txt"]]
    assert read(tmp_path / "**" / "?.txt") == [["a/1.txt"], ["b/2.txt"]]
    assert read(tmp_path / "[odd].txt") == [["[odd].txt"]], "a file's own name is no pattern"


def test_a_data_set_on_the_hub_is_its_training_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(corpora, "load", lambda path, config, offline: {"test": (path, config), "train": ()})
    found = [Record(1, {"text": "One.\nTwo."}), Record(2, {"text": "Three."})]
    monkeypatch.setattr(HubSplit, "records", lambda self: iter(found if self.split == "train" else []))
    parts = find_corpus("hub:owner/wiki:2023.en")
    assert [part.name for part in parts] == ["owner/wiki:2023.en:train"]
    assert list(read_documents(parts)) == [["One.", "Two."], ["Three."]]


def test_only_as_many_documents_as_wanted_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT)
    (tmp_path / "b.txt").write_bytes(b"\xff")
    assert list(read_documents(find_corpus(str(tmp_path)), limit=2)) == DOCUMENTS[:2]


def test_documents_come_as_a_stream(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"fine\n\n" * 3000 + b"\xff\n")
    documents = read_documents(find_corpus(str(tmp_path)))
    assert next(documents) == ["fine"]
    with pytest.raises(DataError, match="D007"):
        list(documents)


def test_the_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    for name, text in {"a.txt": "one", "b.txt": "one", "c.txt": "two"}.items():
        (tmp_path / name).write_text(text)
    a, b, c = (part.fingerprint for part in find_corpus(str(tmp_path)))
    assert a == b != c


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    assert "check the path" in str(refused(tmp_path / "none.txt", "D080").help)
    refused(tmp_path / "*.txt", "D080")
    assert refused(tmp_path, "D081").found == "nothing"
    (tmp_path / "meta.json").write_text("{}")
    assert refused(tmp_path, "D081").found == "meta.json"
    with pytest.raises(UsageError, match="U062"):
        find_corpus("hub:a/b/c")


@pytest.mark.parametrize("name", ["a.csv", "a.json", "a.tsv.gz", "a.zip", "a.parquet.gz"])
def test_tables_and_archives_are_no_corpus(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"text\nx\n")
    assert "*.jsonl" in str(refused(tmp_path / name, "D088").allowed)


@pytest.mark.parametrize("raw", [b"", b"\n \n\t\n", b"\xef\xbb\xbf"])
def test_a_corpus_without_text_is_empty(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "a.txt").write_bytes(raw)
    refused(tmp_path / "a.txt", "D083")
    (tmp_path / "b.jsonl").write_text(rows(["", None]))
    assert refused(tmp_path, "D083").where == "a.txt, b.jsonl"
    (tmp_path / "c.txt").write_text("text")
    assert read(tmp_path) == [["text"]], "an empty file among others holds nothing, which is no mistake"


def test_a_binary_file_is_called_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR\n" * 9)
    error = refused(tmp_path / "a.txt", "D082")
    assert error.where == "a.txt:3" and "binary" in error.message
    (tmp_path / "a.txt").write_bytes(b"text\n" * 5000 + b"a\0b\n")
    assert refused(tmp_path / "a.txt", "D082").where == "a.txt:5001"


def test_text_in_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("fine\nfür alle\n".encode("latin-1"))
    error = refused(tmp_path / "a.txt", "D007")
    assert error.where == "a.txt:2" and "latin-1" in str(error.help)
    (tmp_path / "a.txt").write_bytes("text".encode("utf-16"))
    assert "data.encoding=utf-16" in str(refused(tmp_path / "a.txt", "D008").help)


@pytest.mark.parametrize("name", ["a.txt.gz", "a.jsonl.zst"])
def test_damaged_compression_is_named(tmp_path: Path, name: str) -> None:
    raw = rows(["some text that is long enough"] * 50).encode()
    whole = gzip.compress(raw) if name.endswith("gz") else zstd(raw)
    for damaged in (whole[: len(whole) // 2], b"no archive at all\n"):
        (tmp_path / name).write_bytes(damaged)
        assert "-t a." in str(refused(tmp_path / name, "D009").help)


def test_a_missing_text_column_is_refused_with_those_there(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(rows(["x"]) + rows(["y"], column="texts"))
    error = refused(tmp_path / "a.jsonl", "D086")
    assert (error.where, error.found) == ("a.jsonl:2", "id, texts")
    assert "data.columns.text=texts" in str(error.help)
    pq.write_table(pa.table({"title": ["x"], "abstract": ["y"]}), tmp_path / "b.parquet")
    error = refused(tmp_path / "b.parquet", "D086")
    assert error.where == "b.parquet" and error.found == "title, abstract"


def test_something_else_than_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(rows(["x", ["a", "list"]]))
    assert refused(tmp_path / "a.jsonl", "D087").where == "a.jsonl:2"
    pq.write_table(pa.table({"text": [1, 2]}), tmp_path / "b.parquet")
    assert refused(tmp_path / "b.parquet", "D087").where == "b.parquet row 1"
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and then nothing")
    refused(tmp_path / "c.parquet", "D018")
    (tmp_path / "d.jsonl").write_text('{"text": "x"}\n{"text": NaN}\n')
    assert str(refused(tmp_path / "d.jsonl", "D014").where).startswith("d.jsonl:2")


@pytest.mark.parametrize(
    ("source", "documents"),
    [
        ("enwiki_sample", 750),
        ("gutenberg6", 6),
        ("bert_format/zh_cluecorpussmall.txt", 2500),
        ("bert_format/en_sample.txt", 3),
    ],
)
def test_real_corpora_are_read_whole(source: str, documents: int) -> None:
    if not (REAL / source).exists():
        pytest.skip(f"no '{source}' in BERTCTL_TEST_DATA")
    found = list(read_documents(find_corpus(str(REAL / source))))
    assert len(found) == documents
    assert all(line == line.strip() != "" for document in found for line in document)
