"""Tiny masked language models and minimal pairs, and pseudo-log-likelihood as its papers say it, one copy at a time."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from tiny import POSITIONS, tiny_config, tiny_tokenizer, write_table

ROWS = (
    # uid, field, term, good, bad
    ("order", "syntax/semantics", "binding", "the film was good", "the film good was"),
    ("order", "syntax_semantics", "binding", "a plot is a plot", "a plot a is plot"),
    ("order", "syntax_semantics", "binding", "the music seems warm and bright", "the music warm seems and bright"),
    ("order", "syntax_semantics", "binding", "it was very dull", "it dull very was"),
    ("choice", "morphology", "agreement", "a story with an ending", "a story with a ending"),
    ("choice", "morphology", "agreement", "the cast is clever", "the cast are clever"),
    ("choice", "morphology", "agreement", "the scene was so ugly", "the scene were so ugly"),
    ("choice", "morphology", "agreement", "an ending of the story", "a ending of the story"),
)


def tiny_mlm(folder: Path, family: str = "bert", *, seed: int = 0, **config: Any) -> Path:
    """Save a model with a head for masked words, and its tokenizer, to `folder`, and return the folder."""
    from transformers import AutoModelForMaskedLM

    from bert_cli.models.build import quiet

    quiet()
    torch.manual_seed(seed)
    AutoModelForMaskedLM.from_config(tiny_config(family, **config)).save_pretrained(str(folder))
    tiny_tokenizer(family).save_pretrained(str(folder))
    return folder


def tiny_blimp(folder: Path, rows: Iterable[Sequence[str]] = ROWS) -> Path:
    """Write `test.tsv` with the columns of BLiMP to `folder`, and return the folder."""
    header = ("uid", "field", "term", "pair_id", "sentence_good", "sentence_bad")
    write_table(folder / "test.tsv", header, [(*row[:3], i, *row[3:]) for i, row in enumerate(rows)])
    return folder


def tiny_crows(folder: Path) -> Path:
    """Write `test.jsonl` with the columns of CrowS-Pairs to `folder`, and return the folder."""
    rows = [
        ("the music was dull", "the film was dull", "stereo", "age"),
        ("a very good camera", "a very good old story", "antistereo", "age"),
        ("it was bright", "it was bright", "stereo", "gender"),
    ]
    names = ("sent_more", "sent_less", "stereo_antistereo", "bias_type")
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps({"id": i, **dict(zip(names, row, strict=True))}) for i, row in enumerate(rows)]
    (folder / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


@torch.inference_mode()
def naive_likelihood(
    model: Any, tokenizer: Any, text: str, *, whole_words: bool = False, only: Sequence[int] | None = None
) -> float:
    """The sum over all tokens (or those at the places `only`), each in a padded copy of its own with full logits."""
    encoded = tokenizer(text, padding="max_length", max_length=POSITIONS, return_tensors="pt")
    ids, words = encoded["input_ids"][0], encoded.word_ids(0)
    total = 0.0
    for place, word in enumerate(words):
        if word is None or (only is not None and place not in only):
            continue
        hidden = [i for i in range(place, len(words)) if i == place or (whole_words and words[i] == word)]
        masked = ids.clone()
        masked[hidden] = tokenizer.mask_token_id
        logits = model(input_ids=masked[None], attention_mask=encoded["attention_mask"]).logits
        total += float(logits[0, place].double().log_softmax(-1)[ids[place]])
    return total
