"""The nine tasks of GLUE (Wang et al. 2019) with the metrics of its leaderboard and the class ids of its hub copy.

GLUE gives MRPC, QQP and STS-B two metrics; one must select the best model. MRPC and QQP take F1, because their classes
are unequal (68 % and 37 % positive) and Devlin et al. (2019) report it; STS-B takes Spearman, which that paper reports
and which no monotone stretch of the scores can move. The hub hides the test labels of every set but MRPC, so `test` is
listed only where a labelled copy exists (SST-2, MRPC, STS-B).
"""

from __future__ import annotations

from bert_cli.tasks.base import Hub, Task
from bert_cli.tasks.generic import SPLITS

_PUBLIC = {"train": SPLITS["train"], "validation": SPLITS["validation"]}
_ENTAILMENT = ("entailment", "not_entailment")


def _hub(config: str, **splits: str) -> Hub:
    return Hub(path="nyu-mll/glue", config=config, splits={"train": "train", "validation": "validation", **splits})


TASKS: tuple[Task, ...] = (
    Task(
        name="cola",
        objective="text-classification",
        summary="is the sentence acceptable English?",
        hub=_hub("cola"),
        folders=("cola", "CoLA"),
        splits=_PUBLIC,
        columns={"text": ("sentence", "text"), "label": ("label",)},
        labels=("unacceptable", "acceptable"),
        metrics=("matthews_correlation",),
        primary="matthews_correlation",
    ),
    Task(
        name="sst2",
        objective="text-classification",
        summary="sentiment of phrases from film reviews, 2 classes",
        hub=_hub("sst2"),
        folders=("sst2", "SST-2"),
        splits=SPLITS,
        columns={"text": ("sentence", "text"), "label": ("label",)},
        labels=("negative", "positive"),
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="mrpc",
        objective="text-classification",
        summary="do two sentences from the news say the same?",
        hub=_hub("mrpc", test="test"),
        folders=("mrpc", "MRPC"),
        splits=SPLITS,
        columns={
            "text": ("sentence1", "#1 String"),
            "text_pair": ("sentence2", "#2 String"),
            "label": ("label", "Quality"),
        },
        labels=("not_equivalent", "equivalent"),
        metrics=("accuracy", "f1"),
        primary="f1",
    ),
    Task(
        name="qqp",
        objective="text-classification",
        summary="do two questions from Quora ask the same?",
        hub=_hub("qqp"),
        folders=("qqp", "QQP"),
        splits=_PUBLIC,
        columns={"text": ("question1",), "text_pair": ("question2",), "label": ("label", "is_duplicate")},
        labels=("not_duplicate", "duplicate"),
        metrics=("accuracy", "f1"),
        primary="f1",
    ),
    Task(
        name="stsb",
        objective="text-regression",
        summary="how similar are two sentences, 0 to 5?",
        hub=_hub("stsb"),
        folders=("stsb", "STS-B"),
        splits=SPLITS,
        columns={
            "text": ("sentence1",),
            "text_pair": ("sentence2",),
            "label": ("label", "score", "similarity_score"),
        },
        score_range=(0.0, 5.0),
        metrics=("pearson", "spearman"),
        primary="spearman",
    ),
    Task(
        name="mnli",
        objective="text-classification",
        summary="does the premise entail the hypothesis? 3 classes",
        hub=_hub("mnli", validation="validation_matched", validation_mismatched="validation_mismatched"),
        folders=("mnli", "MNLI", "mnli_mini"),
        splits={
            "train": SPLITS["train"],
            "validation": ("validation_matched", "dev_matched", *SPLITS["validation"]),
            "validation_mismatched": ("validation_mismatched", "dev_mismatched"),
        },
        columns={
            "text": ("premise", "sentence1"),
            "text_pair": ("hypothesis", "sentence2"),
            "label": ("label", "gold_label"),
        },
        labels=("entailment", "neutral", "contradiction"),
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="qnli",
        objective="text-classification",
        summary="does the sentence answer the question?",
        hub=_hub("qnli"),
        folders=("qnli", "QNLI"),
        splits=_PUBLIC,
        columns={"text": ("question",), "text_pair": ("sentence",), "label": ("label",)},
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="rte",
        objective="text-classification",
        summary="does the first text entail the second? 2 classes",
        hub=_hub("rte"),
        folders=("rte", "RTE"),
        splits=_PUBLIC,
        columns={"text": ("sentence1", "premise"), "text_pair": ("sentence2", "hypothesis"), "label": ("label",)},
        labels=_ENTAILMENT,
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="wnli",
        objective="text-classification",
        summary="does the pronoun mean this noun? 2 classes",
        hub=_hub("wnli"),
        folders=("wnli", "WNLI"),
        splits=_PUBLIC,
        columns={"text": ("sentence1",), "text_pair": ("sentence2",), "label": ("label",)},
        # The other way round than RTE and QNLI: here 1 is entailment.
        labels=("not_entailment", "entailment"),
        metrics=("accuracy",),
        primary="accuracy",
    ),
)
