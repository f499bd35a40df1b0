"""The three forms of one's own data: one class a text, any number of classes a text, or one number a text.

Nothing but the form is fixed: the columns are found under many usual names, the class names come from the training
split, and a second text is used where the data have one. Data whose columns match no name, or match two (`sentence`
beside `question`), need `data.columns` in the recipe.
"""

from __future__ import annotations

from bert_cli.tasks.base import Task

SPLITS: dict[str, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test",),
}
"""The usual file stems of each split; the other modules of this folder build on them."""

_FIRST_OF_PAIR = ("text_a", "text1", "sentence1", "premise", "question1", "question", "query")
_SINGLE = ("content", "review", "review_body", "tweet", "comment", "utterance", "description", "document")
TEXT = ("text", "sentence", *_FIRST_OF_PAIR, *_SINGLE)
# No name here may stand alone as the only text of a file: `sentence` or `title` would be read as both texts.
TEXT_PAIR = ("text_pair", "text_b", "text2", "sentence2", "hypothesis", "question2", "answer", "passage", "context")

TASKS: tuple[Task, ...] = (
    Task(
        name="text-classification",
        objective="text-classification",
        summary="your own texts or pairs, one class each",
        splits=SPLITS,
        columns={
            "text": TEXT,
            "text_pair": TEXT_PAIR,
            "label": (
                "label",
                "labels",
                "class",
                "category",
                "target",
                "intent",
                "sentiment",
                "label_name",
                "gold_label",
            ),
        },
        metrics=("accuracy", "f1_macro", "f1_weighted"),
        primary="accuracy",
        optional=frozenset({"text_pair"}),
        language=None,
    ),
    Task(
        name="multi-label-classification",
        objective="multi-label-classification",
        summary="your own texts or pairs, any number of classes each",
        splits=SPLITS,
        columns={
            "text": TEXT,
            "text_pair": TEXT_PAIR,
            "label": ("labels", "label", "classes", "categories", "targets", "tags", "topics", "emotions"),
        },
        # Micro, not macro: a class with three examples must not decide which checkpoint is best.
        metrics=("f1_micro", "f1_macro", "accuracy"),
        primary="f1_micro",
        optional=frozenset({"text_pair"}),
        language=None,
    ),
    Task(
        name="text-regression",
        objective="text-regression",
        summary="your own texts or pairs, one number each",
        splits=SPLITS,
        columns={
            "text": TEXT,
            "text_pair": TEXT_PAIR,
            "label": (
                "score",
                "label",
                "labels",
                "target",
                "value",
                "rating",
                "stars",
                "similarity",
                "similarity_score",
            ),
        },
        # Pearson asks for the right values up to a line, whatever their unit; `eval.metric: mae` asks for the values.
        metrics=("pearson", "spearman", "mse", "mae"),
        primary="pearson",
        optional=frozenset({"text_pair"}),
        language=None,
    ),
)
