"""The verb `predict` as a function: texts in, one prediction for each, in their order.

Works on a stream: windows of growing size are read, sorted by length, computed and put back in order, so first answers
come early and memory stays flat. A model of bertctl brings its columns, length, threshold and precision along.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bert_cli.data.read import Record
from bert_cli.errors import DataError, ModelError
from bert_cli.grouping import sorted_batches
from bert_cli.models.attention import unpad
from bert_cli.models.build import check_fits, load_model, load_tokenizer, positions
from bert_cli.models.heads import head_labels
from bert_cli.models.locate import locate
from bert_cli.objectives.sequence import PROBLEM_TYPES, SequenceObjective, encode
from bert_cli.run.build import takes_type_ids
from bert_cli.run.predictions import describe
from bert_cli.run.publish import ModelFacts
from bert_cli.runtime import Runtime
from bert_cli.tasks import find_task

FIRST_WINDOW, LAST_WINDOW = 16, 1024


@dataclass(frozen=True)
class Predictor:
    """A loaded model that reads texts.

    Attributes:
        columns: role -> names of the column that may hold it, most usual first.
    """

    model: Any
    tokenizer: Any
    objective: SequenceObjective
    runtime: Runtime
    labels: tuple[str, ...] | None
    columns: dict[str, tuple[str, ...]]
    needs_pair: bool
    max_length: int
    batch_tokens: int
    threshold: float

    def predict(self, texts: list[str], pairs: list[str] | None = None) -> list[dict[str, Any]]:
        """One prediction for each text (or pair), in their order; see `bert_cli.run.predictions.describe`."""
        ids, types, _, _ = encode(self.tokenizer, texts, pairs, max_length=self.max_length)
        lengths = np.array([len(tokens) for tokens in ids])
        found: dict[int, dict[str, Any]] = {}
        with torch.inference_mode():
            for rows in sorted_batches(lengths, self.batch_tokens):
                batch = self.objective.batch(
                    [np.array(ids[row]) for row in rows],
                    types=None if types is None else [np.array(types[row]) for row in rows],
                    rows=rows,
                ).to(self.runtime.device)
                with self.runtime.autocast():
                    outputs = self.objective.forward(self.model, batch)
                for row, score in zip(rows, self.objective.scores(outputs, batch), strict=True):
                    found[int(row)] = describe(self.objective.name, score, labels=self.labels, threshold=self.threshold)
        return [found[row] for row in range(len(texts))]

    def stream(
        self, records: Iterable[Record], *, origin: str, columns: dict[str, str] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Each record's texts with its prediction, as soon as its window is done.

        Args:
            origin: what to call the source in messages.
            columns: role -> column, where the model's own names do not fit.
        """
        source = iter(records)
        size = FIRST_WINDOW
        while window := list(itertools.islice(source, size)):
            texts = [self._cell(record, "text", origin=origin, columns=columns) for record in window]
            pairs = (
                [self._cell(record, "text_pair", origin=origin, columns=columns) for record in window]
                if self.needs_pair
                else None
            )
            for i, prediction in enumerate(self.predict(texts, pairs)):
                echo = {"text": texts[i]} if pairs is None else {"text": texts[i], "text_pair": pairs[i]}
                yield echo | prediction
            size = min(size * 2, LAST_WINDOW)

    def _cell(self, record: Record, role: str, *, origin: str, columns: dict[str, str] | None) -> str:
        names = (columns[role],) if columns and role in columns else self.columns[role]
        for name in names:
            if name in record.values:
                value = record.values[name]
                if isinstance(value, str):
                    return value
                raise DataError(
                    "D095",
                    f"column '{name}' must hold text",
                    where=f"{origin}:{record.line}",
                    found=value,
                    allowed="a string",
                    help="quote the value",
                )
        raise DataError(
            "D096",
            f"there is no column for {role}",
            where=f"{origin}:{record.line}",
            key="--text" if role == "text" else "--text-pair",
            found=", ".join(record.values),
            allowed=list(dict.fromkeys(names)),
            help=f"--{role.replace('_', '-')} COLUMN names it",
        )


def load_predictor(
    name: str,
    *,
    device: str = "auto",
    precision: str | None = None,
    threshold: float | None = None,
    revision: str | None = None,
    allow_bin: bool = False,
    offline: bool = False,
) -> Predictor:
    """Load a run's best model, a model folder or a hub model for prediction.

    Raises:
        ModelError: the model has no head for texts (L043).
    """
    located = locate(name, revision=revision, allow_bin=allow_bin, offline=offline)
    facts = ModelFacts.read(located.folder)
    config = located.config
    labels = head_labels(config, "ForSequenceClassification")
    if labels is None:
        raise ModelError(
            "L043",
            "this model has no trained head for texts",
            where=str(located.folder),
            found=", ".join(config.get("architectures") or ["no architectures"]),
            allowed="a model of `bertctl finetune`, or any …ForSequenceClassification",
            help="bertctl finetune --task TASK --model " + name,
        )
    objective_name = facts.objective if facts else _objective_of(config, labels)
    if facts is not None and precision is None:
        runtime = Runtime(device=device, precision=facts.precision, onednn=facts.onednn)
    else:
        runtime = Runtime(device=device, precision=precision or "auto")
    tokenizer = load_tokenizer(located.folder)
    model = load_model(
        located,
        auto_class=SequenceObjective.auto_class,
        labels=labels,
        problem_type=PROBLEM_TYPES[objective_name],
        need_head=True,
    )
    unpad(model)
    model.eval().to(runtime.device)
    max_length = facts.max_length if facts else min(tokenizer.model_max_length, 512, positions(model))
    check_fits(model, tokenizer, max_length=max_length)
    generic = find_task(objective_name).columns
    own = facts.columns if facts else {}
    columns = {
        role: (*([own[role]] if role in own else []), "text" if role == "text" else "text_pair", *names)
        for role, names in generic.items()
    }
    return Predictor(
        model=model,
        tokenizer=tokenizer,
        objective=SequenceObjective(
            objective_name, pad_token_id=tokenizer.pad_token_id, takes_type_ids=takes_type_ids(model, tokenizer)
        ),
        runtime=runtime,
        labels=None if objective_name == "text-regression" else labels,
        columns=columns,
        needs_pair="text_pair" in own,
        max_length=max_length,
        batch_tokens=facts.batch_tokens if facts else 8192,
        threshold=threshold if threshold is not None else facts.threshold if facts else 0.5,
    )


def _objective_of(config: dict[str, Any], labels: tuple[str, ...]) -> str:
    by_problem = {problem: name for name, problem in PROBLEM_TYPES.items()}
    problem = config.get("problem_type")
    if problem in by_problem:
        return by_problem[problem]
    return "text-regression" if len(labels) == 1 else "text-classification"
