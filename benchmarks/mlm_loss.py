"""One judge for both sides: the loss of a masked language model on held-out text, under masks that never change.

`python -m benchmarks.mlm_loss MODEL FILE --tokenizer FOLDER` prints one line of JSON. Transformers alone reads, masks
and computes, in fp32; a model that lacks weights is refused, since a new head would be judged in its place.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer, DataCollatorForLanguageModeling

MASKS = 0
BATCH = 16


def main() -> None:
    """Judge and report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("file", type=Path)
    parser.add_argument("--tokenizer", required=True)
    given = parser.parse_args()
    texts = [json.loads(line)["text"] for line in given.file.read_text(encoding="utf-8").splitlines()]
    loss = masked_loss(load(given.model), AutoTokenizer.from_pretrained(given.tokenizer), texts)
    print(json.dumps({"loss": loss}))


def load(folder: str) -> Any:
    """The model of a folder, all of whose weights are there."""
    model, found = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32, output_loading_info=True)
    if found["missing_keys"]:
        raise SystemExit(f"{folder} lacks {', '.join(sorted(found['missing_keys']))}")
    return model


def masked_loss(model: Any, tokenizer: Any, texts: Sequence[str]) -> float:
    """Mean cross-entropy at the masked positions of all texts, nats; the same masks at every call."""
    collate = DataCollatorForLanguageModeling(tokenizer, seed=MASKS)
    model.eval()
    total, count = 0.0, 0
    with torch.inference_mode():
        for start in range(0, len(texts), BATCH):
            encoded = [tokenizer(text, return_special_tokens_mask=True) for text in texts[start : start + BATCH]]
            batch = collate(encoded)
            labels = batch.pop("labels")
            chosen = labels != -100
            logits = model(**batch).logits[chosen]
            total += float(torch.nn.functional.cross_entropy(logits, labels[chosen], reduction="sum"))
            count += int(chosen.sum())
    return total / count


if __name__ == "__main__":
    main()
