"""The incumbent: fine-tuning with `transformers.Trainer`, as its public text-classification example does.

Reads two TSV files with `datasets`, tokenises them, trains, saves the model, evaluates once, and prints one line of
JSON. It is spared the example's `import evaluate` (7 CPU seconds), and evaluates at the training batch size, not 8.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np
import torch
from datasets import load_dataset
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    default_data_collator,
    set_seed,
)

from benchmarks.measure import rates


class StepClock(TrainerCallback):
    """When each optimizer step ended."""

    def __init__(self) -> None:
        self.ends: list[float] = []

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


class Counting:
    """A collator that remembers the examples and real tokens of each batch, in order."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.examples: list[int] = []
        self.tokens: list[int] = []

    def __call__(self, rows: list[dict[str, Any]]) -> dict[str, Any]:
        batch: dict[str, Any] = self.collate(rows)
        self.examples.append(len(rows))
        self.tokens.append(int(batch["attention_mask"].sum()))
        return batch


def main() -> None:
    """Train and report."""
    given = _arguments()
    set_seed(given.seed)
    if given.precision == "medium":
        torch.set_float32_matmul_precision("medium")
    raw = load_dataset(
        "csv",
        data_files={"train": given.train, "validation": given.validation},
        delimiter="\t",
        keep_default_na=False,
    )
    labels = sorted(raw["train"].unique("label"))
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    model = AutoModelForSequenceClassification.from_pretrained(given.model, num_labels=len(labels))

    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        encoded = tokenizer(
            *(rows[name] for name in given.columns),
            padding="max_length" if given.pad else False,
            max_length=given.max_length,
            truncation=True,
        )
        return {**encoded, "label": [labels.index(label) for label in rows["label"]]}

    data = raw.map(encode, batched=True, remove_columns=raw["train"].column_names)
    collate = Counting(default_data_collator if given.pad else DataCollatorWithPadding(tokenizer))
    clock = StepClock()
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=given.out,
            max_steps=given.steps,
            per_device_train_batch_size=given.batch_size,
            per_device_eval_batch_size=given.batch_size,
            learning_rate=given.lr,
            lr_scheduler_type="linear",
            warmup_steps=0.1,
            weight_decay=0.01,
            max_grad_norm=1.0,
            optim="adamw_torch_fused",
            bf16=given.precision == "bf16",
            train_sampling_strategy="group_by_length" if given.group else "random",
            seed=given.seed,
            use_cpu=True,
            eval_strategy="no",
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
        ),
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=collate,
        processing_class=tokenizer,
        compute_metrics=lambda seen: {"accuracy": float(np.mean(seen.predictions.argmax(-1) == seen.label_ids))},
        callbacks=[clock],
    )
    began = time.perf_counter()
    trainer.train()
    seconds = time.perf_counter() - began
    examples_per_s, tokens_per_s = rates(clock.ends, examples=collate.examples, tokens=collate.tokens)
    trainer.save_model()
    facts = {
        "examples_per_s": examples_per_s,
        "tokens_per_s": tokens_per_s,
        "steps": len(clock.ends),
        "accuracy": trainer.evaluate()["eval_accuracy"],
        "seconds": seconds,
    }
    print(json.dumps(facts))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trainer_peer", description=__doc__)
    for name in ("model", "train", "validation", "out"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--columns", nargs="+", required=True)
    for name in ("steps", "batch-size", "max-length", "seed"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--lr", type=float, required=True)
    parser.add_argument("--pad", action="store_true", help="pad every example to --max-length")
    parser.add_argument("--group", action="store_true", help="batches of similar length")
    parser.add_argument("--precision", choices=("fp32", "medium", "bf16"), default="fp32")
    return parser.parse_args()


if __name__ == "__main__":
    main()
