"""Where sentences end: nothing is lost or changed, and what is cut reads as sentences in English and Chinese."""

from __future__ import annotations

import gzip
import json
import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bert_cli.data import sentences
from bert_cli.data.sentences import document_pieces, split_sentences

REAL = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

ENGLISH = [
    ["It rained.", "We stayed in!", "Did you?", "Yes."],
    ["Dr. Smith met Mr. J. R. Jones Jr. and Mrs. Lee.", "They left."],
    ["It costs 3.50 dollars, i.e. 10% of No. 5.", "See Fig. 3 and pp. 4 for more."],
    ["The firm Acme Inc. opened in the U.S. Navy yard in Jan. 1990.", "It closed in Feb.", "The rest is known."],
    ["He lives in the U.S.", "However, she lives in D.C. Park."],
    ["Apples, pears, etc. are fruits.", "Plums, etc.", "They are too."],
    ['"Go away!" she said.', '"Why?"', "He left (for good.)", "Then he came back."],
    ["Wait... what?", "Well…", "No."],
    ["“It was late.”", "“And cold.”", "‘Indeed.’", "Ada nodded."],
    ["Cats sleep.[12]", "Dogs bark.[1][2]", "Cows moo."],
    ["What is Yahoo! about?", "Search."],
    ["It was in 1990.", "20 men came."],
    ["1. Wash the rice."],
    ["He saw World War I.", "She did not."],
    ["Is 5 p.m. too late?", "We came at 5 p.m.", "The door was shut."],
    ["No.", "It is not."],
    ["one without an end"],
    ["a small letter. never begins a sentence."],
    ["He left .", "She stayed ."],
]
CHINESE = [
    ["今天天气很好。", "我们去公园吧！", "你来吗？", "来。"],
    ["他说：“你好！”", "她笑了。"],
    ["“真的吗？”，他问。", "没人回答……", "天黑了。"],
    ["第一句；", "第二句。", "（他走了。）", "「再見。」", "『好！』", "完"],
    ["价格是3.5元。", "版本1.0.2发布了！", "好。"],
    ["你好!", "我是小明?", "是"],
    ["中文。", "English follows.", " 再见。"],
    ["什么？！", "真的！！！", "好"],
]


@pytest.mark.parametrize("sentences", ENGLISH, ids=lambda case: case[0][:24])
def test_english_sentences_are_found(sentences: list[str]) -> None:
    assert [piece.strip() for piece in split_sentences(" ".join(sentences))] == sentences


@pytest.mark.parametrize("sentences", CHINESE, ids=lambda case: case[0])
def test_chinese_sentences_need_no_space(sentences: list[str]) -> None:
    assert split_sentences("".join(sentences)) == sentences


texts = st.lists(
    st.one_of(
        st.sampled_from(
            [
                ". ",
                ".",
                "! ",
                "?",
                "...",
                "…",
                "。",
                "！”",
                "；",
                "”",
                '"',
                "(",
                "）",
                " ",
                "\t",
                "\u3000",
                "Mr",
                "e.g",
                "U.S",
                "7",
            ]
        ),
        st.text(max_size=5),
    ),
    max_size=30,
).map("".join)


@given(texts)
def test_the_pieces_of_a_text_are_the_text(text: str) -> None:
    pieces = split_sentences(text)
    assert "".join(pieces) == text
    assert all(pieces)
    if text.strip():
        assert all(piece.strip() for piece in pieces), "a sentence is more than white space"


@given(texts)
def test_white_space_stands_before_a_sentence_never_behind_it(text: str) -> None:
    assert all(piece == piece.rstrip() for piece in split_sentences(text)[:-1])


def test_lines_become_running_text() -> None:
    assert document_pieces(["One. Two.", "Three"], by="split") == ["One.", " Two.", " Three"]
    assert document_pieces(["One. Two.", "Three"], by="lines") == ["One. Two.", " Three"]


def test_chinese_lines_are_joined_without_a_space() -> None:
    assert document_pieces(["标题", "今天。", "“好。”", "a", "词"], by="split") == [
        "标题",
        "今天。",
        "“好。”",
        " a",
        " 词",
    ]
    assert "".join(document_pieces(["他说：“好”", "（完）"], by="lines")) == "他说：“好”（完）"


def test_a_sentence_broken_to_fit_a_page_is_one() -> None:
    lines = ["Alice was beginning to get very tired of sitting by her sister on the", "bank. So she left", "and ran."]
    assert document_pieces(lines, by="split") == [
        "Alice was beginning to get very tired of sitting by her sister on the bank.",
        " So she left and ran.",
    ]
    assert document_pieces(["A heading", "Its text."], by="split") == ["A heading", " Its text."]
    assert document_pieces(["It ended.", "then more"], by="split") == ["It ended.", " then more"]


def test_text_without_capitals_is_cut_at_its_marks() -> None:
    line = "it rained. we stayed, i.e. slept! why?"
    assert document_pieces([line, "no end", "1990"], by="split") == [
        "it rained.",
        " we stayed, i.e. slept!",
        " why?",
        " no end",
        " 1990",
    ]
    assert document_pieces([line, "Capital."], by="split") == [line, " Capital."]


words = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=8)
lines = st.lists(st.lists(words, min_size=1, max_size=6).map(" ".join), min_size=1, max_size=8)


@given(lines, st.sampled_from(["split", "lines"]))
def test_a_document_keeps_every_character_of_its_lines(document: list[str], by: str) -> None:
    pieces = document_pieces(document, by=by)
    assert "".join("".join(pieces).split()) == "".join("".join(document).split())
    assert all(pieces) and (by == "split" or len(pieces) == len(document))


@pytest.mark.parametrize(("folder", "shortest", "longest"), [("enwiki_sample", 90, 160), ("zhwiki_sample", 20, 60)])
def test_real_text_is_cut_into_sentences_of_usual_length_and_kept_whole(
    folder: str, shortest: int, longest: int
) -> None:
    file = REAL / folder / "all.jsonl.gz"
    if not file.is_file():
        pytest.skip(f"no folder '{folder}' in BERTCTL_TEST_DATA")
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        documents = [json.loads(line)["text"] for line, _ in zip(stream, range(200), strict=False)]
    size, count, began = 0, 0, time.process_time()
    for text in documents:
        for line in text.split("\n"):
            pieces = split_sentences(line)
            assert "".join(pieces) == line
            size, count = size + len(line), count + len(pieces)
    seconds = time.process_time() - began
    assert shortest < size / count < longest
    assert size / seconds > 2e6, "characters a second, far below what it does"


@given(st.lists(st.sampled_from(["A", "go on", "end.", "“ok.”", "好。", "然", "Mr.", "b. C d", "x y z e f g h i j"])))
def test_lines_that_go_on_are_pieces_put_together(document: list[str]) -> None:
    """Against all pieces joined line by line."""
    wanted: list[str] = []
    capitals = any(line != line.lower() for line in document)
    for line in document:
        found = split_sentences(line, capitals=capitals)
        if wanted:
            glue = "" if sentences._no_space_between(wanted[-1][-1], line[0]) else " "
            found[0] = glue + found[0]
            if capitals and line[0].islower() and not sentences._closed(wanted[-1]):
                found[0] = wanted.pop() + found[0]
        wanted += found
    assert document_pieces(document, by="split") == wanted
