"""Pretraining tasks: learning from raw text."""

from __future__ import annotations

from bert_cli.tasks.base import Task

TASKS = (
    Task(
        name="fill-mask",
        objective="fill-mask",
        summary="masked words of your own plain text",
        splits={"train": ("train",), "validation": ("validation",)},
        columns={},
        metrics=("loss", "perplexity", "accuracy"),
        primary="loss",
        language=None,
    ),
)
