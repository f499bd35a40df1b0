"""What may be asked of a trained model: one set of rules for `eval` and `predict`.

A wish that the model cannot fulfil, or that would change nothing, is refused before any data are read.
"""

from __future__ import annotations

import sys
from typing import Any

from bert_cli.errors import UsageError
from bert_cli.models.build import load_config, positions
from bert_cli.models.heads import head_labels
from bert_cli.models.locate import Located
from bert_cli.objectives.sequence import PROBLEM_TYPES

WITH_THRESHOLD = ("multi-label-classification", "question-answering")
"""Objectives whose answers depend on one."""


_OF_HEADS = {
    "ForTokenClassification": "token-classification",
    "ForQuestionAnswering": "question-answering",
    "ForMultipleChoice": "multiple-choice",
}


def objective_of(config: dict[str, Any]) -> str | None:
    """The objective of a model that bertctl did not write; None where its head is none that answers questions.

    A head for texts says itself what it answers; where it does not, one output is a regression.
    """
    for suffix, objective in _OF_HEADS.items():
        if head_labels(config, suffix) is not None:
            return objective
    labels = head_labels(config, "ForSequenceClassification")
    if labels is None:
        return None
    by_problem = {problem: name for name, problem in PROBLEM_TYPES.items()}
    problem = config.get("problem_type")
    if problem in by_problem:
        return by_problem[problem]
    return "text-regression" if len(labels) == 1 else "text-classification"


def check_threshold(objective: str, threshold: object) -> None:
    """Refuse a threshold for a model that decides without one; `threshold` is None where none is asked for.

    Raises:
        UsageError: nothing would change (U054).
    """
    if threshold is not None and objective not in WITH_THRESHOLD:
        raise UsageError(
            "U054",
            f"a threshold changes nothing for {objective}",
            key="--threshold",
            found=threshold,
            allowed=f"only for {' and '.join(WITH_THRESHOLD)}",
            help="leave --threshold out",
        )


def check_length(room: int, max_length: int) -> None:
    """Refuse sequences that are longer than the model has positions for.

    Raises:
        UsageError: too long (R032).
    """
    if max_length > room:
        raise UsageError(
            "R032",
            "max_length goes beyond the model's positions",
            key="--max-length",
            found=max_length,
            allowed=f"at most {room}",
            help=f"--max-length {room}",
        )


def room_of(located: Located, auto_class: str) -> int:
    """Positions of a model, tokens, from its configuration alone: a skeleton without weights, in some 50 ms."""
    import torch
    import transformers

    config = load_config(located.folder)
    try:
        with torch.device("meta"):
            skeleton = getattr(transformers, auto_class).from_config(config)
    except ValueError:
        # An architecture without such a head: loading the model says so.
        return sys.maxsize
    return positions(skeleton)


def batch_tokens(batch_size: int | None, max_length: int, *, default: int) -> int:
    """Tokens of one forward pass: `batch_size` texts of full length, so shorter ones are more."""
    return default if batch_size is None else batch_size * max_length
