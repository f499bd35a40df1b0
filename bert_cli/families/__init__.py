"""The families of tasks, found by the name of an objective. Importing this costs nothing; a family imports torch."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from bert_cli.families.base import Family, Labelled

_PLACES = {
    "fill-mask": "pretraining.MASKED",
    "fill-mask-nsp": "pretraining.PAIRED",
    "fill-mask-sop": "pretraining.PAIRED",
    "replaced-token-detection": "pretraining.PAIRED",
    "text-classification": "sequence.CLASSES",
    "multi-label-classification": "sequence.CLASSES",
    "text-regression": "sequence.SCORES",
    "token-classification": "tagging.FAMILY",
    "question-answering": "questions.FAMILY",
    "multiple-choice": "choice.FAMILY",
    "sentence-similarity": "similarity.FAMILY",
    "text-ranking": "ranking.FAMILY",
}


def family_of(objective: str) -> Family:
    """The family that an objective belongs to."""
    module, _, name = _PLACES[objective].partition(".")
    return cast("Family", getattr(import_module(f"{__name__}.{module}"), name))


def labelled(objective: str) -> Labelled:
    """The family of an objective that learns from labelled rows, or is scored on them."""
    return cast("Labelled", family_of(objective))
