"""One judge for both sides' predictions: whole entities in sentences, or answers to questions.

`python -m benchmarks.judge entities|answers GOLD PREDICTIONS` prints one line of JSON. GOLD is the file that both sides
were scored on. Predictions of entities are JSON lines with the `tags` of a sentence each, in the order of GOLD: words
beyond the last tag are outside. Those of answers are SQuAD's: one object, question id -> text.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def main() -> None:
    """Judge and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=JUDGES)
    parser.add_argument("gold", type=Path)
    parser.add_argument("predictions", type=Path)
    given = parser.parse_args()
    print(json.dumps(JUDGES[given.kind](given.gold, given.predictions)))


def tagged(gold: Path, predictions: Path) -> dict[str, float]:
    """Entity F1 of tagged sentences."""
    wanted = [row["ner_tags"] for row in _lines(gold)]
    return {"entity_f1": entity_f1(wanted, [row["tags"] for row in _lines(predictions)])}


def entity_f1(gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]]) -> float:
    """Micro F1 of entities whose words and type are right, as conlleval counts them; 0 where there are none.

    Args:
        gold, predicted: BIO tags of each sentence.
    """
    found = wanted = answered = 0
    for tags, said in zip(gold, predicted, strict=True):
        if len(said) > len(tags):
            raise SystemExit(f"{len(said)} tags for {len(tags)} words: {' '.join(said)}")
        true, given = entities(tags), entities(said)
        found, wanted, answered = found + len(true & given), wanted + len(true), answered + len(given)
    return 2 * found / (wanted + answered) if found else 0.0


def entities(tags: Sequence[str]) -> set[tuple[int, int, str]]:
    """First word, the word behind the last, and type; an inside tag after another type, or after none, begins one."""
    found = set()
    first, kind = 0, ""
    for place, tag in enumerate([*tags, "O"]):
        letter, _, type_ = tag.partition("-")
        if kind and (letter != "I" or type_ != kind):
            found.add((first, place, kind))
            kind = ""
        if not kind and letter != "O":
            first, kind = place, type_
    return found


def answered(gold: Path, predictions: Path) -> dict[str, float]:
    """Mean exact match and F1 of all questions, by the rules of SQuAD 2.0."""
    from bert_cli.metrics.answers import NAMES, score_answers

    rows = json.loads(gold.read_text(encoding="utf-8"))["data"]
    said: dict[str, str] = json.loads(predictions.read_text(encoding="utf-8"))
    if set(said) != {row["id"] for row in rows}:
        raise SystemExit(f"{predictions} answers other questions than those of {gold}")
    texts = [said[row["id"]] for row in rows]
    golds = [row["answers"]["text"] for row in rows]
    means = score_answers(texts, golds, language="en", impossible=True).mean(axis=0)
    return dict(zip(NAMES, means.tolist(), strict=True))


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


JUDGES: dict[str, Callable[[Path, Path], dict[str, float]]] = {"entities": tagged, "answers": answered}


if __name__ == "__main__":
    main()
