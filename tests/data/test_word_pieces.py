"""Pieces of words by themselves, for WordPiece, byte-level BPE and SentencePiece-like tokenizers."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from tiny import tiny_tokenizer

from bert_cli.data.segment import join, segment
from bert_cli.data.word_pieces import WordPieces
from bert_cli.models.build import load_tokenizer
from bert_cli.models.tokenizer import Kind, train_tokenizer
from bert_cli.toyworld.documents import documents

CHINESE = "今天天气很好，我们去公园散步。"
TEXTS = [*(" ".join(lines) for lines in documents(40, seed=1)), *[CHINESE] * 4]


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    root = tmp_path_factory.mktemp("word-pieces")
    kinds: tuple[Kind, ...] = ("wordpiece", "bpe", "unigram")
    for kind in kinds:
        train_tokenizer(TEXTS, root / kind, kind=kind, vocab_size=500, lowercase=False, max_length=64)
    return {kind: load_tokenizer(root / kind) for kind in kinds}


def pieces(tokenizer: Any, text: str, words: Any) -> list[list[str]]:
    (found,) = WordPieces(tokenizer).of([text], [words])
    return [tokenizer.convert_ids_to_tokens(ids.tolist()) for ids in found]


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_words_with_spaces_between_them_have_the_pieces_of_the_whole_text(
    tokenizers: dict[str, Any], kind: str
) -> None:
    tokenizer = tokenizers[kind]
    for text in TEXTS[:10]:
        words = [word for word in text.split() if word.isalpha()]
        text, places = join(words)
        flat = [piece for word in pieces(tokenizer, text, places) for piece in word]
        assert flat == tokenizer.convert_ids_to_tokens(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_no_piece_belongs_to_two_words(tokenizers: dict[str, Any], kind: str) -> None:
    tokenizer = tokenizers[kind]
    found = pieces(tokenizer, CHINESE, segment(CHINESE))
    assert len(found) == len(CHINESE)
    assert all(found)
    decoded = [tokenizer.decode(tokenizer.convert_tokens_to_ids(word)).strip() for word in found]
    assert decoded == [unicodedata.normalize("NFKC", letter) if kind == "unigram" else letter for letter in CHINESE]


def test_the_lone_word_mark_of_sentencepiece_is_left_out_inside_of_a_run(tokenizers: dict[str, Any]) -> None:
    tokenizer = tokenizers["unigram"]
    assert tokenizer.tokenize("园")[0] == "▁"
    assert pieces(tokenizer, "公园 公", segment("公园 公"))[1] == tokenizer.tokenize("园")[1:]
    assert pieces(tokenizer, "公园 公", segment("公园 公"))[2] == tokenizer.tokenize(" 公")


def test_a_word_that_the_tokenizer_does_not_see_has_no_piece() -> None:
    text, words = join(["the", "\u200b", "", "film"])
    assert [len(word) for word in pieces(tiny_tokenizer(), text, words)] == [1, 0, 0, 1]


def test_pieces_are_remembered_between_calls(tokenizers: dict[str, Any]) -> None:
    calls: list[int] = []

    class Counting:
        unk_token_id = 1

        def convert_tokens_to_ids(self, token: str) -> int:
            return 1

        def __call__(self, names: list[str], **options: Any) -> dict[str, list[list[int]]]:
            calls.append(len(names))
            return {"input_ids": [[len(name)] for name in names]}

    known = WordPieces(Counting())
    for text in ("a b b", "b a c"):
        known.of([text], [segment(text)])
    assert calls == [2, 3]
