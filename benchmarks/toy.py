"""Toy data in the places of the real ones: every case can be tried anywhere, and no figure of it is to be quoted.

All of it is made of the toy world's sentences. Their entities are people, and things with the article before them;
questions ask for a person, whom not every context names.
"""

import gzip
import json
import re
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any

from benchmarks.mlm import DOCUMENTS
from benchmarks.questions import QUESTIONS
from bert_cli.toyworld import Sizes, documents, sentiment_splits
from bert_cli.toyworld.words import MEN, WOMEN

ARTICLES, DOCUMENTS_EACH = 400, 20
"""Of the corpus: articles, and documents of the toy world in each."""
CONTEXT, PARAGRAPH = 12, 4
"""Sentences of a context, and questions about it."""
PEOPLE = frozenset((*WOMEN, *MEN))

Rows = Sequence[tuple[str, int]]


def write_toys(folder: Path) -> Path:
    """Write them all; the folder."""
    splits = sentiment_splits(seed=42, sizes=Sizes(train=8192))
    for split, rows in splits.items():
        _write(
            folder / "sst2" / f"{split}.tsv", chain(["sentence\tlabel"], (f"{text}\t{label}" for text, label in rows))
        )
        _write(folder / "wnut17" / f"{split}.jsonl", (json.dumps(tagged(text)) for text, _ in rows))
    _write(folder / QUESTIONS, [json.dumps({"data": [{"paragraphs": paragraphs(splits["train"])}]})])
    corpus = folder / DOCUMENTS
    corpus.parent.mkdir()
    stream = documents(ARTICLES * DOCUMENTS_EACH, seed=42)
    with gzip.open(corpus, "wt", encoding="utf-8") as articles:
        for _ in range(ARTICLES):
            articles.write(json.dumps({"text": " ".join(chain.from_iterable(islice(stream, DOCUMENTS_EACH)))}) + "\n")
    return folder


def tagged(text: str) -> dict[str, list[str]]:
    """The words of a sentence with BIO tags."""
    tokens = re.findall(r"\w+|[^\w\s]", text)
    tags = []
    for before, token in zip(["", *tokens], tokens, strict=False):
        inside = "I-product" if before.lower() == "the" else "O"
        tags.append("B-person" if token in PEOPLE else "B-product" if token.lower() == "the" else inside)
    return {"tokens": tokens, "ner_tags": tags}


def paragraphs(rows: Rows) -> list[dict[str, Any]]:
    """Contexts of some sentences each, as SQuAD has them."""
    texts = [text for text, _ in rows]
    found = []
    for first in range(0, len(texts) - CONTEXT, CONTEXT):
        context = " ".join(texts[first : first + CONTEXT])
        people = list(re.finditer(rf"\b(?:{'|'.join(sorted(PEOPLE))})\b", context))[:1]
        answers = [{"text": each.group(), "answer_start": each.start()} for each in people]
        asked = [
            {
                "id": f"{first}-{number}",
                "question": f"Who is the {'first' if known else 'last'} person?",
                "answers": known,
            }
            for number, known in enumerate([answers, []] * (PARAGRAPH // 2))
        ]
        found.append({"context": context, "qas": asked})
    return found


def _write(file: Path, lines: Iterable[str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding="utf-8") as out:
        out.writelines(f"{line}\n" for line in lines)
