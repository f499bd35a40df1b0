"""Every layout gives the same questions, each with its place in the file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from tiny_questions import flat, nested, tiny_paragraphs, write_json, write_rows

from bert_cli.data.read import Record, iter_records
from bert_cli.data.squad import Asked, asked
from bert_cli.errors import DataError

PARAGRAPHS = tiny_paragraphs(5)


def read(path: Path) -> list[Asked]:
    return list(asked(iter_records(path), origin=path.name))


def seen(rows: list[Asked]) -> list[tuple[Any, ...]]:
    return [tuple(row.values[name] for name in ("id", "question", "context")) for row in rows]


FLAT = [(row["id"], row["question"], row["context"]) for row in flat(PARAGRAPHS)]


@pytest.mark.parametrize("indent", [None, 1])
def test_nested_json_is_read_in_one_line_and_over_many(tmp_path: Path, indent: int | None) -> None:
    rows = read(write_json(tmp_path / "t.json", nested(PARAGRAPHS), indent=indent))
    assert seen(rows) == FLAT
    assert [row.line for row in rows] == list(range(1, len(rows) + 1))
    assert rows[-1].where == "t.json: data[2].paragraphs[0].qas[2]"
    # The context of a paragraph is one string, however many ask about it.
    assert rows[0].values["context"] is rows[1].values["context"]


def test_lists_of_articles_and_of_paragraphs_and_flat_rows_hold_the_same(tmp_path: Path) -> None:
    assert seen(read(write_json(tmp_path / "articles.json", nested(PARAGRAPHS)["data"]))) == FLAT
    paragraphs = read(write_rows(tmp_path / "paragraphs.jsonl", PARAGRAPHS))
    assert seen(paragraphs) == FLAT
    assert paragraphs[4].where == "paragraphs.jsonl:2: qas[1]"
    rows = read(write_rows(tmp_path / "flat.jsonl", flat(PARAGRAPHS)))
    assert seen(rows) == FLAT
    assert (rows[4].line, rows[4].where) == (5, "flat.jsonl:5")


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "t.json.gz"
    path.write_bytes(gzip.compress(json.dumps(nested(PARAGRAPHS)).encode(), mtime=0))
    assert seen(read(path)) == FLAT


def test_ids_of_articles_and_paragraphs_are_not_those_of_questions(tmp_path: Path) -> None:
    article = {"id": "article", "title": "t", "paragraphs": [{"id": 7, "context": "c", "qas": [{"question": "q"}]}]}
    (row,) = read(write_json(tmp_path / "t.json", {"data": [article]}))
    assert row.values == {"title": "t", "context": "c", "question": "q"}


def test_a_column_that_is_called_as_a_level_is_a_column() -> None:
    values: dict[str, object] = {"question": "q", "context": "c", "data": "2019"}
    (row,) = asked([Record(3, values)], origin="t.csv", header=lambda line: "t.csv:1")
    assert (row.values, row.where, row.header) == (values, "t.csv:3", "t.csv:1")


@pytest.mark.parametrize(
    ("value", "where"),
    [
        ({"data": ["oops"]}, "t.json: data[0]"),
        ({"data": [{"paragraphs": [{"context": "c", "qas": [None]}]}]}, "t.json: data[0].paragraphs[0].qas[0]"),
    ],
)
def test_lists_of_anything_else_are_refused_with_their_place(tmp_path: Path, value: Any, where: str) -> None:
    with pytest.raises(DataError) as caught:
        read(write_json(tmp_path / "t.json", value))
    assert (caught.value.code, caught.value.where) == ("D120", where)


def test_an_object_over_several_lines_that_is_broken_has_its_line(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text('{"data": [\n {"paragraphs": [}\n]}\n')
    with pytest.raises(DataError) as caught:
        read(path)
    assert (caught.value.code, caught.value.where) == ("D014", "t.json:2:18")
