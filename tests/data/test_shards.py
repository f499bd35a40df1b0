"""Prepared corpora as they are read: what does not fit together is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from prepared import TEXT, documents, flat, many, prepare, trained

from bert_cli.data.shards import ARRAYS, Corpus, is_prepared, repeated, shard_folder, token_slices
from bert_cli.errors import DataError


def test_large_vocabularies_are_kept_in_four_bytes(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {"<unk>": 0, **{f"w{i}": i for i in range(1, 70_000)}}
    model = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    model.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    large = PreTrainedTokenizerFast(tokenizer_object=model, unk_token="<unk>")
    corpus = prepare(tmp_path, "w1 w69999 w65536", large)
    assert corpus.shards[0].tokens.dtype == np.uint32
    assert documents(corpus) == [[[1, 69_999, 65_536]]]
    assert prepare(tmp_path, "a", trained("bpe"), out="small").shards[0].tokens.dtype == np.uint16


def test_slices_are_all_tokens_in_order(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, TEXT, trained("wordpiece"), shard_tokens=50)
    expected = [token for found in documents(corpus) for token in flat(found)]
    assert np.concatenate(list(token_slices(corpus))).tolist() == expected


@pytest.mark.parametrize("times", [1.0, 1.3, 2.0, 3.75])
@pytest.mark.parametrize("shard_tokens", [20, 10_000])
def test_a_corpus_stands_for_one_of_many_times_its_size(tmp_path: Path, times: float, shard_tokens: int) -> None:
    corpus = prepare(tmp_path, many(9), trained("wordpiece"), shard_tokens=shard_tokens)
    once, found = documents(corpus), repeated(corpus, times)
    rest = round((times - int(times)) * len(once))
    assert documents(found) == once * int(times) + once[:rest]
    assert (found.n_documents, found.facts["times"]) == (len(once) * int(times) + rest, times)
    assert all(any(np.shares_memory(a.tokens, b.tokens) for b in corpus.shards) for a in found.shards)


@pytest.mark.parametrize("name", ARRAYS)
@pytest.mark.parametrize("damage", ["shorter", "gone", "swapped", "pickle"])
def test_a_damaged_corpus_is_refused(name: str, damage: str, tmp_path: Path) -> None:
    corpus = prepare(tmp_path, TEXT, trained("bpe"))
    file = shard_folder(corpus.folder, 0) / f"{name}.npy"
    raw = file.read_bytes()
    if damage == "gone":
        file.unlink()
    elif damage == "shorter":
        file.write_bytes(raw[:-1])
    elif damage == "swapped":
        file.write_bytes(raw.replace(b"<u2", b"<i2").replace(b"<i8", b"<u8").replace(b"|b1", b"|u1"))
    else:
        np.save(file, np.array([{"a": 1}], dtype=object), allow_pickle=True)
        file.write_bytes(file.read_bytes().ljust(len(raw), b"\0")[: len(raw)])
    with pytest.raises(DataError, match="D062") as error:
        Corpus.open(corpus.folder)
    assert name in str(error.value.where)


def test_other_versions_and_other_folders_are_refused(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, TEXT, trained("bpe"))
    marker = corpus.folder / "corpus.json"
    facts = json.loads(marker.read_text())
    marker.write_text(json.dumps({**facts, "version": 99}))
    with pytest.raises(DataError, match="D061"):
        Corpus.open(corpus.folder)
    for damaged in ("[]", "{", json.dumps({"version": 1}), json.dumps({**facts, "shards": 3})):
        marker.write_text(damaged)
        with pytest.raises(DataError, match="D06[12]"):
            Corpus.open(corpus.folder)
    assert not is_prepared(tmp_path)
    with pytest.raises(DataError, match="D060"):
        Corpus.open(tmp_path)
