"""The incumbent: fine-tuning with `transformers.Trainer`, as its public text-classification example does.

Takes Trainer's flags; trains on one TSV file, saves, evaluates once on another, and prints one line of JSON. It is
spared the example's `import evaluate` (7 CPU seconds).
"""

import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import transformers as hf
from datasets import load_dataset

from benchmarks.measure import rates


@dataclass
class Given:
    """Flags beside Trainer's own; `columns` are separated by commas, `medium` is torch's matmul precision."""

    model: str
    train_file: str
    validation_file: str
    columns: str
    max_length: int
    pad: bool = False
    medium: bool = False


class Clock(hf.TrainerCallback):
    """When each optimizer step ended, and a collator that counts the examples and real tokens of each batch."""

    def __init__(self, collate: Any) -> None:
        self.inner = collate
        self.ends: list[float] = []
        self.counts: list[tuple[int, int]] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())

    def collate(self, rows: list[dict[str, Any]]) -> Any:
        batch = self.inner(rows)
        self.counts.append((len(rows), int(batch["attention_mask"].sum())))
        return batch


def accuracy(seen: Any) -> dict[str, float]:
    """The share of right predictions."""
    return {"accuracy": float(np.mean(seen.predictions.argmax(-1) == seen.label_ids))}


def main() -> None:
    """Train and report."""
    kinds: Any = (Given, hf.TrainingArguments)
    given, arguments = hf.HfArgumentParser(kinds).parse_args_into_dataclasses()
    hf.set_seed(arguments.seed)
    if given.medium:
        torch.set_float32_matmul_precision("medium")
    files = {"train": given.train_file, "validation": given.validation_file}
    raw = load_dataset("csv", data_files=files, delimiter="\t", keep_default_na=False)
    labels = sorted(raw["train"].unique("label"))
    tokenizer = hf.AutoTokenizer.from_pretrained(given.model)

    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        texts = [rows[name] for name in given.columns.split(",")]
        padding = "max_length" if given.pad else False
        encoded = tokenizer(*texts, padding=padding, max_length=given.max_length, truncation=True)
        return {**encoded, "labels": [labels.index(label) for label in rows["label"]]}

    data = raw.map(encode, batched=True, remove_columns=raw["train"].column_names)
    clock = Clock(hf.default_data_collator if given.pad else hf.DataCollatorWithPadding(tokenizer))
    trainer = hf.Trainer(
        model=hf.AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=len(labels)),
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=clock.collate,
        processing_class=tokenizer,
        compute_metrics=accuracy,
        callbacks=[clock],
    )
    trainer.train()
    examples, tokens = rates(clock.ends, clock.counts)
    trainer.save_model()
    facts = {"examples_per_s": examples, "tokens_per_s": tokens, "accuracy": trainer.evaluate()["eval_accuracy"]}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
