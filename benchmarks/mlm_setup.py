"""What both sides of `mlm` are given: one model with a new head, and documents that are a full block each.

`python -m benchmarks.mlm_setup MODEL DOCUMENTS FOLDER --blocks N --held-out M --length L` writes `FOLDER/model`,
`FOLDER/corpus.jsonl` (N blocks) and `FOLDER/held_out.jsonl` (M blocks, of other articles). A block is whole words of
one article in their order, left out where they would not fit, and has L tokens with those that the tokenizer puts
around.
"""

import argparse
import gzip
import json
from collections.abc import Callable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

SEED = 0


def main() -> None:
    """Write the files."""
    from transformers import AutoModelForMaskedLM, AutoTokenizer, set_seed

    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("documents", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--blocks", type=int, required=True)
    parser.add_argument("--held-out", type=int, required=True)
    parser.add_argument("--length", type=int, required=True)
    given = parser.parse_args()
    set_seed(SEED)
    tokenizer = AutoTokenizer.from_pretrained(given.model)
    AutoModelForMaskedLM.from_pretrained(given.model).save_pretrained(given.folder / "model")
    tokenizer.save_pretrained(given.folder / "model")
    room = given.length - tokenizer.num_special_tokens_to_add()
    with gzip.open(given.documents, "rt", encoding="utf-8") as lines:
        articles = (json.loads(line)["text"].split() for line in lines)
        for name, count in (("held_out", given.held_out), ("corpus", given.blocks)):
            # Each file begins with an article of its own: what the one before leaves of its last article is not used.
            found = islice(chain.from_iterable(blocks(words, sizes(tokenizer), room) for words in articles), count)
            texts = [json.dumps({"text": text}) + "\n" for text in found]
            if len(texts) < count:
                raise SystemExit(f"{given.documents} makes {len(texts)} blocks for {name}, {count} are needed")
            (given.folder / f"{name}.jsonl").write_text("".join(texts), encoding="utf-8")


def sizes(tokenizer: Any) -> Callable[[Sequence[str]], list[int]]:
    """How many tokens each word becomes, which is the same wherever it stands."""
    return lambda words: [len(ids) for ids in tokenizer(list(words), add_special_tokens=False)["input_ids"]]


def blocks(words: Sequence[str], size: Callable[[Sequence[str]], list[int]], room: int) -> Iterator[str]:
    """Texts of exactly `room` tokens from the words of an article; what remains at its end is dropped."""
    block: list[str] = []
    free = room
    for word, tokens in zip(words, size(words), strict=True):
        if tokens > free:
            continue
        block.append(word)
        free -= tokens
        if not free:
            yield " ".join(block)
            block, free = [], room


if __name__ == "__main__":
    main()
