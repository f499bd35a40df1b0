"""Recipes that are stages of each other, in a folder with the tiny model and data that they name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tiny import tiny_data, tiny_texts, write_table

from bert_cli.recipe.load import load_recipe

CLASSES = ("entailment", "neutral", "contradiction")
USUAL = """\
train: {batch_size: 8, lr: 1e-3, epochs: 1}
eval: {every: 1}
run: {log_every: 1}
"""
WORDS = "task: fill-mask\ndata: {source: corpus.txt, max_length: 24, validation: 20%}\n" + USUAL
PAIRS = "task: text-classification\ndata: {source: pairs, max_length: 32}\n" + USUAL
TEXTS = "task: text-classification\ndata: {source: texts, max_length: 32}\n" + USUAL


def write_stages(folder: Path) -> Path:
    """Write `words.yaml` (masked words), `pairs.yaml` (three classes) and `texts.yaml` (two), with their data."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "corpus.txt").write_text("\n\n".join(text for text, _ in tiny_texts(40, longest=40)), encoding="utf-8")
    for split, n, seed in (("train", 24, 1), ("validation", 9, 2)):
        ones, others = tiny_texts(n, seed=seed), tiny_texts(n, seed=seed + 10)
        rows = [(ones[i][0], others[i][0], CLASSES[i % 3]) for i in range(n)]
        write_table(folder / "pairs" / f"{split}.tsv", ("text", "text_pair", "label"), rows)
    tiny_data(folder / "texts", n_train=32, n_validation=12)
    for name, text in (("words", WORDS), ("pairs", PAIRS), ("texts", TEXTS)):
        write(folder, name, text)
    return folder


def write(folder: Path, name: str, text: str) -> Path:
    """A recipe file."""
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def staged(folder: Path, model: Path | None, stages: list[str], **changes: Any) -> Any:
    """`texts.yaml` with stages before it, on the processor in fp32; `changes` are `section__key=value`."""
    name = None if model is None else str(model)
    flags = {"stages": [str(folder / stage) for stage in stages], "model.name": name}
    flags |= {"data.source": str(folder / "texts"), "train.precision": "fp32", "dist.device": "cpu"}
    flags |= {key.replace("__", "."): value for key, value in changes.items()}
    return load_recipe(str(folder / "texts.yaml"), flags=flags).recipe
