"""One label, several labels or one score for a whole text or pair of texts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bert_cli.data.cells import texts_of
from bert_cli.data.examples import Split as TextSplit
from bert_cli.data.examples import load_examples
from bert_cli.data.read import Record
from bert_cli.data.split import Split
from bert_cli.data.store import EncodedChunk
from bert_cli.errors import UsageError
from bert_cli.families.base import Answers, Head, Labelled, Loaded, Reading, Request
from bert_cli.files import rounded
from bert_cli.metrics import Predictions, Scorer, report, tune_threshold
from bert_cli.objectives.long import LongTextObjective, window_chunks
from bert_cli.objectives.sequence import PROBLEM_TYPES, SequenceObjective, encode_chunks
from bert_cli.train.evaluate import Scored

REGRESSION = "text-regression"
MULTI_LABEL = "multi-label-classification"


@dataclass(frozen=True)
class SequenceAnswers:
    """What a model said about texts: probabilities of classes, or scores."""

    split: Split
    outputs: np.ndarray
    reading: Reading
    scores: dict[str, float]
    threshold: float

    @property
    def n(self) -> int:
        """Texts."""
        return len(self.split)

    @cached_property
    def _predictions(self) -> Predictions:
        return Predictions(self.reading.task.objective, self.outputs, self.threshold)

    def report(self) -> dict[str, Any]:
        """Scores of each class and the confusion matrix, or residuals; see `bert_cli.metrics.report`."""
        assert self.split.targets is not None, "there is nothing to compare with"
        return report(self._predictions, self.split.targets, self.reading.labels or ())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Text, gold label and prediction of each."""
        names = self.reading.labels
        for row, score in enumerate(self.outputs):
            line = self.split.value("line", row)
            record: dict[str, Any] = {} if line is None else {"line": line}
            record["text"] = self.split.value("text", row)
            pair = self.split.value("text_pair", row)
            if pair is not None:
                record["text_pair"] = pair
            if self.split.targets is not None:
                record["gold"] = self._gold(self.split.targets[row], names)
            yield record | self._describe(score, names)

    def files(self) -> Mapping[str, Any]:
        """None: the rows say everything."""
        return {}

    def _describe(self, score: Any, names: Sequence[str] | None) -> dict[str, Any]:
        """`label` and `probabilities`, `labels` and `probabilities`, or `score`."""
        if self.reading.task.objective == REGRESSION:
            return {"score": rounded(float(score))}
        assert names is not None
        probabilities = {name: rounded(float(p)) for name, p in zip(names, score, strict=True)}
        if self.reading.task.objective == MULTI_LABEL:
            chosen = [names[int(i)] for i in np.flatnonzero(score >= self.threshold)]
            return {"labels": chosen, "probabilities": probabilities}
        return {"label": names[int(np.argmax(score))], "probabilities": probabilities}

    def _gold(self, target: Any, names: Sequence[str] | None) -> Any:
        """A target in the words of the data."""
        if self.reading.task.objective == REGRESSION:
            return float(target)
        assert names is not None
        if self.reading.task.objective == MULTI_LABEL:
            return [names[int(i)] for i in np.flatnonzero(target)]
        return names[int(target)]


class SequenceFamily(Labelled):
    """Text classification, multi-label classification or regression."""

    def __init__(self, head: Head) -> None:
        self.head = head

    def load(self, request: Request) -> Loaded:
        """Texts with targets; see `load_examples`."""
        examples = load_examples(
            request.task,
            request.recipe.data,
            sources=request.sources,
            seed=request.recipe.train.seed,
            labels=request.model_labels,
            require_labels=request.labelled,
            splits=request.splits,
        )
        return Loaded(examples.splits, examples.labels, examples.columns, examples.doubts)

    def records(
        self, records: Sequence[Record], reading: Reading, *, origin: str, columns: Mapping[str, str]
    ) -> TextSplit:
        """The texts, and the second ones where the model reads pairs."""
        rows = [texts_of(record, reading.task, origin=origin, columns=columns) for record in records]
        pairs = [row["text_pair"] for row in rows] if "text_pair" in rows[0] else None
        # No line: a reader of predictions knows the order of what it sent.
        return TextSplit("", [row["text"] for row in rows], pairs, None, np.empty(0, dtype=np.int64), origin)

    def encode(self, rows: TextSplit, reading: Reading) -> Iterator[EncodedChunk]:
        """One row of tokens for each text: the text as far as it fits, or all of its windows."""
        columns: dict[str, Any] = {"text": rows.texts}
        if len(rows.lines):
            columns["line"] = rows.lines
        if rows.pairs is not None:
            columns["text_pair"] = rows.pairs
        if rows.targets is not None:
            columns["target"] = rows.targets
        data = reading.recipe.data
        if data.aggregate == "first":
            return encode_chunks(reading.tokenizer, rows.texts, rows.pairs, columns=columns, max_length=data.max_length)
        return window_chunks(
            reading.tokenizer, rows.texts, rows.pairs, columns=columns, max_length=data.max_length, stride=data.stride
        )

    def model_settings(self, reading: Reading) -> dict[str, Any]:
        """Class names, and what kind of question the head answers."""
        problem = PROBLEM_TYPES[reading.task.objective]
        return {"labels": reading.labels if problem != "regression" else ("score",), "problem_type": problem}

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> SequenceObjective:
        """The task's loss; class weights and label smoothing belong to training alone."""
        options: dict[str, Any] = {
            "pad_token_id": reading.tokenizer.pad_token_id,
            "takes_type_ids": takes_type_ids,
            "label_smoothing": reading.recipe.train.label_smoothing if training else 0.0,
            "class_weights": class_weights(reading, train) if training and train is not None else None,
        }
        how = reading.recipe.data.aggregate
        if how == "first":
            return SequenceObjective(reading.task.objective, **options)
        return LongTextObjective(reading.task.objective, how=how, **options)

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """Predictions, and their scores; a multi-label threshold is tuned for the metric that selects."""
        recipe, task = reading.recipe, reading.task
        if threshold is None:
            threshold = 0.5
            if task.objective == MULTI_LABEL:
                assert split.targets is not None
                threshold = tune_threshold(scored.scores, split.targets, metric=recipe.eval.metric or task.primary)
        scores: dict[str, float] = {}
        if scorer is not None:
            assert split.targets is not None
            predictions = Predictions(task.objective, scored.scores, threshold)
            scores = {**scored.losses, **scorer.score(predictions, split.targets)}
        return SequenceAnswers(split, scored.scores, reading, scores, threshold)


def class_weights(reading: Reading, train: Split) -> list[float] | None:
    """The recipe's weight of each class, in the order of the model's outputs.

    Raises:
        UsageError: not one weight for each class (U031), or there are no classes (U032).
    """
    wanted, labels = reading.recipe.train.class_weights, reading.labels
    if wanted == "none":
        return None
    if labels is None:
        raise UsageError(
            "U032",
            "a regression has no classes to weigh",
            key="train.class_weights",
            found=str(wanted),
            help="leave it out",
        )
    if not isinstance(wanted, str):
        if len(wanted) != len(labels):
            raise UsageError(
                "U031",
                "there must be one weight for each class",
                key="train.class_weights",
                found=f"{len(wanted)} weights",
                allowed=f"{len(labels)}: {', '.join(labels[:8])}",
                help="train.class_weights=balanced",
            )
        order = reading.task_order or tuple(range(len(labels)))
        return [wanted[order.index(place)] for place in range(len(labels))]
    assert train.targets is not None
    if train.targets.ndim == 2:
        positive = np.maximum(train.targets.sum(axis=0), 1.0)
        return [float(weight) for weight in np.maximum(len(train) - positive, 1.0) / positive]
    count = np.maximum(np.bincount(train.targets, minlength=len(labels)), 1)
    return [float(weight) for weight in len(train) / (len(labels) * count)]


_CLASS, _SUFFIX = "AutoModelForSequenceClassification", "ForSequenceClassification"
CLASSES = SequenceFamily(Head(_CLASS, _SUFFIX, "texts"))
SCORES = SequenceFamily(Head(_CLASS, _SUFFIX, "texts", named=False))
