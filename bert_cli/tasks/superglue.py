"""Tasks of SuperGLUE (Wang et al. 2019, arXiv:1905.00537) on pairs of texts; RTE is that of GLUE, COPA is a choice.

Class ids and metrics are those of the benchmark. CommitmentBank has two metrics; F1 selects, because only one pair in
sixteen is neutral. WiC asks about one word of two sentences: both occurrences are put between asterisks, so that a
model which reads a pair can see which word is meant. The hub hides the labels of the test splits; `test` is listed for
BoolQ, of which a labelled contrast set exists (Gardner et al. 2020): yes/no questions that were changed a little.
"""

from __future__ import annotations

from bert_cli.errors import DataError
from bert_cli.tasks.base import Hub, Mark, Row, Task, marked
from bert_cli.tasks.generic import SPLITS

_PUBLIC = {"train": SPLITS["train"], "validation": SPLITS["validation"]}


def _hub(config: str) -> Hub:
    return Hub(path="aps/super_glue", config=config, splits={"train": "train", "validation": "validation"})


def mark_words(row: Row) -> Row:
    """WiC: both sentences with asterisks around the word that is asked about."""
    sentences = {
        role: marked(str(row[role]), Mark(_place(row, f"start{number}"), _place(row, f"end{number}"), "*", "*"))
        for number, role in enumerate(("text", "text_pair"), 1)
    }
    return sentences | ({"label": row["label"]} if "label" in row else {})


def _place(row: Row, role: str) -> int:
    value = row[role]
    if isinstance(value, bool) or not str(value).isdecimal():
        raise DataError(
            "D148",
            f"the {role} of this row is no place in its sentence",
            found="null" if value is None else repr(value),
            allowed="a number of characters, counted from 0",
            help="correct the row, or delete it",
        )
    return int(str(value))


TASKS: tuple[Task, ...] = (
    Task(
        name="boolq",
        objective="text-classification",
        summary="is the answer yes? questions about a passage",
        hub=_hub("boolq"),
        folders=("boolq", "BoolQ", "boolq_contrast"),
        splits=SPLITS,
        columns={"text": ("question",), "text_pair": ("passage",), "label": ("label", "answer")},
        labels=("False", "True"),
        label_aliases={"no": "False", "yes": "True"},
        metrics=("accuracy",),
        primary="accuracy",
    ),
    Task(
        name="cb",
        objective="text-classification",
        summary="does the speaker hold the clause true? 3 classes",
        hub=_hub("cb"),
        folders=("cb", "CB"),
        splits=_PUBLIC,
        columns={"text": ("premise",), "text_pair": ("hypothesis",), "label": ("label",)},
        labels=("entailment", "contradiction", "neutral"),
        metrics=("accuracy", "f1_macro"),
        primary="f1_macro",
    ),
    Task(
        name="wic",
        objective="text-classification",
        summary="does a word mean the same in both sentences?",
        hub=_hub("wic"),
        folders=("wic", "WiC"),
        splits=_PUBLIC,
        columns={
            "text": ("sentence1",),
            "text_pair": ("sentence2",),
            "start1": ("start1",),
            "end1": ("end1",),
            "start2": ("start2",),
            "end2": ("end2",),
            "label": ("label",),
        },
        labels=("False", "True"),
        label_aliases={"F": "False", "T": "True"},
        metrics=("accuracy",),
        primary="accuracy",
        prepare=mark_words,
    ),
)
