"""Every task against real files of its dataset, where a folder of them is at hand.

The folder is `BERTCTL_TEST_DATA`, else `shared/data` beside the repository. Columns must be found by name, and every
label of train and validation must be a class name, another spelling of one, or an id.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bert_cli.tasks import Task, all_tasks

DATA = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).parents[3] / "shared" / "data")
FORMS = (".csv", ".tsv", ".jsonl")
TEXTS = ("text-classification", "multi-label-classification", "text-regression")


def _split_file(task: Task, split: str) -> Path | None:
    for folder in task.folders:
        for stem in task.splits[split]:
            for form in FORMS:
                for name in (stem + form, stem + form + ".gz"):
                    if (path := DATA / folder / name).is_file():
                        return path
    return None


def _rows(path: Path) -> Iterator[dict[str, object]]:
    raw = path.read_bytes()
    text = io.StringIO((gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8"), newline="")
    if ".jsonl" in path.name:
        yield from map(json.loads, text)
    else:
        yield from csv.DictReader(text, delimiter="\t" if ".tsv" in path.name else ",")


def _fits(task: Task, value: object) -> bool:
    if task.objective == "text-regression":
        low, high = task.score_range or (float("-inf"), float("inf"))
        return low <= float(str(value)) <= high
    labels = task.labels or ()
    word = str(value)
    return word in labels or word in task.label_aliases or (word.isdecimal() and int(word) < len(labels))


LOCAL = [
    (task, split, path)
    for task in all_tasks().values()
    for split in task.splits
    if task.objective in TEXTS and (path := _split_file(task, split))
]


@pytest.mark.skipif(not LOCAL, reason=f"no datasets in {DATA.name}; set BERTCTL_TEST_DATA")
@pytest.mark.parametrize(("task", "split", "path"), LOCAL, ids=lambda value: getattr(value, "name", value))
def test_columns_and_labels_of_a_local_file_are_understood(task: Task, split: str, path: Path) -> None:
    rows = list(_rows(path))
    column = {role: next((n for n in names if n in rows[0]), None) for role, names in task.columns.items()}
    assert [role for role, found in column.items() if found is None and role not in task.optional] == []
    assert len(set(column.values())) == len(column)
    values = [row[column["label"] or ""] for row in rows]
    singles = [label for value in values for label in (value if isinstance(value, list) else [value])]
    assert {str(value) for value in singles if not _fits(task, value)} == set()


@pytest.mark.skipif(not (DATA / "sst2").is_dir(), reason="no complete mirror of the datasets")
def test_the_mirror_covers_the_tasks_it_is_known_to_hold() -> None:
    absent = {"qqp", "clinc_oos", "cb", "wic", "iflytek", "afqmc", "ocnli", "cmnli", "csl", "cluewsc", "xnli", "pawsx"}
    named = {task.name for task in all_tasks().values() if task.folders and task.objective in TEXTS}
    assert named - {task.name for task, _, _ in LOCAL} <= absent


@pytest.mark.skipif(not (DATA / "trec").is_dir(), reason="no TREC at hand")
def test_every_class_of_the_smaller_sets_occurs_in_training() -> None:
    for name in ("trec", "trec_fine", "banking77", "clinc150"):
        task = all_tasks()[name]
        path = _split_file(task, "train")
        assert path is not None
        label = next(n for n in task.columns["label"] if n in next(_rows(path)))
        assert {row[label] for row in _rows(path)} == set(task.labels or ())
