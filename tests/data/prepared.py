"""Tokenizers of three kinds, small prepared corpora, and their documents read back by naive slicing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bert_cli.data.corpus import find_corpus
from bert_cli.data.portions import CorpusSettings
from bert_cli.data.prepare_shards import TokenizerFiles, prepare_corpus_folder
from bert_cli.data.sentences import document_pieces
from bert_cli.data.shards import Corpus

KINDS = ("wordpiece", "bpe", "unigram")

ENGLISH = """\
The fountain of wisdom, Hypatia herself, was seen. "Well," said he, "it's cold!" He left (for good.) Then, 3.5 hours
later, they didn't come back... Dr. Smith wasn't there; nor was Mrs. O'Neil.  Two spaces stand here. A tab\tthere.
A second line without an end mark
Another. And one more! Did they pay $5,000 in the U.S.? Nobody knows; "why should they?"
"""
CHINESE = """\
今天天气很好。我们去公园吧！他说：“你好！”——“再见。”她笑了……然后，价格是3.5元；OK。
標題
「再見。」他走了，Hello World！我們不知道。カタカナもあります。
"""
TEXT = f"{ENGLISH}\n{CHINESE}\nOne short document.\n"


def train(kind: str, texts: Sequence[str], *, vocab_size: int = 450) -> Any:
    """A small tokenizer of each kind, as its families have it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<unk>", "<pad>", "<cls>", "<sep>", "<mask>"]
    if kind == "wordpiece":
        tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
        tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
        tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
        trainer: Any = trainers.WordPieceTrainer(vocab_size=vocab_size, special_tokens=special, show_progress=False)
    elif kind == "bpe":
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size, special_tokens=special, initial_alphabet=alphabet, show_progress=False
        )
    else:
        tokenizer = Tokenizer(models.Unigram())
        tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        trainer = trainers.UnigramTrainer(
            vocab_size=vocab_size, special_tokens=special, unk_token="<unk>", show_progress=False
        )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<cls>",
        sep_token="<sep>",
        mask_token="<mask>",
    )


@cache
def trained(kind: str) -> Any:
    """The tokenizer of a kind that has seen the texts above."""
    return train(kind, [TEXT] * 4)


def prepare(
    tmp_path: Path,
    text: str | dict[str, str],
    tokenizer: Any,
    *,
    out: str = "out",
    digest: str = "digest",
    **given: Any,
) -> Corpus:
    source = tmp_path / "text"
    source.mkdir(exist_ok=True)
    for name, content in (text if isinstance(text, dict) else {"a.txt": text}).items():
        (source / name).write_text(content, encoding="utf-8")
    given = {"settings": CorpusSettings(), **given}
    return prepare_corpus_folder(
        tmp_path / out, find_corpus(str(source)), tokenizer, made_from=TokenizerFiles((), digest), **given
    )


def running_texts(text: str, **settings: Any) -> list[list[str]]:
    """Documents as their sentences, by a second road: the file itself."""
    found = [[line.strip() for line in part.splitlines() if line.strip()] for part in text.split("\n\n")]
    return [document_pieces(document, by=settings.get("by", "split")) for document in found]


def documents(corpus: Corpus) -> list[list[list[int]]]:
    """Token ids of each sentence of each document, sliced naively."""
    found = []
    for shard in corpus.shards:
        for number, last in enumerate(shard.documents):
            first = shard.documents[number - 1] if number else 0
            bounds = [(shard.sentences[s - 1] if s else 0, shard.sentences[s]) for s in range(first, last)]
            found.append([shard.tokens[begin:end].tolist() for begin, end in bounds])
    return found


def flat(document: Sequence[Sequence[int]]) -> list[int]:
    return [token for sentence in document for token in sentence]


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def many(n: int, *, seed: int = 0) -> str:
    rng = np.random.default_rng(seed)
    lines = [line for line in (ENGLISH + CHINESE).splitlines() if line]
    return "\n\n".join("\n".join(rng.choice(lines, rng.integers(1, 5))) for _ in range(n)) + "\n"
