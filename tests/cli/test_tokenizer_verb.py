"""`bertctl tokenizer`: train, measure, show."""

from __future__ import annotations

import json
import resource
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from command import Cli
from tokenizers import Tokenizer

from bert_cli.toyworld.documents import documents

WORDS = ("tokenizer", "train", "corpus.txt", "--out", "tok", "--vocab-size", "400")


@pytest.fixture(autouse=True)
def corpus(_empty_folder: None) -> Path:
    """`corpus.txt` in the current folder: 40 documents, blank lines between them."""
    file = Path("corpus.txt")
    file.write_text("\n\n".join("\n".join(lines) for lines in documents(40, seed=2)), encoding="utf-8")
    return file


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_tokenizer_is_trained_measured_and_shown(cli: Cli, kind: str) -> None:
    from transformers import AutoTokenizer

    found = cli(*WORDS, "--kind", kind, "--json").json
    tokenizer = AutoTokenizer.from_pretrained("tok")
    assert found["vocabulary"] == len(tokenizer) <= 400 and found["kind"] == kind and found["lowercase"] is True
    assert found["held_out"] is True and found["documents"] == 4
    assert found["unknown"] == 0 and found["unknown_share"] == 0
    assert 1 <= found["tokens_per_word"] < 3 and found["tokens_per_word"] == found["tokens"] / found["words"]
    assert found["characters_per_token"] == found["characters"] / found["tokens"]
    assert len(found["samples"]) == 3 and all(found["samples"])


def test_the_measures_are_those_of_every_tenth_document(cli: Cli) -> None:
    from transformers import AutoTokenizer

    found = cli(*WORDS, "--json").json
    tokenizer = AutoTokenizer.from_pretrained("tok")
    held_out = [" ".join(lines) for lines in documents(40, seed=2)][9::10]
    assert found["characters"] == sum(map(len, held_out))
    assert found["tokens"] == sum(len(tokenizer.tokenize(text)) for text in held_out)
    assert found["samples"][0] == tokenizer.tokenize(held_out[0])[: len(found["samples"][0])]


def test_what_only_held_out_documents_hold_is_unknown(cli: Cli, corpus: Path) -> None:
    texts = ["plain words again and again"] * 9 + ["plain ☃ words"]
    corpus.write_text("\n\n".join(texts * 2), encoding="utf-8")
    found = cli(*WORDS, "--json").json
    assert found["unknown"] == 2 and found["unknown_share"] == 2 / found["tokens"]


def test_a_few_documents_are_measured_as_they_were_learnt(cli: Cli, corpus: Path) -> None:
    corpus.write_text("\n\n".join(["one text and one text and one text"] * 3), encoding="utf-8")
    done = cli(*WORDS)
    assert done.code == 0, done.err
    assert "3 documents that it was trained on" in done.out
    assert "the corpus has no more for the 400 asked for" in done.out


def test_the_table_tells_what_the_json_tells(cli: Cli) -> None:
    found = cli(*WORDS, "--json").json
    done = cli(*WORDS, "--overwrite", "--quiet")
    assert done.err == "" and f"{found['vocabulary']} tokens" in done.out
    assert f"{found['tokens_per_word']:.3f}" in done.out and "4 documents held out" in done.out
    assert done.out.splitlines()[-3:] == [" ".join(tokens) for tokens in found["samples"]]


def test_case_is_kept_on_request(cli: Cli) -> None:
    cli(*WORDS, "--cased")
    assert cli("tokenizer", "show", "tok", "It", "--json").json["tokens"][0][0] == "I"
    cli(*WORDS, "--uncased", "--overwrite")
    assert cli("tokenizer", "show", "tok", "It", "--json").json["tokens"][0][0] == "i"


def test_keys_of_a_recipe_say_how_the_corpus_is_read(cli: Cli) -> None:
    rows = [{"body": " ".join(lines)} for lines in documents(30, seed=2)]
    Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    words = ("tokenizer", "train", "rows.jsonl", "--out", "tok", "data.columns.text=body", "tokenizer.vocab_size=300")
    found = cli(*words, "data.limit=20", "data.max_length=48", "--json").json
    assert found["documents"] == 2 and found["vocabulary"] <= 300
    assert json.loads(Path("tok/tokenizer_config.json").read_text())["model_max_length"] == 48


def test_keys_that_change_nothing_are_refused_together(cli: Cli) -> None:
    done = cli(*WORDS, "train.lr=1", "data.lengths.128=1.0", "tokenizer.lowercase=false")
    assert done.code == 2 and [mistake[6:10] for mistake in done.mistakes] == ["U092", "U092"]
    assert not Path("tok").exists()


def test_a_folder_that_holds_something_is_kept(cli: Cli) -> None:
    assert cli(*WORDS).code == 0
    first = Path("tok/tokenizer.json").read_bytes()
    refused = cli(*WORDS, "--cased")
    assert refused.code == 2 and "U093" in refused.err and "help: --overwrite" in refused.err
    assert Path("tok/tokenizer.json").read_bytes() == first
    assert cli(*WORDS, "--cased", "--overwrite").code == 0 and Path("tok/tokenizer.json").read_bytes() != first
    Path("tok/model.safetensors").write_bytes(b"weights")
    refused = cli(*WORDS, "--overwrite")
    assert refused.code == 2 and "replaces tokenizers only" in refused.err
    assert Path("tok/model.safetensors").read_bytes() == b"weights"


def test_mistakes_are_told_with_their_place(cli: Cli, corpus: Path) -> None:
    assert "--out" in cli("tokenizer", "train", "corpus.txt").err
    assert "D080" in cli("tokenizer", "train", "nowhere.txt", "--out", "tok").err
    assert "did you mean 'bpe'" in cli(*WORDS, "--kind", "bpee").err
    corpus.write_text("\n\n")
    done = cli(*WORDS)
    assert done.code == 3 and not Path("tok").exists()


def test_a_tokenizer_is_shown(cli: Cli, tiny_bert: Path) -> None:
    cli(*WORDS, "--kind", "bpe")
    facts = cli("tokenizer", "show", "tok", "--json").json
    assert facts["model"] == "BPE" and facts["special"]["mask_token"] == "<mask>"
    assert "<mask>" in cli("tokenizer", "show", "tok").out
    assert "".join(cli("tokenizer", "show", "tok", "the soup é", "--json").json["tokens"]).startswith("theĠ")
    assert cli("tokenizer", "show", tiny_bert, "the film was good").out == "the film was good\n"
    assert cli("tokenizer", "show", "nowhere/at/all").code != 0


def test_a_text_is_shown_whole_and_without_padding(cli: Cli, tiny_bert: Path) -> None:
    """Also where the tokenizer's own file asks for padding and an end."""
    shutil.copytree(tiny_bert, "padded")
    file = Path("padded/tokenizer.json")
    tokenizer = Tokenizer.from_file(str(file))
    tokenizer.enable_padding(length=8)
    tokenizer.enable_truncation(max_length=12)
    tokenizer.save(str(file))
    for text in ("the film", "the film was good " * 40):
        assert cli("tokenizer", "show", "padded", text, "--json").json["tokens"] == text.split()


@pytest.mark.parametrize("kind", ["wordpiece", "bpe", "unigram"])
def test_a_full_disk_ends_with_7_and_leaves_nothing(cli: Cli, kind: str, small_disk: Callable[[int], None]) -> None:
    small_disk(1_000)
    done = cli(*WORDS, "--kind", kind)
    small_disk(resource.RLIM_INFINITY)
    assert done.code == 7 and "error[P021]" in done.err and not Path("tok").exists()
    assert sorted(path.name for path in Path().iterdir()) == ["corpus.txt"]
    assert cli(*WORDS, "--kind", kind).code == 0
