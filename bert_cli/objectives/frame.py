"""The special tokens around a text or a pair of texts, and flat texts laid out as the padded rows that a model takes.

What stands where is found by asking the tokenizer for a probe, so no family is named here (RoBERTa has two separators
between two texts, BERT one). Segments are the tokenizer's, or 0 and 1 where it gives two texts the same. Laying out a
batch costs a few copies of its token ids.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bert_cli.errors import ModelError


@dataclass(frozen=True)
class Surrounding:
    """What stands before the first text, between texts, and behind the last.

    Attributes:
        pieces: special tokens before each text, and behind the last; one more than there are texts.
        piece_types: segment ids of those.
        text_types: segment id of each text.
    """

    pieces: tuple[tuple[int, ...], ...]
    piece_types: tuple[tuple[int, ...], ...]
    text_types: tuple[int, ...]

    @property
    def size(self) -> int:
        """Special tokens."""
        return sum(map(len, self.pieces))


@dataclass(frozen=True)
class Laid:
    """Texts as padded rows.

    Attributes:
        inputs: `input_ids`, `attention_mask` and, where the model takes them, `token_type_ids`. Shape: `[B, L]` int64.
        places: flat place in `[B * L]` of each token of the texts. Shape: `[T]` int64.
        tokens: real tokens, special ones included.
    """

    inputs: dict[str, torch.Tensor]
    places: np.ndarray
    tokens: int


@dataclass(frozen=True)
class Frame:
    """What a tokenizer puts around one text and around two.

    Attributes:
        takes_type_ids: whether the model has segment embeddings.
    """

    one: Surrounding
    two: Surrounding
    pad_token_id: int
    takes_type_ids: bool = False

    @classmethod
    def of(cls, tokenizer: Any, *, takes_type_ids: bool = False) -> Frame:
        """The frame of a tokenizer.

        Raises:
            ModelError: its special tokens cannot be told from the text (L032).
        """
        return cls(_around(tokenizer, 1), _around(tokenizer, 2), int(tokenizer.pad_token_id), takes_type_ids)

    def room(self, max_length: int, *, pair: bool = False) -> int:
        """Tokens of text, or of two together, in a sequence of `max_length`."""
        return max_length - (self.two if pair else self.one).size

    def lay(self, ids: np.ndarray, lengths: np.ndarray) -> Laid:
        """Flat texts in their frames, padded to the longest row.

        Shapes: ids `[T]` int64, the parts of a row after each other; lengths `[B, 1]` or `[B, 2]` int64.
        """
        around = self.one if lengths.shape[1] == 1 else self.two
        rows, parts = lengths.shape
        before = np.cumsum([len(piece) for piece in around.pieces])
        full = lengths.sum(axis=1) + before[-1]
        width = int(full.max())
        # Within a row, a token is moved by the special tokens that stand before its part.
        start = np.arange(rows) * width - (np.cumsum(lengths.sum(axis=1)) - lengths.sum(axis=1))
        places = np.arange(len(ids)) + np.repeat((start[:, None] + before[:parts]).ravel(), lengths.ravel())
        laid = np.full((2, rows * width), self.pad_token_id, dtype=np.int64)
        laid[1] = 0
        laid[0, places] = ids
        laid[1, places] = np.repeat(np.tile(around.text_types, rows), lengths.ravel())
        at = np.arange(rows) * width
        for i, piece in enumerate(around.pieces):
            where = at[:, None] + np.arange(len(piece))
            laid[0, where], laid[1, where] = piece, around.piece_types[i]
            at = at + len(piece) + (lengths[:, i] if i < parts else 0)
        input_ids, type_ids = (torch.from_numpy(each.reshape(rows, width)) for each in laid)
        mask = torch.from_numpy((np.arange(width) < full[:, None]).astype(np.int64))
        inputs = {"input_ids": input_ids, "attention_mask": mask}
        if self.takes_type_ids:
            inputs["token_type_ids"] = type_ids
        return Laid(inputs, places, int(full.sum()))


def has_segments(model: Any) -> bool:
    """Whether a model can tell two texts apart by their segment ids (RoBERTa-like models have one segment only)."""
    two = getattr(model.config, "type_vocab_size", 0) >= 2
    return two and "token_type_ids" in inspect.signature(model.forward).parameters


def _around(tokenizer: Any, texts: int) -> Surrounding:
    """What the tokenizer puts around so many texts."""
    probe = "a"
    inner: list[int] = tokenizer(probe, add_special_tokens=False)["input_ids"]
    encoded = tokenizer(*[probe] * texts, return_token_type_ids=True)
    whole: list[int] = encoded["input_ids"]
    types: Sequence[int] = encoded.get("token_type_ids") or [0] * len(whole)
    pieces, piece_types, text_types = [], [], []
    end = 0
    for _ in range(texts):
        at = next((i for i in range(end, len(whole)) if inner and whole[i : i + len(inner)] == inner), None)
        if at is None:
            raise ModelError(
                "L032",
                "the special tokens of this tokenizer cannot be told from the text",
                key="model.tokenizer",
                found=f"'{probe}' as {inner}, {texts} of them as {whole}",
                allowed="a tokenizer that leaves a text whole and puts special tokens around it",
                help="name another one with model.tokenizer=FOLDER",
            )
        pieces.append(tuple(whole[end:at]))
        piece_types.append(tuple(types[end:at]))
        text_types.append(types[at])
        end = at + len(inner)
    pieces.append(tuple(whole[end:]))
    piece_types.append(tuple(types[end:]))
    if len(set(text_types)) < texts:
        # As BERT counts them: what stands behind a text belongs to it, and the first piece to the first text.
        text_types = list(range(texts))
        piece_types = [(max(0, i - 1),) * len(piece) for i, piece in enumerate(pieces)]
    return Surrounding(tuple(pieces), tuple(piece_types), tuple(text_types))
