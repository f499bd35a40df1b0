"""Texts that say nothing, or not what was written."""

from __future__ import annotations

import pytest
from small_splits import small

from bert_cli.inspect.contents import Contents
from bert_cli.inspect.finding import Finding
from bert_cli.inspect.texts import text_findings


def said(split: Contents) -> dict[str, Finding]:
    return {finding.name: finding for finding in text_findings([split])}


def test_sound_texts_give_nothing_to_say() -> None:
    texts = ["Nan was here", "nano", "N/A means nothing", "Ça, c'est l'été à Âtre", "1 234 €", "电影", "naïve café"]
    assert said(small("train", texts, ["a"] * len(texts))) == {}


def test_empty_texts_are_told_by_role() -> None:
    split = small("train", ["a", "", " \n"], ["x"] * 3, parts={"text_pair": ["b", "c", ""]})
    first, second = text_findings([split])
    assert first.what == "2 of 3 rows (66.7 %) of train are empty" and first.where == ("train.csv:3", "train.csv:4")
    assert second.what == "1 of 3 rows (33.3 %) of train, in text_pair, is empty"
    assert first.severity == second.severity == "warning"


@pytest.mark.parametrize("text", ["nan", "NaN", " None ", "null", "N/A", "<NA>"])
def test_what_programs_write_for_nothing_is_a_note(text: str) -> None:
    finding = said(small("train", ["a", text], ["x", "x"]))["null-text"]
    assert finding.severity == "note" and finding.where == ("train.csv:3",) and f"'{text.strip()}'" in finding.what


@pytest.mark.parametrize("text", ["it’s the café".encode().decode(coding) for coding in ("cp1252", "latin-1")])
def test_text_that_was_read_in_a_wrong_encoding_is_found(text: str) -> None:
    finding = said(small("train", ["a", text, "cut \ufffd off"], ["x"] * 3))["damaged-text"]
    assert finding.count == 2 and finding.severity == "warning" and "data.encoding" in str(finding.help)
    many = said(small("train", ["a"] * 500 + [text], ["x"] * 501))["damaged-text"]
    assert many.severity == "note"


def test_a_split_without_labels_and_rows_without_a_class() -> None:
    assert said(small("test", ["a"]))["no-labels"].what == "test has no labels"
    bare = said(small("train", ["a", "b"], ["x", ""], classes={"x": 1}))["no-class"]
    assert bare.what == "1 of 2 rows (50.0 %) of train has no class at all" and bare.where == ("train.csv:3",)
