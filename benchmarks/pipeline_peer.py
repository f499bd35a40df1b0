"""The incumbent for inference: `transformers.pipeline` over the column of a TSV file, as its documentation shows it.

Writes what `bertctl predict` writes. With --longest-first the texts are sorted by length beforehand, as careful users
do; their order is then restored.
"""

import argparse
import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers import pipeline

from benchmarks.measure import clocked


def main() -> None:
    """Answer and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--column", required=True)
    parser.add_argument("--max-length", type=int, required=True)
    parser.add_argument("--batch-size", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--longest-first", action="store_true")
    given = parser.parse_args()
    classify = pipeline(
        "text-classification",
        model=given.model,
        device="cpu",
        batch_size=given.batch_size,
        truncation=True,
        max_length=given.max_length,
        top_k=None,
    )
    with given.out.open("w", encoding="utf-8") as out:
        for line in clocked(_answers(classify, given)):
            out.write(json.dumps(line, ensure_ascii=False) + "\n")


def _answers(classify: Any, given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    with given.file.open(encoding="utf-8", newline="") as lines:
        texts = [row[given.column] for row in csv.DictReader(lines, delimiter="\t")]
    order = list(range(len(texts)))
    if given.longest_first:
        order.sort(key=lambda place: -len(texts[place]))
    said = dict(zip(order, classify([texts[place] for place in order]), strict=True))
    for place, text in enumerate(texts):
        scores = {each["label"]: each["score"] for each in said[place]}
        probabilities = {name: scores[name] for name in classify.model.config.id2label.values()}
        yield {"text": text, "label": said[place][0]["label"], "probabilities": probabilities}


if __name__ == "__main__":
    main()
