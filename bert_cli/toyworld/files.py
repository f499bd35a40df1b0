"""The toy world as files, and the score that a model must beat on them.

Equal seeds and sizes give equal bytes. The default sizes are those of `bertctl demo`; writing them takes half a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from bert_cli.toyworld.documents import documents
from bert_cli.toyworld.sentiment import LABELS, sentiment

Labelled = Sequence[tuple[str, int]]


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How many documents, and how many labelled sentences in each split."""

    documents: int = 3000
    train: int = 6000
    validation: int = 500
    test: int = 1000


def sentiment_splits(*, seed: int, sizes: Sizes) -> dict[str, list[tuple[str, int]]]:
    """The labelled sentences of each split; no sentence stands in two of them."""
    stream = sentiment(sizes.train + sizes.validation + sizes.test, seed=seed)
    counts = {"train": sizes.train, "validation": sizes.validation, "test": sizes.test}
    return {split: list(islice(stream, count)) for split, count in counts.items()}


def write_world(folder: Path, *, seed: int, sizes: Sizes | None = None) -> None:
    """Write `corpus.txt` and `sentiment/{train,validation,test}.tsv` with the columns text and label.

    The corpus has a sentence per line and a blank line after each document.
    """
    sizes = sizes or Sizes()
    (folder / "sentiment").mkdir(parents=True, exist_ok=True)
    with (folder / "corpus.txt").open("w", encoding="utf-8", newline="\n") as corpus:
        for document in documents(sizes.documents, seed=seed):
            corpus.write("\n".join(document) + "\n\n")
    for split, rows in sentiment_splits(seed=seed, sizes=sizes).items():
        with (folder / "sentiment" / f"{split}.tsv").open("w", encoding="utf-8", newline="\n") as table:
            table.write("text\tlabel\n")
            table.writelines(f"{text}\t{LABELS[label]}\n" for text, label in rows)


def bag_of_words_accuracy(train: Labelled, validation: Labelled) -> float:
    """Accuracy on `validation` of a logistic regression over the word counts of `train`."""
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    counter = CountVectorizer()
    counts = counter.fit_transform([text for text, _ in train])
    model = LogisticRegression(max_iter=1000).fit(counts, [label for _, label in train])
    return float(model.score(counter.transform([text for text, _ in validation]), [label for _, label in validation]))
