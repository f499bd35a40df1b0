"""From a pretraining recipe to blocks: which documents are learnt from, and which tokens they become."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import BAD, GOOD, WORDS, tiny_model

from bert_cli.data.blocks import BlockStore
from bert_cli.errors import BertctlError
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.corpus import prepare_corpus, unigram_loss
from bert_cli.run.shards import prepare_source


def write(folder: Path, name: str, words: tuple[str, ...], *, documents: int = 20) -> Path:
    """Documents of three sentences of different words; the first word of each tells them apart."""
    rng = np.random.default_rng(len(words))
    lines = []
    for number in range(documents):
        lines += [" ".join(rng.choice(words, 6)) + " ." for _ in range(3)]
        lines[-3] = f"{chr(97 + number)} {lines[-3]}"
        lines.append("")
    (folder / name).write_text("\n".join(lines))
    return folder / name


def recipe(model: Path, *overrides: str) -> Recipe:
    return load_recipe(overrides=[f"model.name={model}", "task=fill-mask", "data.max_length=16", *overrides]).recipe


def texts(store: Any, rows: np.ndarray | None = None) -> list[tuple[int, ...]]:
    """The tokens of each row."""
    assert isinstance(store, BlockStore)
    content = store.content(np.arange(len(store)) if rows is None else rows)
    return [tuple(part.tolist()) for part in np.split(content.ids, np.cumsum(content.lengths)[:-1])]


def test_held_out_documents_are_never_learnt_from(tmp_path: Path, tiny_bert: Path) -> None:
    corpus = write(tmp_path, "a.txt", WORDS)
    splits = prepare_corpus(recipe(tiny_bert, f"data.source={corpus}", "data.validation=20%")).store.splits
    documents = [
        {store.document(row) for row in range(len(store))}  # type: ignore[attr-defined]
        for store in (splits["train"], splits["validation"])
    ]
    assert len(documents[0]) == 16 and len(documents[1]) == 4 and not documents[0] & documents[1]
    assert not set(texts(splits["train"])) & set(texts(splits["validation"]))


def test_the_same_documents_are_held_out_whatever_is_learnt(tmp_path: Path, tiny_bert: Path) -> None:
    corpus = write(tmp_path, "a.txt", WORDS)
    held = []
    for task in ("fill-mask", "fill-mask-sop"):
        given = recipe(tiny_bert, f"data.source={corpus}", f"task={task}", "data.validation=20%")
        store: Any = prepare_corpus(given).store.splits["validation"]
        held.append({store.document(row) for row in range(len(store))})
    assert held[0] == held[1]


def test_corpora_are_mixed_and_each_gives_documents_to_score_on(tmp_path: Path, tiny_bert: Path) -> None:
    good, bad = write(tmp_path, "good.txt", GOOD), write(tmp_path, "bad.txt", BAD)
    prepared = prepare_corpus(recipe(tiny_bert, f"data.mix={{{good}: 3, {bad}: 1}}"))
    train: Any = prepared.store.splits["train"]
    assert len(train.ranges) == 1 and [len(rows) > 0 for rows in train.ranges[0]] == [True, True]
    known = {word: set(prepared.tokenizer.convert_tokens_to_ids(list(word))) for word in (GOOD, BAD)}
    for split in prepared.store.splits.values():
        found = {token for text in texts(split) for token in text}
        assert found & known[GOOD] and found & known[BAD]
    assert set(prepared.store.facts["fingerprints"]) == {"good.txt", "bad.txt"}


def test_a_corpus_prepared_before_gives_the_same_blocks(tmp_path: Path, tiny_bert: Path) -> None:
    corpus = write(tmp_path, "a.txt", WORDS)
    given = recipe(tiny_bert, f"data.source={corpus}")
    prepare_source(str(corpus), tmp_path / "tokens", data=given.data, tokenizer_folder=tiny_bert)
    other = recipe(tiny_bert, f"data.source={tmp_path / 'tokens'}")
    one, two = (prepare_corpus(each).store.splits for each in (given, other))
    assert texts(one["train"]) == texts(two["train"]) and texts(one["validation"]) == texts(two["validation"])


def test_a_tokenizer_that_was_saved_again_still_fits_its_tokens(tmp_path: Path, tiny_bert: Path) -> None:
    from transformers import AutoTokenizer

    corpus = write(tmp_path, "a.txt", WORDS)
    given = recipe(tiny_bert, f"data.source={corpus}")
    prepare_source(str(corpus), tmp_path / "tokens", data=given.data, tokenizer_folder=tiny_bert)
    again = tiny_model(tmp_path / "again")
    tokenizer = AutoTokenizer.from_pretrained(tiny_bert)
    tokenizer.model_max_length = 48
    tokenizer.save_pretrained(again)
    assert prepare_corpus(recipe(again, f"data.source={tmp_path / 'tokens'}")).store.splits


def test_tokens_of_another_tokenizer_are_refused(tmp_path: Path, tiny_bert: Path) -> None:
    corpus = write(tmp_path, "a.txt", WORDS)
    prepare_source(str(corpus), tmp_path / "tokens", data=recipe(tiny_bert).data, tokenizer_folder=tiny_bert)
    other = tiny_model(tmp_path / "other", family="roberta")
    with pytest.raises(BertctlError) as caught:
        prepare_corpus(recipe(other, f"data.source={tmp_path / 'tokens'}"))
    assert caught.value.code == "D063"


def test_lengths_are_phases_and_scoring_takes_the_longest(tmp_path: Path, tiny_bert: Path) -> None:
    corpus = write(tmp_path, "a.txt", WORDS)
    splits = prepare_corpus(recipe(tiny_bert, f"data.source={corpus}", "data.lengths={8: 0.5, 16: 0.5}")).store.splits
    train: Any = splits["train"]
    longest = [int(train.lengths[phase[0].start : phase[0].stop].max()) for phase in train.ranges]
    assert longest == [8, 16] and int(splits["validation"].lengths.max()) == 16


def test_without_keep_the_cache_stays_as_it_was(
    tmp_path: Path, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    store = prepare_corpus(recipe(tiny_bert, f"data.source={write(tmp_path, 'a.txt', WORDS)}"), keep=False).store
    assert texts(store.splits["train"]) and not (tmp_path / "cache").exists()


def test_all_of_a_corpus_can_be_one_split(tmp_path: Path, tiny_bert: Path) -> None:
    splits = prepare_corpus(
        recipe(tiny_bert, f"data.source={write(tmp_path, 'a.txt', WORDS)}"), whole="validation"
    ).store.splits
    assert list(splits) == ["validation"] and splits["validation"].facts["documents"] == 20


@pytest.mark.parametrize(
    ("task", "documents", "code"), [("fill-mask", 1, "D084"), ("fill-mask-nsp", 3, "D084"), ("fill-mask-nsp", 4, None)]
)
def test_too_few_documents_are_refused(
    task: str, documents: int, code: str | None, tmp_path: Path, tiny_bert: Path
) -> None:
    corpus = write(tmp_path, "a.txt", WORDS, documents=documents)
    given = recipe(tiny_bert, f"data.source={corpus}", f"task={task}")
    if code is None:
        assert prepare_corpus(given).store.splits
        return
    with pytest.raises(BertctlError) as caught:
        prepare_corpus(given)
    assert caught.value.code == code


def test_two_files_of_one_name_are_refused(tmp_path: Path, tiny_bert: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, "a.txt", WORDS)
    places = ", ".join(f"{tmp_path / name}: 1" for name in ("one", "two"))
    with pytest.raises(BertctlError) as caught:
        prepare_corpus(recipe(tiny_bert, f"data.mix={{{places}}}"))
    assert caught.value.code == "U087"


def test_the_baseline_is_the_cross_entropy_under_frequencies() -> None:
    counts, ids = np.array([9, 0, 3, 1]), np.array([2, 2, 3, 0, 1])
    share = {1: 1 / 7, 2: 4 / 7, 3: 2 / 7}
    naive = -sum(math.log(share[token]) for token in (2, 2, 3, 1)) / 4
    assert unigram_loss(counts, ids, special_ids=[0]) == pytest.approx(naive)
