"""One task in many languages: XNLI (Conneau et al. 2018, arXiv:1809.05053) and PAWS-X (Yang et al. 2019, 1908.11828).

Without further words they are read in English; a multilingual encoder that is trained so can be scored in the others:
`bertctl eval RUN --data hub:facebook/xnli:zh --split test`. Both are scored by accuracy, and their test labels are
public.
"""

from __future__ import annotations

from bert_cli.tasks.base import Hub, Task
from bert_cli.tasks.generic import SPLITS

_THREE = {"train": "train", "validation": "validation", "test": "test"}

TASKS: tuple[Task, ...] = (
    Task(
        name="xnli",
        objective="text-classification",
        summary="entailment in 15 languages, 3 classes",
        hub=Hub(path="facebook/xnli", config="en", splits=_THREE),
        folders=("xnli", "XNLI", "XNLI-1.0"),
        splits={
            "train": (*SPLITS["train"], "multinli.train.en"),
            "validation": (*SPLITS["validation"], "xnli.dev"),
            "test": (*SPLITS["test"], "xnli.test"),
        },
        columns={
            "text": ("premise", "sentence1"),
            "text_pair": ("hypothesis", "sentence2", "hypo"),
            "label": ("label", "gold_label"),
        },
        labels=("entailment", "neutral", "contradiction"),
        label_aliases={"contradictory": "contradiction"},
        metrics=("accuracy",),
        primary="accuracy",
        language=None,
    ),
    Task(
        name="pawsx",
        objective="text-classification",
        summary="paraphrases that share their words, 7 languages",
        hub=Hub(path="google-research-datasets/paws-x", config="en", splits=_THREE),
        folders=("pawsx", "paws-x", "PAWS-X"),
        splits={
            "train": (*SPLITS["train"], "translated_train"),
            "validation": (*SPLITS["validation"], "dev_2k"),
            "test": (*SPLITS["test"], "test_2k"),
        },
        columns={"text": ("sentence1",), "text_pair": ("sentence2",), "label": ("label",)},
        labels=("not_paraphrase", "paraphrase"),
        metrics=("accuracy",),
        primary="accuracy",
        language=None,
    ),
)
