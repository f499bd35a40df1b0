"""Preparing a corpus: no document is lost, what is killed goes on, what is finished is never replaced."""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prepared import ENGLISH, TEXT, documents, files, flat, many, prepare, running_texts, trained

from bert_cli.data import portions
from bert_cli.data.corpus import Reading, find_corpus
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import TokenizerFiles, prepare_corpus_folder
from bert_cli.data.shards import Corpus, is_prepared, shard_folder, token_slices
from bert_cli.errors import BertctlError, DataError


@pytest.mark.parametrize("shard_tokens", [1, 100, 10_000_000])
def test_shards_hold_whole_documents_and_lose_none(
    shard_tokens: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "BATCH", 700)
    text = many(20)
    corpus = prepare(tmp_path, text, trained("bpe"), shard_tokens=shard_tokens)
    wholes = ["".join(pieces) for pieces in running_texts(text)]
    assert [flat(found) for found in documents(corpus)] == trained("bpe")(wholes, add_special_tokens=False)["input_ids"]
    for shard in corpus.shards[:-1]:
        before = 0 if len(shard.documents) == 1 else shard.document_ends[-2]
        assert before < shard_tokens <= len(shard.tokens)
    assert len(corpus.shards) == {1: 20, 10_000_000: 1}.get(shard_tokens, len(corpus.shards))
    counts = corpus.facts["documents"], corpus.facts["sentences"], corpus.facts["tokens"]
    assert counts == (corpus.n_documents, sum(len(shard.sentences) for shard in corpus.shards), corpus.n_tokens)
    assert corpus.n_documents == 20 and corpus.facts["dropped"] == 0
    assert corpus.facts["characters"] == sum(map(len, wholes))


def test_a_prepared_folder_that_may_only_be_read_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_is_written(lock: Path) -> None:
        raise PermissionError(13, "read-only", str(lock))

    written = prepare(tmp_path, many(3), trained("bpe"))
    monkeypatch.setattr("bert_cli.data.prepare_shards.only_writer", nothing_is_written)
    assert documents(prepare(tmp_path, many(3), trained("bpe"))) == documents(written)
    with pytest.raises(PermissionError):
        prepare(tmp_path, many(3), trained("bpe"), out="other")


def test_portions_do_not_depend_on_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = many(15)
    prepare(tmp_path, text, trained("unigram"), shard_tokens=90)
    monkeypatch.setattr(portions, "BATCH", 50)
    prepare(tmp_path, text, trained("unigram"), shard_tokens=90, out="again")
    assert files(tmp_path / "out") == files(tmp_path / "again")


def test_documents_without_a_known_word_are_dropped_and_counted(tmp_path: Path) -> None:
    corpus = prepare(tmp_path, "ठीक है\n\nA walk.\n\nहाँ\n\nThe end ठीक.\n", trained("wordpiece"))
    assert (corpus.n_documents, corpus.facts["dropped"]) == (2, 2)
    unknown = corpus.facts["unknown_id"]
    assert sum(int((tokens == unknown).sum()) for tokens in token_slices(corpus)) == 1
    with pytest.raises(DataError, match="D085") as error:
        prepare(tmp_path, "ठीक है\n\nहाँ\n", trained("wordpiece"), out="none")
    assert "2 documents, as 'ठीक है'" in str(error.value.found)
    with pytest.raises(DataError, match="D083"):
        prepare(tmp_path, "\n\n", trained("wordpiece"), out="empty")


def test_the_limit_is_in_documents_of_the_text(tmp_path: Path) -> None:
    text = {"a.txt": many(3), "b.txt": many(4, seed=1)}
    corpus = prepare(tmp_path, text, trained("bpe"), settings=CorpusSettings(limit=5))
    everything = prepare(tmp_path, text, trained("bpe"), out="all")
    assert documents(corpus) == documents(everything)[:5]
    assert everything.n_documents == 7


class Stopped(Exception):
    """What ends a preparation in these tests."""


def stop_after(shards: int) -> Callable[[str], None]:
    def note(text: str) -> None:
        if text.startswith(f"shard {shards}:"):
            raise Stopped

    return note


@pytest.mark.parametrize("shards", [1, 2, 4])
def test_a_stopped_preparation_goes_on_to_the_same_bytes(
    shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portions, "BATCH", 500)
    text = {"a.txt": many(12), "b.txt": many(12, seed=1) + "\n\nहाँ\n", "c.txt": "\n", "d.txt": "The end.\n"}
    given: dict[str, Any] = {"shard_tokens": 300}
    whole = prepare(tmp_path, text, trained("unigram"), out="whole", **given)
    assert len(whole.shards) > 5
    with pytest.raises(Stopped):
        prepare(tmp_path, text, trained("unigram"), note=stop_after(shards), **given)
    assert is_prepared(tmp_path / "out")
    with pytest.raises(DataError, match="D060") as error:
        Corpus.open(tmp_path / "out")
    assert "once more" in str(error.value.help)
    first = shard_folder(tmp_path / "out", 0) / "tokens.npy"
    written = first.stat().st_mtime_ns
    (tmp_path / "out" / "shards" / ".tmp-half").mkdir()
    notes: list[str] = []
    prepare(tmp_path, text, trained("unigram"), note=notes.append, **given)
    assert f"going on after {shards} shards" in notes
    assert first.stat().st_mtime_ns == written, "a whole shard is not written again"
    assert files(tmp_path / "out") == files(tmp_path / "whole")


KILLED = """
import os, signal, sys, types
from pathlib import Path
from tokenizers import Tokenizer
from bert_cli.data.corpus import find_corpus
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import TokenizerFiles, prepare_corpus_folder

def note(text):
    if text.startswith("shard 2"):
        os.kill(os.getpid(), signal.SIGKILL)

text, file, out = sys.argv[1:]
tokenizer = types.SimpleNamespace(
    backend_tokenizer=Tokenizer.from_file(file), all_special_ids=[0, 1, 2, 3, 4], unk_token_id=None
)
prepare_corpus_folder(
    Path(out), find_corpus(text), tokenizer, made_from=TokenizerFiles((), "digest"), settings=CorpusSettings(),
    shard_tokens=200, note=note,
)
"""


def test_a_killed_preparation_goes_on_to_the_same_bytes(tmp_path: Path) -> None:
    text, tokenizer = many(20), trained("bpe")
    whole = prepare(tmp_path, text, tokenizer, out="whole", shard_tokens=200)
    assert len(whole.shards) > 4
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    words = [str(tmp_path / name) for name in ("text", "tokenizer.json", "out")]
    died = subprocess.run([sys.executable, "-c", KILLED, *words], timeout=60, check=False)
    assert died.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "out" / "shards").iterdir())) == 2
    prepare(tmp_path, text, tokenizer, shard_tokens=200)
    assert files(tmp_path / "out") == files(tmp_path / "whole")


@pytest.mark.parametrize("changed", ["text", "settings", "tokenizer"])
def test_what_was_begun_otherwise_is_refused_and_stays(changed: str, tmp_path: Path) -> None:
    given: dict[str, Any] = {"shard_tokens": 100}
    with pytest.raises(Stopped):
        prepare(tmp_path, many(9), trained("bpe"), note=stop_after(2), **given)
    text = many(9, seed=int(changed == "text"))
    if changed == "settings":
        given["settings"] = CorpusSettings(sentences="lines")
    if changed == "tokenizer":
        given["digest"] = "other"
    before = files(tmp_path / "out")
    with pytest.raises(DataError, match="D064"):
        prepare(tmp_path, text, trained("bpe"), **given)
    assert files(tmp_path / "out") == before


def test_a_finished_corpus_is_opened_and_never_replaced(tmp_path: Path) -> None:
    prepare(tmp_path, TEXT, trained("bpe"))
    before = files(tmp_path / "out")
    prepare(tmp_path, TEXT, trained("bpe"))
    for given in ({"digest": "other"}, {"settings": CorpusSettings(Reading(documents="files"))}):
        with pytest.raises(DataError, match="D064") as error:
            prepare(tmp_path, TEXT, trained("bpe"), **given)
        assert next(iter(given)).replace("digest", "tokenizer") in error.value.message
    with pytest.raises(DataError, match="D064"):
        prepare(tmp_path, "Other text.", trained("bpe"))
    assert files(tmp_path / "out") == before


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("all of it")
    with pytest.raises(DataError, match="D065"):
        prepare(tmp_path, TEXT, trained("bpe"))
    assert list(files(tmp_path / "out")) == ["thesis.tex"]


def test_nothing_is_left_beside_the_folder(tmp_path: Path) -> None:
    prepare(tmp_path, TEXT, trained("bpe"), out="deep/er/out")
    assert sorted(path.name for path in (tmp_path / "deep" / "er").iterdir()) == ["out"]
    assert sorted(path.name for path in (tmp_path / "deep" / "er" / "out").iterdir()) == [
        "corpus.json",
        "shards",
        "tokenizer",
    ]


def test_the_tokenizer_travels_with_the_tokens(tmp_path: Path) -> None:
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path / "own"
    trained("unigram").save_pretrained(str(folder))
    source = tmp_path / "a.txt"
    source.write_text(TEXT)
    corpus = prepare_corpus_folder(
        tmp_path / "out",
        find_corpus(str(source)),
        trained("unigram"),
        settings=CorpusSettings(),
        made_from=TokenizerFiles(tuple(sorted(folder.iterdir())), "digest"),
    )
    again = PreTrainedTokenizerFast.from_pretrained(str(corpus.tokenizer_folder))
    assert again.get_vocab() == trained("unigram").get_vocab()
    corpus.require_tokenizer("digest")
    with pytest.raises(DataError, match="D063"):
        corpus.require_tokenizer("other")


def test_a_full_disk_is_told_and_whole_shards_stay(tmp_path: Path, small_disk: Callable[[int], None]) -> None:
    text = many(8) + "\n\n" + (ENGLISH * 150).replace("\n", " ") + "\n\n" + many(5)
    whole = prepare(tmp_path, text, trained("wordpiece"), shard_tokens=400, out="whole")
    small_disk(20_000)
    with pytest.raises(BertctlError, match="P021") as error:
        prepare(tmp_path, {}, trained("wordpiece"), shard_tokens=400)
    assert error.value.exit_code == 7
    done = sorted(path.name for path in (tmp_path / "out" / "shards").iterdir())
    assert done and done == [f"{number:05d}" for number in range(len(done))]
    small_disk(resource.RLIM_INFINITY)
    prepare(tmp_path, text, trained("wordpiece"), shard_tokens=400)
    assert files(tmp_path / "out") == files(tmp_path / "whole") and whole.n_documents == 14
