"""A small generated world to try things on: documents to pretrain from, and sentences whose sentiment negation decides.

Everything is a pure function of a seed and equal on every machine; no text is copied from anywhere.
Importing it costs nothing; scikit-learn is imported only for the bag-of-words score.
"""

from __future__ import annotations

from bert_cli.toyworld.documents import Person, documents, people
from bert_cli.toyworld.files import Sizes, bag_of_words_accuracy, sentiment_splits, write_world
from bert_cli.toyworld.sentiment import LABELS, sentiment

__all__ = [
    "LABELS",
    "Person",
    "Sizes",
    "bag_of_words_accuracy",
    "documents",
    "people",
    "sentiment",
    "sentiment_splits",
    "write_world",
]
