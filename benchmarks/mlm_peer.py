"""The incumbent for pretraining: `transformers.Trainer` on full blocks, as its public masked-language example does.

Takes Trainer's flags; holds out the first documents, joins the others and cuts them into blocks, trains on logits at
all positions, saves, evaluates once, and prints one line of JSON. It is spared the example's `import evaluate` (7 CPU
seconds) and its accuracy.
"""

import json
from dataclasses import dataclass
from itertools import chain
from typing import Any

import transformers as hf
from datasets import load_dataset

from benchmarks.trainer_peer import Clock, Flags, parsed


@dataclass(kw_only=True)
class Given(Flags):
    """Flags of this peer."""

    validation_split_percentage: int


def main() -> None:
    """Train and report."""
    given, arguments = parsed(Given)
    tokenizer = hf.AutoTokenizer.from_pretrained(given.model)

    def encode(rows: dict[str, list[Any]]) -> Any:
        return tokenizer(rows["text"], return_special_tokens_mask=True)

    def group(rows: dict[str, list[Any]]) -> dict[str, list[Any]]:
        joined = {name: list(chain(*lists)) for name, lists in rows.items()}
        whole = len(joined["input_ids"]) // given.max_length * given.max_length
        starts = range(0, whole, given.max_length)
        return {name: [ids[at : at + given.max_length] for at in starts] for name, ids in joined.items()}

    def blocks(part: str) -> Any:
        raw = load_dataset("json", data_files=given.train_file, split=f"train[{part}]")
        return raw.map(encode, batched=True, remove_columns=raw.column_names).map(group, batched=True)

    held_out = f"{given.validation_split_percentage}%"
    clock = Clock(hf.DataCollatorForLanguageModeling(tokenizer))
    trainer = hf.Trainer(
        model=hf.AutoModelForMaskedLM.from_pretrained(given.model),
        args=arguments,
        train_dataset=blocks(f"{held_out}:"),
        eval_dataset=blocks(f":{held_out}"),
        data_collator=clock.collate,
        processing_class=tokenizer,
        callbacks=[clock],
    )
    facts = clock.trained(trainer)
    trainer.evaluate()
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
