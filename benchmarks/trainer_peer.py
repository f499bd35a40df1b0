"""The incumbent: fine-tuning with `transformers.Trainer`, as its public text-classification example does.

Takes Trainer's flags; trains on one TSV file, saves, evaluates once on another, and prints one line of JSON. It is
spared the example's `import evaluate` (7 CPU seconds).
"""

import json
import time
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
import transformers as hf
from datasets import load_dataset

from benchmarks.measure import rates


@dataclass(kw_only=True)
class Flags:
    """Flags beside Trainer's own that all peers take; `medium` is torch's matmul precision."""

    model: str
    train_file: str
    max_length: int
    medium: bool = False


@dataclass(kw_only=True)
class Given(Flags):
    """Those of this peer; `columns` are separated by commas."""

    validation_file: str
    columns: str
    pad: bool = False


F = TypeVar("F", bound=Flags)


def parsed(kind: type[F]) -> tuple[F, hf.TrainingArguments]:
    """The flags of the command line, put into force as far as they are everybody's."""
    kinds: Any = (kind, hf.TrainingArguments)
    given, arguments = hf.HfArgumentParser(kinds).parse_args_into_dataclasses()
    hf.set_seed(arguments.seed)
    if given.medium:
        torch.set_float32_matmul_precision("medium")
    return given, arguments


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

    def trained(self, trainer: hf.Trainer) -> dict[str, float]:
        """Train and save; how fast the steps were."""
        trainer.train()
        examples, tokens = rates(self.ends, self.counts)
        trainer.save_model()
        return {"examples_per_s": examples, "tokens_per_s": tokens}


def accuracy(seen: Any) -> dict[str, float]:
    """The share of right predictions."""
    return {"accuracy": float(np.mean(seen.predictions.argmax(-1) == seen.label_ids))}


def main() -> None:
    """Train and report."""
    given, arguments = parsed(Given)
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
    facts = clock.trained(trainer)
    print(json.dumps({**facts, "accuracy": trainer.evaluate()["eval_accuracy"]}))


if __name__ == "__main__":
    main()
