"""Tokenizers trained on a corpus: what they are called, how they cut, and that they are the same every time."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import string
import sys
import unicodedata
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.errors import DataError, UsageError
from bert_cli.models.tokenizer import Kind, train_tokenizer
from bert_cli.toyworld.documents import documents

KINDS: tuple[Kind, ...] = ("wordpiece", "bpe", "unigram")
CHINESE = "今天天气很好，我们去公园散步。明天可能下雨，我们在家看书。"
ACCENTS = "Le café de José était fermé; Über die Brücke, naïve Façade."
TEXTS = [
    *(" ".join(lines) for lines in documents(60, seed=1)),
    *([CHINESE, ACCENTS, "in 1999 it cost $3.50 (or so)"] * 4),
]
ROOT = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")


def trained(folder: Path, kind: Kind, texts: list[str] = TEXTS, *, size: int = 600, lowercase: bool = True) -> Any:
    from transformers import AutoTokenizer

    train_tokenizer(texts, folder, kind=kind, vocab_size=size, lowercase=lowercase, max_length=64)
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[Kind, bool], Path]:
    """A tokenizer of each kind, with and without folding of case."""
    root = tmp_path_factory.mktemp("tokenizers")
    found = {(kind, low): root / f"{kind}-{low}" for kind in KINDS for low in (True, False)}
    for (kind, low), folder in found.items():
        trained(folder, kind, lowercase=low)
    return found


@pytest.fixture(scope="module")
def tokenizers(folders: dict[tuple[Kind, bool], Path]) -> dict[tuple[Kind, bool], Any]:
    from transformers import AutoTokenizer

    return {name: AutoTokenizer.from_pretrained(folder) for name, folder in folders.items()}


def basic_words(text: str, *, lowercase: bool) -> list[str]:
    """BERT's basic tokenizer, as the paper's code describes it."""
    words: list[str] = []
    fresh = True
    for character in text:
        category = unicodedata.category(character)
        if character in "\0\ufffd" or (category.startswith("C") and character not in "\t\n\r"):
            continue
        if character.isspace():
            fresh = True
            continue
        if lowercase:
            decomposed = unicodedata.normalize("NFD", character)
            letters = "".join(part for part in decomposed if unicodedata.category(part) != "Mn").lower()
        else:
            letters = character
        alone = 0x4E00 <= ord(character) <= 0x9FFF or category.startswith("P") or character in string.punctuation
        if fresh or alone:
            words.append("")
        words[-1] += letters
        fresh = alone
    return [word for word in words if word]


def pieces(word: str, vocabulary: dict[str, int]) -> list[str]:
    """The longest piece first, again and again; a word that cannot be spelt is unknown as a whole."""
    found, start = [], 0
    while start < len(word):
        prefix = "##" if start else ""
        ends = (end for end in range(len(word), start, -1) if prefix + word[start:end] in vocabulary)
        end = next(ends, None)
        if end is None:
            return ["[UNK]"]
        found.append(prefix + word[start:end])
        start = end
    return found


ALPHABET = st.text(st.sampled_from(string.ascii_letters + " .,;()-$0123é日天气ßÜ\t\n"), max_size=60)


@given(text=ALPHABET)
@settings(max_examples=100, deadline=None)
@pytest.mark.parametrize("lowercase", [True, False])
def test_wordpiece_cuts_as_bert_does(tokenizers: dict[tuple[Kind, bool], Any], text: str, lowercase: bool) -> None:
    tokenizer = tokenizers["wordpiece", lowercase]
    vocabulary = tokenizer.get_vocab()
    expected = [piece for word in basic_words(text, lowercase=lowercase) for piece in pieces(word, vocabulary)]
    assert tokenizer.tokenize(text) == expected


@given(text=st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_byte_bpe_spells_any_text(tokenizers: dict[tuple[Kind, bool], Any], text: str) -> None:
    tokenizer = tokenizers["bpe", False]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == text
    # The names of special tokens stand for themselves, in text too.
    assert not set(ids) & set(tokenizer.all_special_ids) or any(token in text for token in tokenizer.all_special_tokens)


@pytest.mark.parametrize("kind", KINDS)
def test_case_and_accents_are_folded_only_when_asked(tokenizers: dict[tuple[Kind, bool], Any], kind: Kind) -> None:
    folded, kept = tokenizers[kind, True], tokenizers[kind, False]
    assert folded.tokenize("CAFÉ Über") == folded.tokenize("cafe uber")
    assert kept.tokenize("CAFÉ Über") != kept.tokenize("cafe uber")
    assert folded.decode(folded("CAFÉ Über", add_special_tokens=False)["input_ids"]).strip() == "cafe uber"
    assert kept.decode(kept("café Über", add_special_tokens=False)["input_ids"]).strip() == "café Über"


def test_chinese_characters_stand_alone_in_wordpiece(tokenizers: dict[tuple[Kind, bool], Any]) -> None:
    assert tokenizers["wordpiece", True].tokenize("我们的house") != []
    assert tokenizers["wordpiece", True].tokenize(CHINESE) == list(CHINESE)
    assert not any(
        token.startswith("##") and ord(token[2]) > 0x2E80 for token in tokenizers["wordpiece", True].get_vocab()
    )


def best_score(text: str, scores: dict[str, float]) -> float:
    """The log probability of the likeliest way to cut a text whose every character is a piece."""
    best = [0.0]
    for end in range(1, len(text) + 1):
        found = ((best[start], text[start:end]) for start in range(max(0, end - 16), end))
        best.append(max(before + scores[piece] for before, piece in found if piece in scores))
    return best[-1]


@given(text=st.text(st.sampled_from("abdehilnostuw ,.1935$()"), max_size=60))
@settings(max_examples=100, deadline=None)
def test_unigram_cuts_in_the_likeliest_way(tokenizers: dict[tuple[Kind, bool], Any], text: str) -> None:
    tokenizer = tokenizers["unigram", True]
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    scores = {piece: score for piece, score in model["vocab"][5:]}
    tokens = tokenizer.tokenize(text)
    whole = "".join(f"▁{word}" for word in text.split())
    assert "".join(tokens) == whole
    assert sum(scores[token] for token in tokens) == pytest.approx(best_score(whole, scores))


def test_pieces_of_unigram_hold_letters_or_digits_or_punctuation(tokenizers: dict[tuple[Kind, bool], Any]) -> None:
    for token in set(tokenizers["unigram", True].get_vocab()) - set(tokenizers["unigram", True].all_special_tokens):
        kinds = {unicodedata.category(character)[0] for character in token.lstrip("▁")}
        assert len(kinds - {"M"}) <= 1 or not kinds & {"N", "P"}, token


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_one_text_and_two_are_framed_as_in_the_family(
    tokenizers: dict[tuple[Kind, bool], Any], kind: Kind, lowercase: bool
) -> None:
    tokenizer = tokenizers[kind, lowercase]
    a, b = (tokenizer(text, add_special_tokens=False)["input_ids"] for text in ("the film", "it was"))
    cls, sep = ([number] for number in (tokenizer.cls_token_id, tokenizer.sep_token_id))
    one, two = tokenizer("the film"), tokenizer("the film", "it was")
    assert one["input_ids"] == [*cls, *a, *sep]
    if kind == "bpe":
        assert two["input_ids"] == [*cls, *a, *sep, *sep, *b, *sep] and "token_type_ids" not in two
    else:
        assert two["input_ids"] == [*cls, *a, *sep, *b, *sep]
        assert two["token_type_ids"] == [0] * (len(a) + 2) + [1] * (len(b) + 1)


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_special_tokens_come_first_and_have_their_roles(
    tokenizers: dict[tuple[Kind, bool], Any], kind: Kind, lowercase: bool
) -> None:
    tokenizer = tokenizers[kind, lowercase]
    roles = ("pad_token", "unk_token", "cls_token", "sep_token", "mask_token")
    if kind == "bpe":
        expected = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "<mask>": 4}
    else:
        expected = {getattr(tokenizer, role): number for number, role in enumerate(roles)}
        assert list(expected)[2:] == ["[CLS]", "[SEP]", "[MASK]"]
    assert {token: tokenizer.convert_tokens_to_ids(token) for token in expected} == expected
    assert set(expected) == {getattr(tokenizer, role) for role in roles} == set(tokenizer.all_special_tokens)
    assert tokenizer.is_fast and tokenizer.model_max_length == 64


def test_the_mask_of_bpe_takes_the_space_before_it(tokenizers: dict[tuple[Kind, bool], Any]) -> None:
    for lowercase in (True, False):
        tokenizer = tokenizers["bpe", lowercase]
        assert (
            tokenizer("the <mask> was", add_special_tokens=False)["input_ids"]
            == (tokenizer("the<mask> was", add_special_tokens=False)["input_ids"])
        )


@pytest.mark.parametrize("family", ["bert", "electra", "roberta", "albert", "modernbert", "distilbert"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_reads_the_same_beside_any_model(
    folders: dict[tuple[Kind, bool], Path], kind: Kind, family: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers import AutoConfig, AutoTokenizer

    for lowercase in (True, False):
        folder = tmp_path / f"{kind}-{lowercase}"
        shutil.copytree(folders[kind, lowercase], folder)
        alone = AutoTokenizer.from_pretrained(folder)
        AutoConfig.for_model(family).save_pretrained(folder)
        beside = AutoTokenizer.from_pretrained(folder)
        beside.save_pretrained(tmp_path / "again")
        for tokenizer in (beside, AutoTokenizer.from_pretrained(tmp_path / "again")):
            for text in (TEXTS[0], CHINESE, ACCENTS, "<mask> [MASK]"):
                assert tokenizer(text)["input_ids"] == alone(text)["input_ids"]
            assert tokenizer.special_tokens_map == alone.special_tokens_map
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("lowercase", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_texts_in_any_order_give_the_same_bytes(kind: Kind, lowercase: bool, tmp_path: Path) -> None:
    texts = list(TEXTS)
    written = []
    for turn in range(4):
        random.Random(turn).shuffle(texts)
        train_tokenizer(texts, tmp_path / f"{turn}", kind=kind, vocab_size=500, lowercase=lowercase, max_length=64)
        written.append({file.name: file.read_bytes() for file in sorted((tmp_path / f"{turn}").iterdir())})
    assert written[0]["tokenizer.json"] and all(files == written[0] for files in written)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_corpus_gives_what_it_has(kind: Kind, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    size = train_tokenizer(TEXTS[:3], tmp_path / "t", kind=kind, vocab_size=5_000, lowercase=True, max_length=64)
    assert 60 < size < 2_000
    assert size == len(AutoTokenizer.from_pretrained(tmp_path / "t"))


@pytest.mark.parametrize(
    ("kind", "size"), [("wordpiece", 64), ("wordpiece", 90), ("unigram", 64), ("unigram", 90), ("bpe", 261)]
)
def test_a_vocabulary_is_never_larger_than_asked_for(kind: Kind, size: int, tmp_path: Path) -> None:
    found = train_tokenizer(TEXTS, tmp_path / "t", kind=kind, vocab_size=size, lowercase=False, max_length=64)
    assert size - 2 <= found <= size


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_characters_that_come_less_than_three_times_are_unknown(kind: Kind, tmp_path: Path) -> None:
    texts = ["one word after the other " * 5, "α and α β and β β", "γ δ δ δ δ"]
    tokenizer = trained(tmp_path / "t", kind, texts)
    unknown = {letter for letter in "αβγδ" if tokenizer.unk_token_id in tokenizer(letter)["input_ids"]}
    assert unknown == {"α", "γ"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_corpus_without_text_is_refused(kind: Kind, tmp_path: Path) -> None:
    for texts in ([], ["", " \n\t"]):
        with pytest.raises(DataError, match="D070"):
            train_tokenizer(texts, tmp_path / "t", kind=kind, vocab_size=500, lowercase=True, max_length=64)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["wordpiece", "unigram"])
def test_a_corpus_in_which_nothing_comes_again_is_refused(kind: Kind, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="D071"):
        train_tokenizer(["quick wave"], tmp_path / "t", kind=kind, vocab_size=500, lowercase=True, max_length=64)


def test_bytes_need_a_token_each(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="L061") as caught:
        train_tokenizer(TEXTS, tmp_path / "t", kind="bpe", vocab_size=260, lowercase=True, max_length=64)
    assert caught.value.allowed == "at least 261"


def test_unigram_names_the_package_that_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentencepiece", None)
    with pytest.raises(UsageError, match="L063") as caught:
        train_tokenizer(TEXTS, tmp_path / "t", kind="unigram", vocab_size=500, lowercase=True, max_length=64)
    assert caught.value.help == "pip install sentencepiece"


def test_a_generator_which_cannot_be_read_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="twice"):
        train_tokenizer(iter(TEXTS), tmp_path / "t", kind="bpe", vocab_size=500, lowercase=True, max_length=64)


def test_few_tokens_of_chinese_wikipedia_are_unknown(tmp_path: Path) -> None:
    file = ROOT / "zhwiki_sample" / "all.jsonl.gz"
    if not file.is_file():
        pytest.skip("no folder 'zhwiki_sample' in BERTCTL_TEST_DATA")
    with gzip.open(file, "rt", encoding="utf-8") as stream:
        texts = [json.loads(line)["text"] for line in islice(stream, 1_000)]
    tokenizer = trained(tmp_path / "t", "wordpiece", texts[:900], size=8_000)
    backend = tokenizer.backend_tokenizer
    ids = [number for text in texts[900:] for number in backend.encode(text, add_special_tokens=False).ids]
    assert ids.count(tokenizer.unk_token_id) / len(ids) < 0.02
