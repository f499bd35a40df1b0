"""Documents as tokens: those of the whole text, with the sentences and words of the text."""

from __future__ import annotations

import os
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from prepared import KINDS, TEXT, documents, flat, prepare, running_texts, train, trained

from bert_cli.data import encode
from bert_cli.data.corpus import find_corpus, read_documents
from bert_cli.data.encode import Encoder, Pieces
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import TokenizerFiles, prepare_corpus_folder
from bert_cli.data.sentences import document_pieces
from bert_cli.data.shards import is_prepared
from bert_cli.errors import BertctlError

REAL = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


@pytest.mark.parametrize("kind", KINDS)
def test_the_tokens_of_a_document_are_those_of_its_whole_text(kind: str, tmp_path: Path) -> None:
    tokenizer = trained(kind)
    corpus = prepare(tmp_path, TEXT, tokenizer)
    wholes = ["".join(pieces) for pieces in running_texts(TEXT)]
    assert [flat(found) for found in documents(corpus)] == tokenizer(wholes, add_special_tokens=False)["input_ids"]


@pytest.mark.parametrize("kind", KINDS)
def test_sentences_end_where_those_of_the_text_do(kind: str, tmp_path: Path) -> None:
    tokenizer = trained(kind)
    corpus = prepare(tmp_path, TEXT, tokenizer)
    for found, pieces in zip(documents(corpus), running_texts(TEXT), strict=True):
        assert len(found) == len(pieces)
        for ids, piece in zip(found, pieces, strict=True):
            own = tokenizer(piece, add_special_tokens=False)["input_ids"]
            # At its very beginning, a sentence on its own may be read with a space before it.
            assert ids[-1] == own[-1] and abs(len(ids) - len(own)) <= 1


@pytest.mark.parametrize("kind", KINDS)
def test_words_begin_where_white_space_ends(kind: str, tmp_path: Path) -> None:
    tokenizer = trained(kind)
    text = "walking  walked walks and unbelievable things happen"
    corpus = prepare(tmp_path, text, tokenizer)
    (shard,) = corpus.shards
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    starts = [offsets[i][0] for i in np.flatnonzero(shard.words)]
    words = [text[a:b].strip() for a, b in zip(starts, [*starts[1:], len(text)], strict=True)]
    assert [word for word in words if word] == text.split()


def test_wordpiece_words_are_those_of_the_tokenizer(tmp_path: Path) -> None:
    tokenizer = trained("wordpiece")
    corpus = prepare(tmp_path, TEXT, tokenizer)
    begins = np.concatenate([shard.words for shard in corpus.shards])
    expected: list[bool] = []
    for pieces in running_texts(TEXT):
        words = tokenizer("".join(pieces), add_special_tokens=False).word_ids()
        expected += [i == 0 or words[i] != words[i - 1] for i in range(len(words))]
    assert begins.tolist() == expected


@pytest.mark.parametrize("kind", KINDS)
def test_a_chinese_character_never_shares_a_word_with_the_next_token(kind: str, tmp_path: Path) -> None:
    """Bytes of one character stay together; a clause is not one word."""
    tokenizer = trained(kind)
    text = "我們不知道今天天气很好and我们去公園吧"
    corpus = prepare(tmp_path, text, tokenizer)
    (shard,) = corpus.shards
    offsets = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for i in range(1, len(offsets)):
        begin, before = offsets[i][0], offsets[i - 1][0]
        if not text[begin].isascii():
            assert shard.words[i] == (begin != before)
    assert shard.words[next(i for i, (begin, _) in enumerate(offsets) if text[begin] == "a")]


@pytest.mark.parametrize("kind", KINDS)
def test_jieba_joins_the_tokens_of_a_chinese_word(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["我們", "不", "知道", "，", "Hello", " ", "World", "！", "公園"]

    def lcut(text: str) -> list[str]:
        assert text == "".join(words)
        return words

    fake = types.SimpleNamespace(lcut=lcut, setLogLevel=lambda level: None)
    monkeypatch.setitem(sys.modules, "jieba", fake)
    corpus = prepare(tmp_path, "".join(words), trained(kind), settings=CorpusSettings(words="jieba"))
    (shard,) = corpus.shards
    ends = np.cumsum([0, *map(len, words)])
    offsets = trained(kind)("".join(words), add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    for i in range(1, len(offsets)):
        begin, before = offsets[i][0], offsets[i - 1][0]
        if not "".join(words)[begin].isascii():
            assert shard.words[i] == (begin in ends and begin != before)


def test_jieba_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jieba", None)
    with pytest.raises(BertctlError, match="U077") as error:
        prepare(tmp_path, TEXT, trained("bpe"), settings=CorpusSettings(words="jieba"))
    assert "pip install jieba" in str(error.value.help)
    assert not is_prepared(tmp_path / "out")


def test_real_jieba_finds_words(tmp_path: Path) -> None:
    pytest.importorskip("jieba", reason="jieba is an optional package")
    corpus = prepare(tmp_path, "我们今天去公园玩", trained("wordpiece"), settings=CorpusSettings(words="jieba"))
    (shard,) = corpus.shards
    assert np.diff([*np.flatnonzero(shard.words), len(shard.tokens)]).tolist() == [2, 2, 1, 2, 1]


def test_lines_are_sentences_on_request(tmp_path: Path) -> None:
    text = "One. Two.\nThree.\n\nFour.\n"
    corpus = prepare(tmp_path, text, trained("wordpiece"), settings=CorpusSettings(sentences="lines"))
    assert [len(found) for found in documents(corpus)] == [2, 1]


def test_a_line_of_nothing_known_is_no_sentence(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, "\u200d\nA walk.\n\u200d\nThe end.\n\u200d\n", trained("wordpiece"))
    assert all(flat_length for found in documents(corpus) for flat_length in map(len, found))


def test_special_tokens_are_only_those_of_the_text(tmp_path: Path) -> None:
    tokenizer = trained("wordpiece")
    corpus = prepare(tmp_path, "a <mask> b", tokenizer)
    assert flat(documents(corpus)[0]).count(tokenizer.mask_token_id) == 1
    assert set(corpus.facts["special_ids"]) == set(tokenizer.all_special_ids)


def test_the_settings_of_truncation_and_padding_do_not_matter(tmp_path: Path) -> None:
    tokenizer = trained("wordpiece")
    tokenizer(["a", "b b b"], truncation=True, max_length=2, padding="max_length")
    before = tokenizer.backend_tokenizer.truncation
    corpus = prepare(tmp_path, TEXT, tokenizer)
    assert corpus.n_tokens > 100
    assert tokenizer.backend_tokenizer.truncation == before, "the tokenizer itself is left as it was"


def test_long_documents_are_tokenised_in_parts_without_a_trace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setattr(encode, "PART", 40)
    pieces = Pieces.of(running_texts(TEXT))
    assert len(pieces.texts) > 6
    for kind in KINDS:
        cut = prepare(tmp_path, TEXT, trained(kind), out=f"{kind}-cut")
        with monkeypatch.context() as patch:
            patch.setattr(encode, "PART", 1 << 15)
            whole = prepare(tmp_path, TEXT, trained(kind), out=f"{kind}-whole")
        assert documents(cut) == documents(whole)
        assert all(np.array_equal(a.words, b.words) for a, b in zip(cut.shards, whole.shards, strict=True))


def test_a_tokenizer_without_a_fast_form_is_refused() -> None:
    with pytest.raises(BertctlError, match="L062"):
        Encoder(object())


@pytest.mark.parametrize(("folder", "n"), [("enwiki_sample", 15), ("zhwiki_sample", 200)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_token_of_real_text_is_lost_or_moved(kind: str, folder: str, n: int, tmp_path: Path) -> None:
    if not (REAL / folder).is_dir():
        pytest.skip(f"no folder '{folder}' in BERTCTL_TEST_DATA")
    parts = find_corpus(str(REAL / folder))
    texts = ["".join(document_pieces(document, by="split")) for document in read_documents(parts, limit=n)]
    tokenizer = train(kind, [text[:1000] for text in texts[:10]], vocab_size=3000)
    corpus = prepare_corpus_folder(
        tmp_path / "out",
        parts,
        tokenizer,
        made_from=TokenizerFiles((), "x"),
        settings=CorpusSettings(limit=n),
        shard_tokens=50_000,
    )
    whole = tokenizer(texts, add_special_tokens=False)["input_ids"]
    assert [flat(found) for found in documents(corpus)] == whole
