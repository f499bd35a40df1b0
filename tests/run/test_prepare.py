"""From a recipe to tokens: what is kept in the cache, and when it is made anew."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny import tiny_data, tiny_recipe

from bert_cli.recipe.schema import Recipe
from bert_cli.run import prepare
from bert_cli.run.prepare import prepare_rows


def notes_of(recipe: Recipe) -> list[str]:
    said: list[str] = []
    prepare_rows(recipe, note=said.append)
    return said


@pytest.fixture
def recipe(tiny_bert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    monkeypatch.setenv("BERTCTL_CACHE", str(tmp_path / "cache"))
    recipe: Recipe = tiny_recipe(tiny_bert, tiny_data(tmp_path / "data"), tmp_path / "run")
    assert notes_of(recipe) == ["tokenising"]
    return recipe


def test_tokens_are_kept_for_the_next_run(recipe: Recipe) -> None:
    assert notes_of(recipe) == []


@pytest.mark.parametrize("package", ["tokenizers", "transformers"])
def test_another_version_of_what_makes_tokens_makes_them_anew(
    recipe: Recipe, package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = prepare.metadata.version
    monkeypatch.setattr(prepare.metadata, "version", lambda name: "0.0.1" if name == package else version(name))
    assert notes_of(recipe) == ["tokenising"]


def test_another_format_of_stores_makes_them_anew(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "STORE_VERSION", prepare.STORE_VERSION + 1)
    assert notes_of(recipe) == ["tokenising"]


def test_a_change_of_the_file_named_for_validation_makes_them_anew(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    named = (data / "validation.tsv").rename(data / "mine.tsv")
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", data__validation="mine")
    assert notes_of(recipe) == ["tokenising"] and notes_of(recipe) == []
    lines = named.read_text(encoding="utf-8").splitlines()
    named.write_text("\n".join(lines[:-1]) + "\n", encoding="utf-8")
    assert notes_of(recipe) == ["tokenising"]


def test_the_same_bytes_elsewhere_are_called_by_their_own_place(tiny_bert: Path, tmp_path: Path) -> None:
    for root, shown in ((tmp_path / "sst2", "train.tsv"), (tmp_path, "sst2/train.tsv")):
        tiny_data(tmp_path / "sst2", text="sentence", labels=("0", "1"))
        recipe = tiny_recipe(tiny_bert, root, tmp_path / "run", task="sst2")
        assert prepare_rows(recipe).store.splits["train"].facts["origin"] == shown


def test_a_held_out_split_is_marked_in_the_store(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data")
    whole = prepare_rows(tiny_recipe(tiny_bert, data, tmp_path / "run")).store.splits
    assert [whole[name].facts["held_out"] for name in ("train", "validation")] == [None, None]
    (data / "validation.tsv").unlink()
    parted = prepare_rows(tiny_recipe(tiny_bert, data, tmp_path / "run")).store.splits
    assert [parted[name].facts["held_out"] for name in ("train", "validation")] == [None, 0.1]
    assert len(parted["train"]) + len(parted["validation"]) == 64


def test_a_doubt_about_labels_is_told_again_from_the_cache(tiny_bert: Path, tmp_path: Path) -> None:
    rows = "".join(f"text {i}\tkind {i % 20}\n" for i in range(20))
    (tmp_path / "data").mkdir()
    for split in ("train", "validation"):
        (tmp_path / "data" / f"{split}.tsv").write_text(f"text\tlabel\n{rows}")
    recipe = tiny_recipe(tiny_bert, tmp_path / "data", tmp_path / "run")
    first, again = notes_of(recipe), notes_of(recipe)
    assert first[0] == "tokenising" and again == first[1:]
    assert "the column 'label' of train.tsv has 20 classes in 20 rows" in again[0]
