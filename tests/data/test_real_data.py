"""Real data sets where they are at hand: in the folder BERTCTL_TEST_DATA, or `shared/data` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_cli.data.examples import load_examples
from bert_cli.data.source import find_sources
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

ROOT = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

COLUMNS = {
    "text": ("text", "sentence", "sentence1", "premise", "question"),
    "text_pair": ("sentence2", "hypothesis"),
    "label": ("label", "labels", "score", "label_coarse"),
}

CASES = [
    ("sst2", "text-classification", {"train": 67_349, "validation": 872, "test": 1_821}, 2),
    ("chnsenticorp", "text-classification", {"train": 9_600, "validation": 1_200, "test": 1_200}, 2),
    ("mrpc", "text-classification", {"train": 3_576, "validation": 500, "test": 1_725}, 2),
    ("rte", "text-classification", {"train": 2_490, "validation": 277, "test": 3_000}, 2),
    ("banking77", "text-classification", {"train": 9_003, "validation": 1_000, "test": 3_080}, 77),
    ("trec", "text-classification", {"train": 4_907, "validation": 545, "test": 500}, 6),
    ("fewclue_tnews", "text-classification", {"train": 1_185, "validation": 1_098, "test": 2_010}, 15),
    ("goemotions", "multi-label-classification", {"train": 43_410, "validation": 5_426, "test": 5_427}, 28),
    ("semeval2018_ec", "multi-label-classification", {"train": 6_838, "validation": 886, "test": 3_259}, 11),
    ("stsb", "text-regression", {"train": 5_749, "validation": 1_500, "test": 1_379}, None),
]


@pytest.mark.parametrize(("folder", "objective", "sizes", "classes"), CASES, ids=[case[0] for case in CASES])
def test_a_real_data_set_is_read_whole(folder: str, objective: str, sizes: dict[str, int], classes: int | None) -> None:
    if not (ROOT / folder).is_dir():
        pytest.skip(f"no folder '{folder}' in BERTCTL_TEST_DATA")
    task = Task(
        name=folder,
        objective=objective,
        summary="",
        splits={"train": (), "validation": (), "test": ("test", "test_unlabelled")},
        columns=COLUMNS,
        optional=frozenset({"text_pair"}),
        score_range=(0.0, 5.0) if objective == "text-regression" else None,
        metrics=(),
        primary="",
    )
    data = DataSection(source=str(ROOT))
    examples = load_examples(task, data, sources=find_sources(task, data), seed=42, splits=tuple(sizes))
    assert {name: len(split) for name, split in examples.splits.items()} == sizes
    assert (None if examples.labels is None else len(examples.labels)) == classes
    for split in examples.splits.values():
        assert split.empty_texts == 0
        assert split.targets is not None or split.name == "test"
