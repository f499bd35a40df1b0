"""Column files of tagged sentences: columns, boundaries, lines."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from bert_cli.data.read import Record, format_of, iter_records
from bert_cli.errors import DataError


def records(folder: Path, text: str, name: str = "train.conll") -> list[Record]:
    (folder / name).write_bytes(text.encode())
    return list(iter_records(folder / name))


def test_sentences_end_at_blank_lines_and_begin_where_their_first_token_stands(tmp_path: Path) -> None:
    found = records(tmp_path, "\n\nEU B-ORG\nrejects O\n\n\nGerman B-MISC\n")
    assert [record.line for record in found] == [3, 7]
    assert [record.values["tokens"] for record in found] == [["EU", "rejects"], ["German"]]
    assert [record.values["tags"] for record in found] == [["B-ORG", "O"], ["B-MISC"]]


def test_the_last_of_several_columns_is_the_tag_and_all_have_a_number(tmp_path: Path) -> None:
    text = "-DOCSTART- -X- -X- O\n\nEU NNP I-NP I-ORG\nrejects VBZ I-VP O\n"
    (record,) = records(tmp_path, text)
    assert record.values["tags"] == ["I-ORG", "O"]
    assert record.values["2"] == ["NNP", "VBZ"] and record.values["1"] == ["EU", "rejects"]


def test_with_tabs_a_token_may_hold_spaces(tmp_path: Path) -> None:
    (record,) = records(tmp_path, "New York\tB-LOC\r\nis\tO\r\n")
    assert record.values["tokens"] == ["New York", "is"] and record.values["tags"] == ["B-LOC", "O"]


def test_a_hash_is_a_token_but_documents_of_ontonotes_have_bounds(tmp_path: Path) -> None:
    text = "#begin document (bc/cctv); part 000\n#love O\n\n#end document\n"
    (record,) = records(tmp_path, text)
    assert record.values["tokens"] == ["#love"]


def test_a_single_column_is_tokens_without_tags(tmp_path: Path) -> None:
    (record,) = records(tmp_path, "EU\nrejects\n")
    assert record.values == {"tokens": ["EU", "rejects"], "1": ["EU", "rejects"]}


def test_conllu_has_named_columns_and_only_syntactic_words(tmp_path: Path) -> None:
    rest = "\t_\t_\t_\t_\t_\t_"
    lines = ["# text = don't", "1-2\tdon't\t_\t_" + rest, "1\tdo\tdo\tAUX" + rest, "2\tn't\tnot\tPART" + rest]
    lines += ["2.1\t_\t_\tX" + rest, ""]
    (record,) = records(tmp_path, "\n".join(lines), "train.conllu")
    assert record.values["tokens"] == ["do", "n't"] and record.values["tags"] == ["AUX", "PART"]
    assert record.values["lemma"] == ["do", "not"] and record.values["4"] == ["AUX", "PART"]
    assert record.line == 3


def test_the_suffixes_of_tagged_files_are_known_also_when_compressed(tmp_path: Path) -> None:
    for suffix in ("conll", "iob", "iob2", "bio", "bioes", "conllu"):
        assert format_of(f"train.{suffix}.gz") == ("train", f"{suffix}.gz")
    (tmp_path / "train.iob2.gz").write_bytes(gzip.compress(b"EU B-ORG\n"))
    (record,) = iter_records(tmp_path / "train.iob2.gz")
    assert record.values["tags"] == ["B-ORG"]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("EU B-ORG\nrejects\n", 2, "1: rejects"),
        ("EU B-ORG\n\nNew York B-LOC\n", 3, "3: New, York, B-LOC"),
        ("EU\tB-ORG\n\tO\n", 2, "an empty first column"),
    ],
)
def test_a_line_with_other_columns_is_refused_where_it_stands(tmp_path: Path, text: str, line: int, found: str) -> None:
    with pytest.raises(DataError) as caught:
        records(tmp_path, text)
    assert (caught.value.code, caught.value.where, caught.value.found) == ("D115", f"train.conll:{line}", found)


def test_blank_lines_alone_are_no_rows(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        records(tmp_path, "\n \n")
    assert caught.value.code == "D006"
