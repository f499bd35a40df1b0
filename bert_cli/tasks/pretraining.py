"""Pretraining tasks: learning from raw text."""

from __future__ import annotations

from bert_cli.tasks.base import Task


def _pretraining(name: str, summary: str, *more: str) -> Task:
    return Task(
        name=name,
        objective=name,
        summary=summary,
        splits={"train": ("train",), "validation": ("validation",)},
        columns={},
        metrics=("loss", "perplexity", "accuracy", *more),
        primary="loss",
        language=None,
    )


TASKS = (
    _pretraining("fill-mask", "masked words of your own text (MLM)"),
    _pretraining("fill-mask-nsp", "masked words, and does one text follow another? NSP", "nsp_accuracy"),
    _pretraining("fill-mask-sop", "masked words, and the order of two texts (SOP)", "sop_accuracy"),
    _pretraining("replaced-token-detection", "which tokens a generator has replaced (ELECTRA)", "rtd_accuracy"),
)
