"""The incumbent for extractive questions: `transformers.Trainer`, as its public question-answering example does.

Takes Trainer's flags; trains on windows of one file (`benchmarks.questions_setup` says what is in it), saves, answers
another file once, writes question id -> answer, and prints one line of JSON. As in the example, the best of 20 first
and 20 last tokens of each window are combined, and nothing is answered where that scores higher. It is spared the
example's `import evaluate` (7 CPU seconds).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import transformers as hf
from datasets import Dataset, load_dataset

from benchmarks.trainer_peer import Clock, Flags, parsed

BEST, LONGEST = 20, 30
"""First and last tokens of a window that are looked at, and tokens of an answer."""

Offsets = Sequence[Sequence[int] | None]
"""From and to which character of the context each token of a window goes; None: it is no token of the context."""


@dataclass(kw_only=True)
class Given(Flags):
    """Flags of this peer; `stride` is shared by neighbouring windows, `predictions` the file to write."""

    validation_file: str
    predictions: str
    stride: int
    pad: bool = False


def main() -> None:
    """Train, answer and report."""
    given, arguments = parsed(Given)
    files = {"train": given.train_file, "validation": given.validation_file}
    raw = load_dataset("json", data_files=files, field="data")
    tokenizer = hf.AutoTokenizer.from_pretrained(given.model)

    def encode(rows: dict[str, list[Any]]) -> dict[str, Any]:
        return windows(tokenizer, given, rows)

    data = raw.map(encode, batched=True, remove_columns=raw["train"].column_names)
    train = data["train"].remove_columns(["id", "offsets"])
    asked = data["validation"].remove_columns(["start_positions", "end_positions"])
    clock = Clock(hf.default_data_collator if given.pad else hf.DataCollatorWithPadding(tokenizer))
    trainer = hf.Trainer(
        model=hf.AutoModelForQuestionAnswering.from_pretrained(given.model),
        args=arguments,
        train_dataset=train,
        data_collator=clock.collate,
        processing_class=tokenizer,
        callbacks=[clock],
    )
    facts = clock.trained(trainer)
    said = answers(raw["validation"], asked, trainer.predict(asked).predictions)
    Path(given.predictions).write_text(json.dumps(said), encoding="utf-8")
    print(json.dumps(facts))


def windows(tokenizer: Any, given: Given, rows: dict[str, list[Any]]) -> dict[str, Any]:
    """Windows of some questions, with the tokens of their first answers; [CLS] where it is not in the window."""
    encoded = tokenizer(
        [question.lstrip() for question in rows["question"]],
        rows["context"],
        truncation="only_second",
        max_length=given.max_length,
        stride=given.stride,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        padding="max_length" if given.pad else False,
    )
    owners = encoded.pop("overflow_to_sample_mapping")
    offsets = [
        [pair if part == 1 else None for pair, part in zip(pairs, encoded.sequence_ids(row), strict=True)]
        for row, pairs in enumerate(encoded.pop("offset_mapping"))
    ]
    first, last = [], []
    for ids, pairs, owner in zip(encoded["input_ids"], offsets, owners, strict=True):
        span = answer_tokens(pairs, rows["answers"][owner])
        nowhere = ids.index(tokenizer.cls_token_id)
        first.append(nowhere if span is None else span[0])
        last.append(nowhere if span is None else span[1])
    ids = [rows["id"][owner] for owner in owners]
    return {**encoded, "start_positions": first, "end_positions": last, "id": ids, "offsets": offsets}


def answer_tokens(offsets: Offsets, answers: dict[str, list[Any]]) -> tuple[int, int] | None:
    """First and last token of the first answer, None where there is none that lies in this window as a whole."""
    pairs = [(place, pair) for place, pair in enumerate(offsets) if pair is not None]
    if not answers["text"] or not pairs:
        return None
    start = answers["answer_start"][0]
    end = start + len(answers["text"][0])
    if pairs[0][1][0] > start or pairs[-1][1][1] < end:
        return None
    return max(place for place, pair in pairs if pair[0] <= start), min(
        place for place, pair in pairs if pair[1] >= end
    )


def answers(questions: Dataset, asked: Dataset, logits: Sequence[np.ndarray]) -> dict[str, str]:
    """The best answer to each question over its windows, or none.

    Args:
        logits: of the first and of the last token. Shapes: `[windows, length]`.
    """
    contexts = dict(zip(questions["id"], questions["context"], strict=True))
    best: dict[str, tuple[float, str]] = {}
    nothing: dict[str, float] = {}
    for id_, offsets, start, end in zip(asked["id"], asked["offsets"], *logits, strict=True):
        nothing[id_] = min(nothing.get(id_, np.inf), start[0] + end[0])
        for score, begin, stop in spans(offsets, start, end):
            text = contexts[id_][begin:stop]
            if text:
                best[id_] = max(best.get(id_, (-np.inf, "")), (score, text))
    return {id_: best[id_][1] if id_ in best and best[id_][0] >= score else "" for id_, score in nothing.items()}


def spans(offsets: Offsets, start: np.ndarray, end: np.ndarray) -> Iterator[tuple[float, int, int]]:
    """Score and characters of each combination that may be an answer."""

    def highest(logits: np.ndarray) -> list[int]:
        places = np.argsort(logits)[: -BEST - 1 : -1].tolist()
        return [place for place in places if place < len(offsets) and offsets[place] is not None]

    lasts = highest(end)
    for first in highest(start):
        for last in lasts:
            if first <= last < first + LONGEST:
                (begin, _), (_, stop) = offsets[first] or (0, 0), offsets[last] or (0, 0)
                yield float(start[first] + end[last]), begin, stop


if __name__ == "__main__":
    main()
