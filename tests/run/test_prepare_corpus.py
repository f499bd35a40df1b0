"""From a pretraining recipe to blocks: which documents are learnt from, and which tokens they become."""

from __future__ import annotations

import math
import resource
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import BAD, GOOD, WORDS, tiny_model, tiny_tokenizer

from bert_cli.data.blocks import BlockStore
from bert_cli.data.corpus_sample import beginning
from bert_cli.errors import BertctlError
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import build
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


def refused(given: Recipe) -> BertctlError:
    with pytest.raises(BertctlError) as caught:
        prepare_corpus(given)
    return caught.value


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


# A look that leaves nothing behind


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def files(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def scratch(*overrides: str) -> Recipe:
    """From scratch, with a tokenizer of its own."""
    own = ("model.config.hidden_size=32", "model.config.num_attention_heads=2", "tokenizer.vocab_size=120")
    return load_recipe(overrides=["task=fill-mask", "data.max_length=16", *own, *overrides]).recipe


def test_without_keep_the_cache_stays_as_it_was(tmp_path: Path, tiny_bert: Path, cache: Path) -> None:
    store = prepare_corpus(recipe(tiny_bert, f"data.source={write(tmp_path, 'a.txt', WORDS)}"), keep=False).store
    assert texts(store.splits["train"]) and not cache.exists()


@pytest.mark.parametrize("from_scratch", [False, True])
def test_without_keep_what_is_in_the_cache_is_read(
    from_scratch: bool, tmp_path: Path, tiny_bert: Path, cache: Path
) -> None:
    corpus = f"data.source={write(tmp_path, 'a.txt', WORDS)}"
    given = scratch(corpus) if from_scratch else recipe(tiny_bert, corpus)
    kept = prepare_corpus(given)
    before, said = files(cache), list[str]()
    looked = prepare_corpus(given, keep=False, note=said.append)
    assert said == [] and files(cache) == before
    for name, split in kept.store.splits.items():
        assert texts(looked.store.splits[name]) == texts(split)
    # Blocks of another length are cut for the look alone.
    shorter = given.model_copy(update={"data": given.data.model_copy(update={"max_length": 12, "lengths": {}})})
    if not from_scratch:
        assert prepare_corpus(shorter, keep=False, note=said.append).store.splits["train"].lengths.max() == 12
        assert said == [] and files(cache) == before


@pytest.mark.parametrize("from_scratch", [False, True])
def test_without_keep_the_beginning_of_a_large_corpus_stands_for_all_of_it(
    from_scratch: bool, tmp_path: Path, tiny_bert: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = f"data.source={write(tmp_path, 'a.txt', WORDS, documents=400)}"
    given = scratch(corpus) if from_scratch else recipe(tiny_bert, corpus)
    whole = prepare_corpus(given, keep=False).store.splits["train"]
    size = (tmp_path / "a.txt").stat().st_size
    monkeypatch.setattr("bert_cli.run.corpus.beginning", partial(beginning, characters=size // 4))
    said: list[str] = []
    store = prepare_corpus(given, keep=False, note=said.append).store.splits["train"]
    assert any("a.txt is large" in line for line in said) and not cache.exists()
    assert store.facts["origin"] == "a.txt, extrapolated" and whole.facts["origin"] == "a.txt"
    # A tokenizer that is trained on less text cuts it into more or fewer tokens.
    near = 0.2 if from_scratch else 0.05
    assert len(store) == pytest.approx(len(whole), rel=near)
    assert store.facts["documents"] == pytest.approx(whole.facts["documents"], rel=0.05)
    assert store.lengths.sum() == pytest.approx(whole.lengths.sum(), rel=near)


# Who goes with whom is found out before a corpus is tokenised


@pytest.mark.parametrize(
    ("overrides", "code", "key", "helped"),
    [
        (["data.max_length=65"], "R032", "data.max_length", "data.max_length=64"),
        (["data.max_length=4", "task=fill-mask-nsp"], "R034", "data.max_length", "data.max_length=128"),
        (["data.lengths={4: 0.5, 16: 0.5}", "task=fill-mask-nsp"], "R034", "data.lengths", "data.lengths="),
        (["model.tokenizer={large}"], "L026", "model.tokenizer", "leave model.tokenizer out"),
    ],
)
def test_a_model_without_room_is_refused_before_its_corpus_is_read(
    overrides: list[str], code: str, key: str, helped: str, tmp_path: Path, tiny_bert: Path, cache: Path
) -> None:
    tiny_tokenizer(words=[*WORDS, *map(str, range(50))]).save_pretrained(tmp_path / "large")
    given = [each.format(large=tmp_path / "large") if "large" in each else each for each in overrides]
    error = refused(recipe(tiny_bert, f"data.source={write(tmp_path, 'a.txt', WORDS)}", *given))
    assert (error.code, error.key) == (code, key) and helped in str(error.help)
    assert not cache.exists()


@pytest.mark.parametrize(
    ("overrides", "code", "key", "helped"),
    [
        (["model.config.vocab_size=60"], "L026", "model.config.vocab_size", "leave model.config.vocab_size out"),
        (["model.config.max_position_embeddings=15"], "R032", "data.max_length", "data.max_length=15"),
        (["model.config.model_type=roberta", "task=fill-mask-nsp"], "L033", "task", "task=fill-mask"),
        (["model.config.hiden_size=5"], "L029", "model.config.hiden_size", ""),
    ],
)
def test_a_model_from_scratch_without_room_is_refused_before_its_corpus_is_tokenised(
    overrides: list[str], code: str, key: str, helped: str, tmp_path: Path, cache: Path
) -> None:
    error = refused(scratch(f"data.source={write(tmp_path, 'a.txt', WORDS)}", *overrides))
    assert (error.code, error.key) == (code, key) and helped in str(error.help)
    assert not (cache / "corpora").exists()


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["tokenizer.kind=wordpiece"], None),
        (["tokenizer.kind=bpe", "tokenizer.vocab_size=300"], "no token_type_ids"),
        (["model.config.type_vocab_size=1"], "no segment embeddings"),
    ],
)
def test_what_pairs_have_to_do_without_is_said(overrides: list[str], said: str | None, tmp_path: Path) -> None:
    notes: list[str] = []
    given = scratch("task=fill-mask-nsp", f"data.source={write(tmp_path, 'a.txt', WORDS)}", *overrides)
    prepare_corpus(given, note=notes.append)
    assert [line for line in notes if "segment" in line or "token_type" in line] == [
        line for line in notes if said is not None and said in line
    ]
    assert said is None or any(said in line for line in notes)


def test_pairs_have_segments_whatever_the_tokenizer_gives(tmp_path: Path) -> None:
    own = ("tokenizer.kind=bpe", "tokenizer.vocab_size=300", "train.batch_size=4", "dist.device=cpu")
    prepared = prepare_corpus(scratch("task=fill-mask-sop", f"data.source={write(tmp_path, 'a.txt', WORDS)}", *own))
    made, rows = build(prepared), np.arange(4)
    for objective in (made.objective, made.scoring):
        batch = objective.collate(prepared.store.splits["train"], rows, epochs=np.zeros(4, dtype=np.int64), progress=0)
        assert (batch.inputs["token_type_ids"].sum(dim=1) > 0).all()


def test_a_full_disk_is_told_and_leaves_no_half_tokenizer(
    tmp_path: Path, cache: Path, small_disk: Callable[[int], None]
) -> None:
    given = scratch(f"data.source={write(tmp_path, 'a.txt', WORDS)}")
    small_disk(1_000)
    error = refused(given)
    small_disk(resource.RLIM_INFINITY)
    assert (error.code, error.exit_code) == ("P021", 7) and "BERTCTL_CACHE" in str(error.help)
    assert str(error.where).startswith(str(cache / "tokenizers")) and not list((cache / "tokenizers").iterdir())
    assert prepare_corpus(given).store.splits


# Mixtures


def drawn(given: Recipe) -> list[tuple[int, ...]]:
    """The texts of the first steps, in the order in which they come."""
    prepared = prepare_corpus(given)
    plan = build(prepared).plan
    rows = np.concatenate([plan.rows(step) for step in range(plan.total_steps or 0)])
    return texts(prepared.store.splits["train"], rows)


def mixture(model: Path, places: Mapping[Path, float]) -> Recipe:
    mix = ", ".join(f"{place}: {weight}" for place, weight in places.items())
    return recipe(model, f"data.mix={{{mix}}}", "train.epochs=1", "train.batch_size=4", "dist.device=cpu")


def test_swapped_weights_are_another_stream(tmp_path: Path, tiny_bert: Path) -> None:
    good, bad = write(tmp_path, "good.txt", GOOD), write(tmp_path, "bad.txt", BAD)
    one, other = (
        drawn(mixture(tiny_bert, dict(zip((good, bad), weights, strict=True)))) for weights in ((3, 1), (1, 3))
    )
    known = set(tiny_tokenizer().convert_tokens_to_ids(list(GOOD)))
    shares = [np.mean([bool(known & set(text)) for text in found]) for found in (one, other)]
    assert shares == pytest.approx([0.75, 0.25], abs=0.05)


def test_the_stream_of_a_mixture_does_not_depend_on_where_its_corpora_lie(tmp_path: Path, tiny_bert: Path) -> None:
    streams, mixes = [], []
    for folders in (("a", "z"), ("z2", "a2")):
        for folder in folders:
            (tmp_path / folder).mkdir()
        good = write(tmp_path / folders[0], "good.txt", GOOD)
        bad = write(tmp_path / folders[1], "bad.txt", BAD)
        given = mixture(tiny_bert, {good: 3, bad: 1})
        streams.append(drawn(given))
        mixes.append(prepare_corpus(given).store.facts["mix"])
    assert streams[0] == streams[1] and mixes[0] == mixes[1] in ("3 : 1", "1 : 3")
    assert prepare_corpus(mixture(tiny_bert, {good: 1, bad: 3})).store.facts["mix"] != mixes[0]


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
