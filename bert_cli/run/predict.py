"""The verb `predict` as a function: texts in, one prediction for each, in their order.

Works on a stream: windows of growing size are read, sorted by length, computed and put back in order, so first answers
come early and memory stays flat. A model of bertctl brings its columns, length, threshold and precision along.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Unpack

import numpy as np
import torch

from bert_cli.data.read import Record
from bert_cli.errors import DataError, ModelError, UsageError, closest, listing
from bert_cli.grouping import sorted_batches
from bert_cli.models.attention import choose_attention
from bert_cli.models.build import check_fits, load_model, load_tokenizer, positions
from bert_cli.models.heads import head_labels
from bert_cli.models.locate import Access, Located, locate
from bert_cli.objectives.sequence import PROBLEM_TYPES, SequenceObjective, encode
from bert_cli.run.asked import batch_tokens, check_length, check_threshold, objective_of
from bert_cli.run.build import takes_type_ids
from bert_cli.run.predictions import describe
from bert_cli.run.publish import ModelFacts
from bert_cli.runtime import Runtime
from bert_cli.tasks import find_task

FIRST_WINDOW, LAST_WINDOW = 16, 1024
BATCH_TOKENS = 8192
LONGEST = 512
"""Tokens that are read of a text, where a model of others has room for more and nobody says how long texts are."""


@dataclass
class Tally:
    """What a stream has read so far: rows, and those of them that were longer than the model reads."""

    rows: int = 0
    truncated: int = 0


@dataclass(frozen=True)
class Predictor:
    """A loaded model that reads texts.

    Attributes:
        columns: role -> names of the column that may hold it, most usual first.
        max_length: tokens that are read of a text.
        threshold: probability from which a label counts (multi-label).
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

    def predict(
        self, texts: list[str], pairs: list[str] | None = None, *, tally: Tally | None = None
    ) -> list[dict[str, Any]]:
        """One prediction for each text (or pair), in their order; see `bert_cli.run.predictions.describe`."""
        ids, types, truncated, _ = encode(self.tokenizer, texts, pairs, max_length=self.max_length)
        if tally is not None:
            tally.rows += len(texts)
            tally.truncated += truncated
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
        self,
        records: Iterable[Record],
        *,
        origin: str,
        columns: Mapping[str, str] | None = None,
        tally: Tally | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Each record's texts with its prediction, as soon as its window is done.

        Args:
            origin: what to call the source in messages.
            columns: role -> column, where the model's own names do not fit.
            tally: counts what was read.
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
            for i, prediction in enumerate(self.predict(texts, pairs, tally=tally)):
                echo = {"text": texts[i]} if pairs is None else {"text": texts[i], "text_pair": pairs[i]}
                yield echo | prediction
            size = min(size * 2, LAST_WINDOW)

    def _cell(self, record: Record, role: str, *, origin: str, columns: Mapping[str, str] | None) -> str:
        where = f"{origin}:{record.line}"
        asked = columns.get(role) if columns else None
        name = next((name for name in ([asked] if asked else self.columns[role]) if name in record.values), None)
        if name is None:
            if asked:
                raise _no_such_column(role, asked, list(record.values), where)
            raise _no_column(role, self.columns[role], list(record.values), where)
        value = record.values[name]
        if not isinstance(value, str):
            raise DataError(
                "D095",
                f"column '{name}' must hold text",
                where=where,
                found=value,
                allowed="a string",
                help="quote the value",
            )
        return value


def _flag(role: str) -> str:
    return f"--{role.replace('_', '-')}"


def _no_such_column(role: str, asked: str, there: list[str], where: str) -> DataError:
    meant = closest(asked, there)
    return DataError(
        "D096",
        f"there is no column '{asked}'",
        where=where,
        key=_flag(role),
        found=asked,
        allowed=there,
        help=f"{_flag(role)} {meant}" if meant else f"{_flag(role)} names one of these",
    )


def _no_column(role: str, names: tuple[str, ...], there: list[str], where: str) -> DataError:
    return DataError(
        "D096",
        f"there is no column for {role}",
        where=where,
        key=_flag(role),
        found=listing(there),
        allowed=f"a column {listing(dict.fromkeys(names), 6)}",
        help=f"{_flag(role)} COLUMN names it",
    )


def load_predictor(
    name: str,
    *,
    pairs: bool = False,
    threshold: float | None = None,
    max_length: int | None = None,
    batch_size: int | None = None,
    device: str = "auto",
    precision: str | None = None,
    **access: Unpack[Access],
) -> Predictor:
    """Load a run's best model, a model folder or a hub model for prediction.

    Args:
        name: run folder, model folder or hub id.
        pairs: a second text is asked for; a model of bertctl says itself whether it reads one.
        threshold, max_length, precision: default: what the model was selected with.
        batch_size: texts of full length in one forward pass; default: the batches it was scored in.
        access: see `locate`.

    Raises:
        ModelError: the model has no head for texts (L043).
        UsageError: a threshold (U054) or a second text (U075) that the model does not know, or a length (R032) for
            which it has no positions.
    """
    located = locate(name, **access)
    facts = ModelFacts.read(located.folder)
    labels = _labels(located)
    objective = facts.objective if facts else objective_of(located.config, labels)
    check_threshold(objective, threshold)
    needs_pair = _needs_pair(facts, pairs, located)
    runtime = _runtime(facts, device, precision)
    tokenizer = load_tokenizer(located.folder)
    model = _model(located, labels, objective, runtime.device_type)
    room = positions(model)
    length = max_length or (facts.max_length if facts else min(tokenizer.model_max_length, LONGEST, room))
    check_length(room, length)
    check_fits(model, tokenizer, max_length=length)
    return Predictor(
        model=model.to(runtime.device),
        tokenizer=tokenizer,
        objective=SequenceObjective(
            objective, pad_token_id=tokenizer.pad_token_id, takes_type_ids=takes_type_ids(model, tokenizer)
        ),
        runtime=runtime,
        labels=None if objective == "text-regression" else labels,
        columns=_columns(facts, objective),
        needs_pair=needs_pair,
        max_length=length,
        batch_tokens=batch_tokens(batch_size, length, default=facts.batch_tokens if facts else BATCH_TOKENS),
        threshold=threshold if threshold is not None else facts.threshold if facts else 0.5,
    )


def _labels(located: Located) -> tuple[str, ...]:
    labels = head_labels(located.config, "ForSequenceClassification")
    if labels is None:
        raise ModelError(
            "L043",
            "this model has no trained head for texts",
            where=str(located.folder),
            found=", ".join(located.config.get("architectures") or ["no architectures"]),
            allowed="a model of `bertctl finetune`, or any …ForSequenceClassification",
            help=f"bertctl finetune --task TASK --model {located.name}",
        )
    return labels


def _needs_pair(facts: ModelFacts | None, asked: bool, located: Located) -> bool:
    if facts is None:
        return asked
    if asked and "text_pair" not in facts.columns:
        raise UsageError(
            "U075",
            "the model was trained on single texts",
            where=str(located.folder),
            key="--text-pair",
            found="a second text",
            allowed="one text a row",
            help="leave --text-pair out",
        )
    return "text_pair" in facts.columns


def _runtime(facts: ModelFacts | None, device: str, precision: str | None) -> Runtime:
    if facts is not None and precision is None:
        return Runtime(device=device, precision=facts.precision, onednn=facts.onednn)
    return Runtime(device=device, precision=precision or "auto")


def _model(located: Located, labels: tuple[str, ...], objective: str, device: str) -> Any:
    model = load_model(
        located,
        auto_class=SequenceObjective.auto_class,
        labels=labels,
        problem_type=PROBLEM_TYPES[objective],
        need_head=True,
    )
    choose_attention(model, "auto", device=device)
    return model.eval()


def _columns(facts: ModelFacts | None, objective: str) -> dict[str, tuple[str, ...]]:
    own = facts.columns if facts else {}
    return {
        role: (*([own[role]] if role in own else []), "text" if role == "text" else "text_pair", *names)
        for role, names in find_task(objective).columns.items()
    }
