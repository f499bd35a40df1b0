"""The incumbent for tagging words: `transformers.Trainer`, as its public token-classification example does.

Takes Trainer's flags; trains on one file of JSON lines (`tokens`, `ner_tags`), saves, tags another file once, writes a
line with the `tags` of each sentence, and prints one line of JSON. It is spared the example's `import evaluate` (7 CPU
seconds) and seqeval. As in the example a word has the tag of its first piece, and words cut off have none: here they
are outside.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers as hf
from datasets import load_dataset

from benchmarks.trainer_peer import Clock, Flags, parsed

UNTAGGED = -100


@dataclass(kw_only=True)
class Given(Flags):
    """Flags of this peer; `predictions` is the file to write."""

    validation_file: str
    predictions: str


def main() -> None:
    """Train, tag and report."""
    given, arguments = parsed(Given)
    raw = load_dataset("json", data_files={"train": given.train_file, "validation": given.validation_file})
    labels = sorted({tag for tags in raw["train"]["ner_tags"] for tag in tags})
    tokenizer = hf.AutoTokenizer.from_pretrained(given.model)

    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        encoded = tokenizer(rows["tokens"], is_split_into_words=True, max_length=given.max_length, truncation=True)
        words = [first_pieces(encoded.word_ids(row)) for row in range(len(rows["tokens"]))]
        targets = [
            [UNTAGGED if word is None else labels.index(tags[word]) for word in pieces]
            for pieces, tags in zip(words, rows["ner_tags"], strict=True)
        ]
        return {**encoded, "labels": targets, "words": words}

    data = raw.map(encode, batched=True, remove_columns=raw["train"].column_names)
    clock = Clock(hf.DataCollatorForTokenClassification(tokenizer))
    trainer = hf.Trainer(
        model=hf.AutoModelForTokenClassification.from_pretrained(given.model, num_labels=len(labels)),
        args=arguments,
        train_dataset=data["train"],
        eval_dataset=data["validation"],
        data_collator=clock.collate,
        processing_class=tokenizer,
        callbacks=[clock],
    )
    facts = clock.trained(trainer)
    classes = trainer.predict(data["validation"]).predictions.argmax(-1)
    with Path(given.predictions).open("w", encoding="utf-8") as out:
        sentences = zip(raw["validation"]["tokens"], data["validation"]["words"], classes, strict=True)
        for tokens, words, said in sentences:
            tags = ["O"] * len(tokens)
            for word, place in zip(words, said, strict=False):
                if word is not None:
                    tags[word] = labels[place]
            out.write(json.dumps({"tags": tags}) + "\n")
    print(json.dumps(facts))


def first_pieces(words: list[int | None]) -> list[int | None]:
    """The word of each token where the token is the first of a word, else None."""
    return [word if word != before else None for before, word in zip([None, *words], words, strict=False)]


if __name__ == "__main__":
    main()
