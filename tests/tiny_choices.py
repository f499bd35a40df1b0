"""Tiny questions with choices, which can be learnt from the words."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tiny import BAD, GOOD, tiny_texts

FAMILIES = ("bert", "roberta", "distilbert", "electra", "albert", "deberta-v2", "modernbert")
"""Those whose tiny models have a head for choices."""


def tiny_questions(n: int, *, seed: int = 0, context: bool = False) -> list[dict[str, Any]]:
    """Rows with two to four choices, of which one says something good."""
    rng = random.Random(seed)
    rows = []
    for i, (text, _) in enumerate(tiny_texts(n, seed=seed, longest=10)):
        choices = [" ".join(rng.choices(BAD, k=rng.randint(1, 5))) for _ in range(rng.randint(2, 4))]
        label = rng.randrange(len(choices))
        choices[label] = " ".join(rng.choices(GOOD, k=rng.randint(1, 5)))
        row: dict[str, Any] = {"question": text, "choices": choices, "label": label}
        rows.append({"context": " ".join(text for text, _ in tiny_texts(3, seed=i)), **row} if context else row)
    return rows


def choice_data(folder: Path, *, train: int = 48, validation: int = 24, context: bool = False) -> Path:
    """Write `train.jsonl` and `validation.jsonl`, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, n, seed in (("train", train, 1), ("validation", validation, 2)):
        rows = tiny_questions(n, seed=seed, context=context)
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return folder
