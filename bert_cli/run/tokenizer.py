"""A tokenizer as a step of its own: trained on a corpus, and measured on documents that it has not seen.

Every tenth document is held out. Documents are streamed; what is measured ends after two million characters, so the
measuring costs seconds.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from bert_cli.data.cache import named_shortage
from bert_cli.data.corpus import Part, Reading, find_corpus, read_documents
from bert_cli.data.sentences import document_pieces
from bert_cli.errors import UsageError
from bert_cli.models.tokenizer import train_tokenizer
from bert_cli.recipe.schema import DataSection, TokenizerSection

HELD_OUT = 10
"""One document in so many is held out."""
MEASURED = 2_000_000
"""Characters that are measured at most."""
_SAMPLE = 60
"""Characters of a sample line."""
_FILES = frozenset(
    {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt", "vocab.json", "merges.txt"}
)


@dataclass(frozen=True)
class Texts:
    """The documents of a corpus as running texts; each pass reads them anew.

    Attributes:
        parts: files, or splits on the hub.
        data: how they are read.
        held_out: True for every tenth document, False for the others, None for all.
    """

    parts: Sequence[Part]
    data: DataSection
    held_out: bool | None = None

    def __iter__(self) -> Iterator[str]:
        documents = read_documents(self.parts, Reading.of(self.data), limit=self.data.limit)
        for number, lines in enumerate(documents, 1):
            if self.held_out is None or (number % HELD_OUT == 0) == self.held_out:
                # Sentences are cut, never changed, so where they end makes no difference to the text.
                yield "".join(document_pieces(lines, by="lines"))


@dataclass
class Measures:
    """What a tokenizer makes of some texts.

    Attributes:
        documents, characters: how much was measured.
        words: between white space and punctuation, a Chinese character alone, as BERT counts them.
        tokens: without special ones around.
        unknown: tokens that stand for text which the vocabulary cannot spell.
    """

    documents: int = 0
    characters: int = 0
    words: int = 0
    tokens: int = 0
    unknown: int = 0

    def shares(self) -> dict[str, float]:
        """Tokens per word (fertility), characters per token, and the share of unknown tokens."""
        return {
            "tokens_per_word": self.tokens / self.words if self.words else math.nan,
            "characters_per_token": self.characters / self.tokens if self.tokens else math.nan,
            "unknown_share": self.unknown / self.tokens if self.tokens else math.nan,
        }


@dataclass(frozen=True)
class TrainedTokenizer:
    """A tokenizer and what it is like.

    Attributes:
        folder: where it is.
        vocabulary: number of tokens, the special ones included.
        unseen: whether the measured documents were held out; a corpus of fewer than ten has none.
        samples: beginnings of measured documents, cut into tokens.
    """

    folder: Path
    vocabulary: int
    measures: Measures
    unseen: bool
    samples: list[list[str]] = field(default_factory=list)


def train(
    data: DataSection, wanted: TokenizerSection, folder: Path, *, offline: bool = False, overwrite: bool = False
) -> TrainedTokenizer:
    """Train a tokenizer on the corpus `data.source` and publish it as `folder`.

    Raises:
        UsageError: there is something in the folder (U093), and see `train_tokenizer`.
        DataError: no text, or text that cannot be read.
        ResourceError: the disk is full (P021); nothing stays of the tokenizer.
    """
    from bert_cli.models.build import load_tokenizer

    _check_free(folder, overwrite=overwrite)
    assert data.source is not None
    parts = find_corpus(data.source, offline=offline)
    unseen = next(iter(Texts(parts, data, held_out=True)), None) is not None
    with named_shortage(folder, help="free some space, then give the same command"):
        vocabulary = train_tokenizer(
            Texts(parts, data, held_out=False if unseen else None),
            folder,
            kind=wanted.kind,
            vocab_size=wanted.vocab_size,
            lowercase=wanted.lowercase,
            max_length=data.max_length,
        )
    tokenizer = load_tokenizer(folder)
    texts = Texts(parts, data, held_out=True if unseen else None)
    samples = [tokens_of(tokenizer, _beginning(text)) for text in islice(texts, 3)]
    return TrainedTokenizer(folder, vocabulary, measure(tokenizer, texts), unseen, samples)


def measure(tokenizer: Any, texts: Texts | Sequence[str], *, characters: int = MEASURED) -> Measures:
    """Count what a tokenizer makes of the first documents, until so many characters are passed."""
    from tokenizers import normalizers, pre_tokenizers

    spaced = normalizers.BertNormalizer(lowercase=False, strip_accents=False)
    words = pre_tokenizers.BertPreTokenizer()
    found = Measures()
    for text in texts:
        ids = _ids(tokenizer, text)
        found.documents += 1
        found.characters += len(text)
        found.words += len(words.pre_tokenize_str(spaced.normalize_str(text)))
        found.tokens += len(ids)
        found.unknown += ids.count(tokenizer.unk_token_id)
        if found.characters >= characters:
            break
    return found


def tokens_of(tokenizer: Any, text: str) -> list[str]:
    """The tokens of a text, without special ones around; those of bytes as the text that they stand for."""
    from tokenizers import decoders

    tokens: list[str] = tokenizer.convert_ids_to_tokens(_ids(tokenizer, text))
    decoder = tokenizer.backend_tokenizer.decoder
    if not isinstance(decoder, decoders.ByteLevel):
        return tokens
    # Parts of a character are no text: they stay in the spelling of the vocabulary.
    plain = [decoder.decode([token]) for token in tokens]
    return [token if "\ufffd" in text else text.replace(" ", "Ġ") for token, text in zip(tokens, plain, strict=True)]


def _ids(tokenizer: Any, text: str) -> list[int]:
    """The tokens of the whole text and nothing else: no special ones, no padding, no end at a longest length."""
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    return ids


def _beginning(text: str) -> str:
    """The first words of a text."""
    if len(text) <= _SAMPLE:
        return text
    start = text[:_SAMPLE]
    return start.rpartition(" ")[0] or start


def _check_free(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that holds something; with `overwrite`, only one that holds more than a tokenizer.

    Raises:
        UsageError: it does (U093).
    """
    if folder.is_dir():
        names = sorted(entry.name for entry in folder.iterdir())
    else:
        names = [folder.name] if folder.exists() else []
    if not names or (overwrite and folder.is_dir() and set(names) <= _FILES):
        return
    only = set(names) <= _FILES
    raise UsageError(
        "U093",
        "the folder for the tokenizer is not empty",
        where=str(folder),
        key="--out",
        found=", ".join(names[:6]),
        allowed="an empty or new folder" + (", or --overwrite" if only else "; --overwrite replaces tokenizers only"),
        help="--overwrite" if only else "--out another folder",
    )
