"""What a recipe's data hold: every split, every mistake once, lengths as training sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import tiny_data, write_table

from bert_cli.errors import UsageError
from bert_cli.recipe.schema import Recipe
from bert_cli.run.check import Checked, check_data
from bert_cli.run.prepare import prepare_rows


def recipe_of(source: Path, task: str = "text-classification", **sections: dict[str, Any]) -> Recipe:
    given = {"task": task, **sections}
    return Recipe.model_validate({**given, "data": {"source": str(source), **given.get("data", {})}})


def rows(folder: Path, **splits: list[tuple[str, str]]) -> Path:
    for name, cells in splits.items():
        write_table(folder / f"{name}.tsv", ["text", "label"], cells)
    return folder


def names(checked: Checked, severity: str | None = None) -> list[str]:
    return [one.name for one in checked.findings if severity in (None, one.severity)]


GOOD = [(f"row {i} is fine", "ab"[i % 2]) for i in range(40)]


def test_every_split_is_read_and_train_comes_first(tmp_path: Path) -> None:
    data = rows(tmp_path, test=[("only here", "a"), ("and here", "b")], validation=GOOD[:4], train=GOOD[4:])
    checked = check_data(recipe_of(data))
    assert [one.contents.name for one in checked.splits] == ["train", "validation", "test"]
    assert (names(checked), checked.unit, checked.columns) == ([], "words", {"text": "text", "label": "label"})
    facts = checked.facts()["train"]
    assert facts["rows"] == 36 and facts["classes"] == {"a": 18, "b": 18} and facts["length"]["mean"] == 4


def test_without_a_validation_split_the_held_out_rows_are_looked_at_as_such(tmp_path: Path) -> None:
    data = rows(tmp_path, train=[*GOOD[:38], *GOOD[:2] * 20])
    checked = check_data(recipe_of(data, data={"validation": "50%"}))
    assert [one.contents.held_out for one in checked.splits] == [None, 0.5]
    assert sum(len(one.contents) for one in checked.splits) == 78
    overlap = next(one for one in checked.findings if one.name == "overlap")
    assert overlap.help == "it was held out of train.tsv: delete the repeats there"


def test_a_split_named_for_validation_is_not_compared_with_itself(tmp_path: Path) -> None:
    data = rows(tmp_path, train=GOOD[:20], mine=GOOD[20:])
    checked = check_data(recipe_of(data, data={"validation": "mine"}))
    assert [one.contents.name for one in checked.splits] == ["train", "validation"]
    assert "overlap" not in names(checked)


def test_data_without_a_training_split_are_looked_at_too(tmp_path: Path) -> None:
    data = rows(tmp_path / "sst2", validation=[("fine", "0"), ("dull", "1")])
    assert [one.contents.name for one in check_data(recipe_of(data, "sst2")).splits] == ["validation"]


def test_all_mistakes_of_all_files_are_findings_and_the_other_splits_are_read(tmp_path: Path) -> None:
    data = rows(tmp_path, train=GOOD, validation=[("new", "a"), ("ugly", "c")], test=[("x", "d"), ("y", "e")])
    checked = check_data(recipe_of(data))
    assert [one.contents.name for one in checked.splits] == ["train"]
    errors = [one for one in checked.findings if one.severity == "error"]
    assert [(one.name, one.where) for one in errors] == [("D033", ("validation.tsv:3",)), ("D033", ("test.tsv:2",))]
    assert errors[0].what == "'c' is not one of the 2 classes; allowed: a, b" and errors[0].example == "c"


def test_a_mistake_in_train_is_told_once(tmp_path: Path) -> None:
    data = rows(tmp_path, train=[*GOOD, ("no label", "")], validation=GOOD[:3])
    checked = check_data(recipe_of(data))
    assert names(checked, "error") == ["D030"] and checked.splits == ()
    assert checked.as_dict()["splits"] == {} and checked.unit == "characters"


def test_doubts_of_reading_are_findings(tmp_path: Path) -> None:
    data = rows(tmp_path, train=[(f"row {i} is fine", f"class {i}") for i in range(20)], test=GOOD[:1])
    (tmp_path / "test.tsv").unlink()
    doubt = next(one for one in check_data(recipe_of(data)).findings if one.name == "doubt")
    assert doubt.severity == "warning" and "20 classes in 20 rows" in doubt.what


def test_without_judgement_only_mistakes_are_found(tmp_path: Path) -> None:
    data = rows(tmp_path, train=[*GOOD, *GOOD], validation=[("x", "c"), ("y", "a")])
    assert names(check_data(recipe_of(data), judge=False)) == ["D033"]


@pytest.mark.parametrize(("task", "instead"), [("fill-mask", "data stats"), ("blimp", "bertctl eval")])
def test_tasks_without_labelled_rows_are_refused(task: str, instead: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        check_data(recipe_of(tmp_path, task))
    assert caught.value.code == "U111" and instead in str(caught.value.help)


def test_mistakes_that_are_not_in_the_data_end_the_command(tmp_path: Path) -> None:
    data = rows(tmp_path, train=GOOD, validation=GOOD)
    with pytest.raises(UsageError) as caught:
        check_data(recipe_of(data, data={"columns": {"texts": "text"}}))
    assert caught.value.code == "U063"


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("max_length", [8, 64])
def test_what_the_model_reads_is_counted_as_in_training(
    tiny_bert: Path, tmp_path: Path, pairs: bool, max_length: int
) -> None:
    data = tiny_data(tmp_path / "data", pairs=pairs)
    recipe = recipe_of(data, model={"name": str(tiny_bert)}, data={"max_length": max_length})
    store = prepare_rows(recipe, keep=False).store
    for one in check_data(recipe, tokens=True).splits:
        split = store.splits[one.contents.name]
        assert one.lengths.sequences is not None
        np.testing.assert_array_equal(np.sort(one.lengths.sequences), np.sort(split.lengths))
        assert (one.lengths.truncated, one.lengths.lost) == (split.facts["truncated"], split.facts["lost_tokens"])
        assert int(one.lengths.values.sum()) == int(split.lengths.sum()) + one.lengths.lost
        assert one.lengths.truncated == int((one.lengths.values > max_length).sum())
        assert one.lengths.unknown == 0


def test_unknown_tokens_are_counted(tiny_bert: Path, tmp_path: Path) -> None:
    data = rows(tmp_path, train=[("the film 电影", "a"), ("the plot", "b")] * 5, validation=[("the film", "a")])
    checked = check_data(recipe_of(data, model={"name": str(tiny_bert)}), tokens=True)
    assert checked.splits[0].lengths.unknown == 10
    assert "unknown-tokens" in names(checked, "warning")


def test_everything_is_plain_json(tiny_bert: Path, tmp_path: Path) -> None:
    data = tiny_data(tmp_path / "data", kind="regression")
    recipe = recipe_of(data, "text-regression", model={"name": str(tiny_bert)})
    found = json.loads(json.dumps(check_data(recipe, tokens=True).as_dict()))
    assert found["unit"] == "tokens" and set(found["splits"]) == {"train", "validation"}
    assert set(found["splits"]["train"]) >= {"scores", "padding", "longer_than", "histogram", "scripts"}
