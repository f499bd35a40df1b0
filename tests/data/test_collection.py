"""The layout of BEIR: what is read, what is refused, and which files belong together."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_searches import tiny_search, write_lines, write_qrels

from bert_cli.data.bm25 import BM25
from bert_cli.data.queries import Queries
from bert_cli.data.searches import are_judgements, load_searches
from bert_cli.data.source import Source, find_sources
from bert_cli.errors import DataError, UsageError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import find_task

CORPUS = [
    {"_id": "a", "title": "One", "text": "first text"},
    {"_id": "b", "title": "", "text": "second"},
    {"_id": 7, "text": ""},
]
QUERIES = [{"_id": "q1", "text": "what is first"}, {"_id": "q2", "text": "the second"}, {"_id": "q3", "text": "none"}]
QRELS = [("q1", "a", 1), ("q1", "b", 0), ("q2", "b", 2), ("q2", "7", 1)]


def folder(root: Path, *, corpus: Any = CORPUS, queries: Any = QUERIES, **qrels: Any) -> Path:
    write_lines(root / "corpus.jsonl", corpus)
    write_lines(root / "queries.jsonl", queries)
    for name, rows in (qrels or {"train": QRELS, "test": QRELS[:1]}).items():
        write_qrels(root / "qrels" / f"{name}.tsv", rows)
    return root


def sources(root: Path, task: str = "scifact") -> dict[str, Source]:
    return find_sources(find_task(task), DataSection(source=str(root)))


def load(root: Path, *splits: str, **data: Any) -> dict[str, Queries]:
    return load_searches(DataSection(source=str(root), **data), sources(root), splits or ("train",), seed=3)[0]


def refused(root: Path) -> DataError:
    with pytest.raises(DataError) as caught:
        load(root)
    assert len(caught.value.render().splitlines()) <= 6
    return caught.value


def test_texts_queries_and_grades_are_read_as_they_are_written(tmp_path: Path) -> None:
    rows = load(folder(tmp_path))["train"]
    assert rows.collection.ids == ["a", "b", "7"] and rows.collection.texts == ["One first text", "second", ""]
    assert (rows.ids, rows.texts) == (["q1", "q2"], ["what is first", "the second"])
    assert rows.grades == [{0: 1, 1: 0}, {1: 2, 2: 1}] and rows.lines.tolist() == [2, 4]
    assert (rows.name, rows.origin, len(rows), rows.empty_texts) == ("train", "qrels/train.tsv", 2, 0)


def test_the_files_beside_the_judgements_may_be_compressed_or_of_another_format(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "corpus.jsonl.gz").write_bytes(gzip.compress((root / "corpus.jsonl").read_bytes()))
    (root / "corpus.jsonl").unlink()
    (root / "queries.jsonl").unlink()
    (root / "queries.tsv").write_text("qid\tquery\nq1\twhat is first\nq2\tthe second\n", encoding="utf-8")
    assert load(root)["train"].texts == ["what is first", "the second"]


@pytest.mark.parametrize("given", [".", "scifact", "scifact/qrels", "scifact/qrels/train.tsv"])
def test_the_folder_is_found_from_wherever_it_is_named(tmp_path: Path, given: str) -> None:
    folder(tmp_path / "scifact")
    found = sources(tmp_path / given)
    assert are_judgements(found) and found["train"].beside["corpus"].origin == "corpus.jsonl"
    assert set(found) == ({"train"} if given.endswith("tsv") else {"train", "test"})


def test_a_folder_of_pairs_has_nothing_beside_it(tmp_path: Path) -> None:
    write_lines(tmp_path / "train.jsonl", [{"text": "a", "text_pair": "b"}])
    assert not are_judgements(sources(tmp_path, "sentence-similarity"))


def test_a_fingerprint_covers_corpus_and_queries(tmp_path: Path) -> None:
    root = folder(tmp_path)
    before = {name: source.fingerprint() for name, source in sources(root).items()}
    assert before == {name: source.fingerprint() for name, source in sources(root).items()}
    assert before["train"] != before["test"]
    for name in ("corpus", "queries"):
        text = (root / f"{name}.jsonl").read_text()
        (root / f"{name}.jsonl").write_text(text.replace("first", "fast"))
        after = {split: source.fingerprint() for split, source in sources(root).items()}
        assert all(after[split] != before[split] for split in before)
        before = after


def test_validation_is_held_out_by_queries(tmp_path: Path) -> None:
    root = tiny_search(tmp_path)
    loaded = load(root, "train", "validation")
    train, validation = loaded["train"], loaded["validation"]
    assert (len(train), len(validation)) == (22, 2) and validation.held_out == 0.1
    assert not set(train.ids) & set(validation.ids) and train.collection is validation.collection
    assert load(root, "validation")["validation"].ids == validation.ids


def test_a_limit_is_one_of_queries_and_leaves_the_corpus_whole(tmp_path: Path) -> None:
    rows = load(tiny_search(tmp_path), limit=3)["train"]
    assert rows.ids == ["q0", "q1", "q2"] and len(rows.collection) == 60
    assert rows.grades[0] == {0: 1, 50: 2, 5: 0}


def test_queries_without_a_relevant_text_are_left_out_and_told(tmp_path: Path) -> None:
    root = folder(tmp_path, train=[*QRELS, ("q3", "a", 0), ("q3", "b", -1)])
    loaded, doubts = load_searches(DataSection(source=str(root)), sources(root), ("train",), seed=3)
    assert loaded["train"].ids == ["q1", "q2"]
    assert doubts == ("qrels/train.tsv: 1 query has no relevant text and is left out",)


@pytest.mark.parametrize(
    ("change", "code", "where"),
    [
        ({"train": [*QRELS, ("q9", "a", 1)]}, "D154", "qrels/train.tsv:6"),
        ({"train": [*QRELS, ("q1", "zz", 1)]}, "D154", "qrels/train.tsv:6"),
        ({"train": [*QRELS, ("q1", "7", "high")]}, "D155", "qrels/train.tsv:6"),
        ({"train": [*QRELS, ("q1", "7", "0.5")]}, "D155", "qrels/train.tsv:6"),
        ({"train": [*QRELS, ("q1", "a", 2)]}, "D156", "qrels/train.tsv:6"),
        ({"train": [("q1", "a", 0), ("q2", "b", 0)]}, "D157", "qrels/train.tsv"),
        ({"corpus": [*CORPUS, {"_id": "a", "text": "again"}]}, "D152", "corpus.jsonl:4"),
        ({"queries": [*QUERIES, {"_id": "q2", "text": "again"}]}, "D152", "queries.jsonl:4"),
        ({"corpus": [{"_id": "a", "words": "x"}]}, "D151", "corpus.jsonl:1"),
        ({"corpus": [{"name": "a", "text": "x"}]}, "D151", "corpus.jsonl:1"),
        ({"corpus": [{"_id": "a", "text": None}]}, "D153", "corpus.jsonl:1"),
        ({"corpus": [{"_id": None, "text": "x"}]}, "D153", "corpus.jsonl:1"),
        ({"corpus": [{"_id": "a", "title": 3, "text": "x"}]}, "D153", "corpus.jsonl:1"),
        ({"corpus": []}, "D005", "corpus.jsonl"),
    ],
)
def test_what_is_wrong_is_refused_with_its_line(tmp_path: Path, change: dict[str, Any], code: str, where: str) -> None:
    error = refused(folder(tmp_path, **{"train": QRELS, **change}))
    assert (error.code, error.where) == (code, where)


def test_named_columns_are_refused_where_nothing_would_read_them(tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load(folder(tmp_path), columns={"text": "body"})
    assert (caught.value.code, caught.value.key) == ("U063", "data.columns.text")


def test_judgements_without_a_header_are_refused(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "qrels" / "train.tsv").write_text("q1\ta\t1\nq2\tb\t1\n", encoding="utf-8")
    error = refused(root)
    assert (error.code, error.where) == ("D151", "qrels/train.tsv:1")


def test_the_same_judgement_twice_is_one(tmp_path: Path) -> None:
    assert load(folder(tmp_path, train=[*QRELS, ("q1", "a", 1)]))["train"].grades[0] == {0: 1, 1: 0}


@pytest.mark.parametrize("name", ["corpus", "queries"])
def test_judgements_need_corpus_and_queries_beside_them(tmp_path: Path, name: str) -> None:
    root = folder(tmp_path)
    (root / f"{name}.jsonl").rename(root / f"{name}.csv")
    assert sources(root)
    (root / f"{name}.tsv").touch()
    with pytest.raises(DataError, match="2 files could be the") as caught:
        sources(root)
    assert caught.value.code == "D150"
    (root / f"{name}.tsv").unlink()
    (root / f"{name}.csv").unlink()
    with pytest.raises(DataError, match=f"no file holds the {name}") as caught:
        sources(root)
    assert caught.value.code == "D150"


def test_near_ids_are_suggested(tmp_path: Path) -> None:
    corpus = [{"_id": "MED-1001", "text": "x"}, *CORPUS]
    error = refused(folder(tmp_path, corpus=corpus, train=[*QRELS, ("q1", "MED-1002", 1)]))
    assert "did you mean 'MED-1001'" in error.render()


def test_hard_negatives_are_near_and_never_relevant(tmp_path: Path) -> None:
    rows = load(tiny_search(tmp_path))["train"]
    search = BM25(rows.collection.texts)
    drawn = rows.hard_negatives(search, count=4, seed=1)
    near = search.search(rows.texts, depth=100).tolist()
    for grades, of_query, found in zip(rows.grades, drawn, near, strict=True):
        assert len(of_query) == sum(grade > 0 for grade in grades.values())
        for negatives in of_query:
            assert len(set(negatives)) == 4 and set(negatives) <= set(found)
            assert all(grades.get(place, 0) <= 0 for place in negatives)
    assert rows.hard_negatives(search, count=4, seed=1) == drawn
    assert rows.hard_negatives(search, count=4, seed=2) != drawn
    # Without a search, those that were judged not relevant.
    judged = rows.hard_negatives(None, count=4, seed=1)
    assert judged[1] == [[6]]


def test_copies_of_a_query_or_of_what_it_is_to_find_are_no_negatives(tmp_path: Path) -> None:
    copies = [{"_id": "copy of the query", "text": "what is first"}, {"_id": "copy", "text": "One first text"}]
    rows = load(folder(tmp_path, corpus=[*CORPUS, *copies, {"_id": "other", "text": "first of all"}]))["train"]
    search = BM25(rows.collection.texts)
    near = search.search(rows.texts, depth=100).tolist()[0]
    drawn = rows.hard_negatives(search, count=100, seed=1)[0][0]
    places = {rows.collection.places[copy["_id"]] for copy in copies}
    assert places <= set(near) and not places & set(drawn)
    assert rows.collection.places["other"] in drawn


def test_what_a_check_of_data_sees_are_the_judged_pairs(tmp_path: Path) -> None:
    rows = load(folder(tmp_path))["train"]
    contents = rows.contents(None)
    assert contents.parts["query"] == ["what is first"] * 2 + ["the second"] * 2
    assert contents.parts["document"] == ["One first text", "second", "second", ""]
    assert contents.golds == ["1", "0", "2", "1"] and np.array_equal(contents.lines, [2, 2, 4, 4])


@pytest.mark.parametrize(
    ("name", "texts", "queries"), [("scifact", 5183, 300), ("nfcorpus", 3395, 323), ("cranfield", 1400, 225)]
)
def test_real_judgements_are_read_whole(name: str, texts: int, queries: int) -> None:
    from test_real_data import ROOT

    if not (ROOT / name).is_dir():
        pytest.skip(f"no folder '{name}' in BERTCTL_TEST_DATA")
    data = DataSection(source=str(ROOT))
    found, doubts = load_searches(data, find_sources(find_task(name), data), ("test",), seed=1)
    assert (len(found["test"].collection), len(found["test"]), doubts) == (texts, queries, ())
    # What the files say beside our reading: as many judgements as lines.
    lines = len((ROOT / name / "qrels" / "test.tsv").read_text(encoding="utf-8").splitlines()) - 1
    assert sum(map(len, found["test"].grades)) == lines
    assert json.loads((ROOT / name / "meta.json").read_text())["splits"]["qrels/test"]["rows"] == lines
