"""A14: no file of a run folder is a pickle, whatever kind of run it is."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import tiny_recipe, tiny_texts
from tiny_tasks import write_task

from bert_cli.recipe.schema import Recipe
from bert_cli.run.finetune import finetune
from bert_cli.tasks import find_task

SUFFIXES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"}
# The zip file that torch writes, and how protocols 2 to 5 begin.
MAGIC = (b"PK\x03\x04", *(b"\x80" + bytes([protocol]) for protocol in range(2, 6)))


def is_pickle(name: str, content: bytes) -> bool:
    """By its name or its first bytes; of older protocols, by being readable as one."""
    if Path(name).suffix in SUFFIXES or content.startswith(MAGIC):
        return True
    if not content.endswith(b"."):
        return False
    try:
        pickle.Unpickler(io.BytesIO(content)).load()
    except Exception:
        return False
    return True


def pickles(folder: Path) -> list[str]:
    return [
        str(file.relative_to(folder))
        for file in sorted(folder.rglob("*"))
        if file.is_file() and is_pickle(file.name, file.read_bytes())
    ]


@pytest.mark.parametrize(
    "name",
    [
        *("text-classification", "token-classification", "question-answering", "multiple-choice"),
        *("sentence-similarity", "text-ranking"),
    ],
)
def test_A14_no_kind_of_fine_tuning_leaves_a_pickle(name: str, tiny_bert: Path, tmp_path: Path) -> None:
    data = write_task(find_task(name), tmp_path / "data")
    train = {"epochs": 1.0, "batch_size": 8, "lr": 1e-3, "precision": "fp32"}
    recipe = tiny_recipe(tiny_bert, data, tmp_path / "run", task=name, train=train, run__keep=3)
    finetune(recipe, quiet=True)
    assert (tmp_path / "run" / "best").is_dir() and (tmp_path / "run" / "checkpoints").is_dir()
    assert pickles(tmp_path / "run") == []


@pytest.mark.parametrize("name", ["fill-mask", "replaced-token-detection"])
def test_A14_no_kind_of_pretraining_leaves_a_pickle(name: str, tmp_path: Path) -> None:
    texts = "\n\n".join(text for text, _ in tiny_texts(60))
    (tmp_path / "corpus.txt").write_text(texts + "\n")
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    kind = "bert" if name == "fill-mask" else "electra"
    recipe = Recipe.model_validate(
        {
            "task": name,
            "model": {"config": {"model_type": kind, "max_position_embeddings": 64, "vocab_size": 200, **sizes}},
            "tokenizer": {"vocab_size": 200},
            "data": {"source": str(tmp_path / "corpus.txt"), "max_length": 32},
            "train": {"epochs": 1.0, "batch_size": 8, "precision": "fp32"},
            "run": {"out": str(tmp_path / "run")},
            "dist": {"device": "cpu"},
        }
    )
    finetune(recipe, quiet=True)
    assert (tmp_path / "run" / "best").is_dir()
    assert pickles(tmp_path / "run") == []


def test_A14_the_scan_sees_every_way_to_write_one() -> None:
    """Negative control."""
    value = {"a": [1, 2.0, "x"]}
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        assert is_pickle("state", pickle.dumps(value, protocol)), protocol
    for zipped in (True, False):
        saved = io.BytesIO()
        torch.save(value, saved, _use_new_zipfile_serialization=zipped)
        assert is_pickle("state", saved.getvalue())
    saved = io.BytesIO()
    np.savez(saved, a=np.array([value], dtype=object))
    assert is_pickle("state", saved.getvalue())
    assert is_pickle("optimizer.pt", b"")
    assert not is_pickle("state.json", b'{"a": 1}') and not is_pickle("README.md", b"It is a model.")
