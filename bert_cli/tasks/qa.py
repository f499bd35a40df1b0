"""Extractive question answering: your own questions, and the sets whose answers are pieces of a context.

Files may be SQuAD's nested JSON or flat rows. XQuAD has no training data: its English part, which selects, and the
other languages, which are tests, are translations of each other and of SQuAD 1.1's paragraphs, so a model is trained on
SQuAD's own `train` beside them. CMRC 2018 falls back on its small trial set where there is no other training data.
"""

from __future__ import annotations

from bert_cli.tasks.base import Hub, Task
from bert_cli.tasks.generic import SPLITS

OBJECTIVE = "question-answering"
METRICS = ("answer_f1", "exact_match")

COLUMNS: dict[str, tuple[str, ...]] = {
    "id": ("id", "qid", "question_id", "qas_id"),
    "question": ("question", "query"),
    "context": ("context", "passage", "paragraph", "document"),
    "answers": ("answers", "answer"),
    "is_impossible": ("is_impossible",),
}
OPTIONAL = frozenset({"id", "answers", "is_impossible"})

_XQUAD = ("ar", "de", "el", "es", "hi", "ro", "ru", "th", "tr", "vi", "zh")


def _task(
    name: str,
    summary: str,
    *,
    hub: Hub | None = None,
    folders: tuple[str, ...] = (),
    splits: dict[str, tuple[str, ...]] = SPLITS,
    language: str | None = "en",
) -> Task:
    return Task(
        name=name,
        objective=OBJECTIVE,
        summary=summary,
        hub=hub,
        folders=folders,
        splits=splits,
        columns=COLUMNS,
        metrics=METRICS,
        primary="answer_f1",
        optional=OPTIONAL,
        language=language,
    )


_BOTH = {"train": "train", "validation": "validation"}

TASKS: tuple[Task, ...] = (
    _task(OBJECTIVE, "your own questions, answered by a piece of a text", language=None),
    _task(
        "squad",
        "SQuAD 1.1: questions about Wikipedia, all answered",
        hub=Hub(path="rajpurkar/squad", splits=_BOTH),
        folders=("squad", "squad1", "squad_v1"),
        splits={**SPLITS, "train": ("train", "train-v1.1"), "validation": ("validation", "dev", "dev-v1.1")},
    ),
    _task(
        "squad_v2",
        "SQuAD 2.0: a third of the questions has no answer",
        hub=Hub(path="rajpurkar/squad_v2", splits=_BOTH),
        folders=("squad_v2", "squad2", "squad2_halfdev"),
        splits={**SPLITS, "train": ("train", "train-v2.0"), "validation": ("validation", "dev", "dev-v2.0")},
    ),
    _task(
        "xquad",
        "XQuAD: 1,190 questions of SQuAD in 12 languages",
        hub=Hub(path="google/xquad", config="xquad.en", splits={"validation": "validation"}),
        folders=("xquad",),
        splits={
            "train": ("train", "train-v1.1"),
            "validation": ("validation", "dev", "dev-v1.1", "en", "xquad.en"),
            **{f"test_{code}": (code, f"xquad.{code}") for code in _XQUAD},
        },
        language=None,
    ),
    _task(
        "cmrc2018",
        "CMRC 2018: questions about Chinese Wikipedia",
        hub=Hub(path="hfl/cmrc2018", splits={**_BOTH, "test": "test"}),
        folders=("cmrc2018", "cmrc"),
        splits={
            "train": ("train", "cmrc2018_train", "trial", "cmrc2018_trial"),
            "validation": ("validation", "dev", "cmrc2018_dev"),
            "test": ("test", "cmrc2018_test"),
        },
        language="zh",
    ),
    _task(
        "drcd",
        "DRCD: questions about Wikipedia, traditional Chinese",
        hub=Hub(path="clue/clue", config="drcd", splits={**_BOTH, "test": "test"}),
        folders=("drcd",),
        splits={
            "train": ("train", "DRCD_training"),
            "validation": ("validation", "dev", "DRCD_dev"),
            "test": ("test", "DRCD_test"),
        },
        language="zh",
    ),
    _task(
        "policyqa",
        "PolicyQA: questions about privacy policies",
        hub=Hub(path="alzoubi36/policy_qa", splits={**_BOTH, "test": "test"}),
        folders=("policyqa", "policy_qa"),
    ),
    _task(
        "covidqa",
        "COVID-QA: questions about long scientific articles",
        hub=Hub(path="deepset/covid_qa_deepset", splits={"train": "train"}),
        folders=("covidqa", "covid_qa", "covid_qa_deepset"),
        splits={**SPLITS, "train": ("train", "all", "COVID-QA", "200423_covidQA")},
    ),
)
