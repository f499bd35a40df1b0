"""Tagged sentences over the words of the tiny tokenizer, whose tags can be learnt from the words."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny import BAD, FILLERS, GOOD, PLACES

CLASSES = ("O", "B-BAD", "I-BAD", "B-GOOD", "I-GOOD")
Sentence = tuple[list[str], list[str]]


def tiny_tagged(n: int, *, seed: int = 0, longest: int = 20) -> list[Sentence]:
    """Sentences of 3 to `longest` words; an entity is one of the first four good or bad words, or two."""
    rng = random.Random(seed)
    found = []
    for _ in range(n):
        tokens: list[str] = []
        tags: list[str] = []
        while len(tokens) < rng.randint(3, longest - 2):
            if rng.random() < 0.5:
                kind, words = rng.choice((("GOOD", GOOD), ("BAD", BAD)))
                length = rng.randint(1, 2)
                tokens += [rng.choice(words[:4]), rng.choice(words[4:])][:length]
                tags += [f"B-{kind}", f"I-{kind}"][:length]
            tokens.append(rng.choice((*PLACES, *FILLERS)))
            tags.append("O")
        found.append((tokens, tags))
    return found


def write_tagged(folder: Path, split: str, sentences: Sequence[Sentence]) -> Path:
    """`SPLIT.jsonl` with columns tokens and ner_tags; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [json.dumps({"tokens": tokens, "ner_tags": tags}) for tokens, tags in sentences]
    (folder / f"{split}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


def tiny_tags_data(folder: Path, n_train: int = 64, n_validation: int = 24, *, longest: int = 20) -> Path:
    """A training and a validation split; returns the folder."""
    write_tagged(folder, "train", tiny_tagged(n_train, seed=1, longest=longest))
    return write_tagged(folder, "validation", tiny_tagged(n_validation, seed=2, longest=longest))


def tagged_rows(sentences: Sequence[Sentence], classes: Sequence[str] = CLASSES, *, labelled: bool = True) -> Any:
    """The sentences as rows of a split."""
    import numpy as np

    from bert_cli.data.segment import join
    from bert_cli.data.tagged import TaggedRows, gold_spans

    joined = [join(tokens) for tokens, _ in sentences]
    words = [places for _, places in joined]
    tags = [np.array([classes.index(tag) for tag in row], dtype=np.int32) for _, row in sentences]
    return TaggedRows(
        name="train",
        origin="train.jsonl",
        lines=np.arange(1, len(sentences) + 1),
        texts=[text for text, _ in joined],
        words=words,
        tags=tags if labelled else None,
        spans=gold_spans(tags, words, classes) if labelled else None,
    )
