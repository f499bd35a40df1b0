"""Real sets of questions where they are at hand: in BERTCTL_TEST_DATA, or `shared/data` beside the repository."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bert_cli.data.question_splits import load_questions
from bert_cli.data.source import find_sources
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import find_task

ROOT = Path(os.environ.get("BERTCTL_TEST_DATA") or Path(__file__).resolve().parents[3] / "shared" / "data")

CASES = {
    # task: (folder, split -> questions, contexts, questions whose answer has no certain place)
    "squad_v2": ("squad2_halfdev", {"validation": (6078, 646, 0)}),
    "xquad": ("xquad", {"validation": (1190, 240, 0), "test_ar": (1190, 240, 0), "test_zh": (1190, 240, 0)}),
    "cmrc2018": ("cmrc2018", {"train": (1000, 256, 0), "validation": (3219, 848, 0)}),
    "drcd": ("drcd", {"validation": (3524, 1000, 0), "test": (3493, 1000, 0)}),
    "policyqa": ("policyqa", {"validation": (3809, 574, 0), "test": (4152, 497, 0)}),
    "covidqa": ("covidqa", {"train": (1373, 98, 0)}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_real_set_is_read_whole_and_its_answers_stand_in_their_contexts(name: str) -> None:
    folder, wanted = CASES[name]
    if not (ROOT / folder).is_dir():
        pytest.skip(f"no folder '{folder}' in BERTCTL_TEST_DATA")
    task, data = find_task(name), DataSection(source=str(ROOT))
    splits, _, _ = load_questions(task, data, sources=find_sources(task, data), seed=42, splits=tuple(wanted))
    for split, rows in splits.items():
        assert rows.golds is not None and rows.ids is not None
        unknown = int((rows.spans[:, 0] < 0).sum())
        assert (len(rows), len(set(rows.contexts)), unknown) == wanted[split], split
        for context, texts, (start, end) in zip(rows.contexts, rows.golds, rows.spans, strict=True):
            assert start < 0 or (context[start:end] in [text.strip() for text in texts] if texts else end == 0)


@pytest.mark.skipif(not (ROOT / "covidqa").is_dir(), reason="no COVID-QA at hand")
def test_wrong_offsets_are_counted_and_mostly_mended() -> None:
    task, data = find_task("covidqa"), DataSection(source=str(ROOT))
    _, _, doubts = load_questions(task, data, sources=find_sources(task, data), seed=42, splits=("train",))
    assert [doubt.partition(" (first")[0] for doubt in doubts] == [
        "train: 234 of 1380 answers do not stand where answer_start says",
        "train: 7 questions whose answers have no certain place: scored, but not learnt from",
    ]
    assert "227 of them occur once" in doubts[0]


@pytest.mark.skipif(not (ROOT / "squad2_halfdev").is_dir(), reason="no SQuAD 2.0 at hand")
def test_a_test_split_without_answers_is_read_as_such() -> None:
    task, data = find_task("squad_v2"), DataSection(source=str(ROOT / "squad2_halfdev" / "test_unlabelled.json"))
    sources = find_sources(task, data, file_split="test")
    splits, _, _ = load_questions(task, data, sources=sources, seed=42, splits=("test",))
    assert len(splits["test"]) == 5915 and splits["test"].golds is None
