"""Tiny searches and pairs for similarity and ranking, of the words that the tiny tokenizers know.

A query shares its rare words with the texts that are relevant to it, so BM25 and a trained encoder can find them.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tiny import BAD, FILLERS, GOOD, PLACES

KEYS = (*GOOD, *BAD, *"bcdefghjklmnopqrstuvwxyz")
"""Words that a topic is made of: two of them each."""


def topic(number: int) -> tuple[str, str]:
    """The two words of a topic; no two topics share both."""
    return KEYS[number % len(KEYS)], KEYS[(number * 7 + 1 + number // len(KEYS)) % len(KEYS)]


def about(number: int, *, seed: int, longest: int = 14) -> str:
    """A text about a topic."""
    rng = random.Random(1000 * seed + number)
    words = [rng.choice((*PLACES, *FILLERS)) for _ in range(rng.randint(3, longest - 2))]
    for key in topic(number):
        words.insert(rng.randrange(len(words) + 1), key)
    return " ".join(words)


def write_lines(path: Path, rows: Sequence[dict[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def write_qrels(path: Path, rows: Sequence[tuple[object, object, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ["\t".join(map(str, row)) for row in (("query-id", "corpus-id", "score"), *rows)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_search(folder: Path, *, train: int = 24, test: int = 8, texts: int = 60) -> Path:
    """A folder in the layout of BEIR: each query has a text of its topic, every third one a second text of grade 2."""
    corpus = [
        {"_id": f"d{n}", "title": "film" if n % 2 else "", "text": about(n % (texts - 10), seed=1 + n // (texts - 10))}
        for n in range(texts)
    ]
    queries = [{"_id": f"q{n}", "text": " ".join(topic(n))} for n in range(train + test)]
    write_lines(folder / "corpus.jsonl", corpus)
    write_lines(folder / "queries.jsonl", queries)
    for name, numbers in (("train", range(train)), ("test", range(train, train + test))):
        rows: list[tuple[object, object, object]] = []
        for n in numbers:
            rows.append((f"q{n}", f"d{n}", 1))
            if n < 10 and n % 3 == 0:
                rows.append((f"q{n}", f"d{texts - 10 + n}", 2))
            rows.append((f"q{n}", f"d{(n + 5) % (texts - 10)}", 0))
        write_qrels(folder / "qrels" / f"{name}.tsv", rows)
    return folder


def tiny_pairs_file(path: Path, n: int, *, kind: str, seed: int = 1) -> Path:
    """JSON lines of `n` rows.

    Args:
        kind: `texts`, `pairs`, `triplets` (two negatives), `labels` (0 or 1), or `scores` (0 to 5).
    """
    rows = []
    for i in range(n):
        other = (i + 1 + seed) % n
        row: dict[str, Any] = {"text": about(i, seed=seed)}
        if kind in ("pairs", "triplets"):
            row["text_pair"] = about(i, seed=seed + 1)
        if kind == "triplets":
            row["negative"] = [about(other, seed=seed + 2), about(other + 1, seed=seed + 2)][: 1 + i % 2]
        if kind in ("labels", "scores"):
            same = i % 2
            row["text_pair"] = about(i if same else other, seed=seed + 1)
            row["label"] = same if kind == "labels" else 5 * same - (i % 4) / 4 * (1 if same else -1)
        rows.append(row)
    return write_lines(path, rows)
