"""Words as the pieces of a tokenizer, each word by itself, so that no piece belongs to two of them.

A word keeps the space before it, as byte-level BPE wants it; where none is before it, the lone word mark that
SentencePiece would put there is left out. Every distinct word is tokenised once, so a million words take seconds, and
no offsets are needed, so any tokenizer serves.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int32]

_WORD_MARK = "▁"


class WordPieces:
    """Pieces of words, remembered."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._known: dict[str, Ints] = {}
        mark = tokenizer.convert_tokens_to_ids(_WORD_MARK)
        self._mark = mark if isinstance(mark, int) and mark != tokenizer.unk_token_id else None

    def of(self, texts: Iterable[str], words: Iterable[Ints]) -> list[list[Ints]]:
        """Token ids of each word of each text; none for a word that the tokenizer does not see.

        Args:
            words: begin and end of the words of each text, in characters. Shape of each: `[words, 2]`.
        """
        named = [_names(text, places) for text, places in zip(texts, words, strict=True)]
        self._learn({name for names in named for name in names} - self._known.keys())
        return [[self._known[name] for name in names] for names in named]

    def _learn(self, new: set[str]) -> None:
        if not new:
            return
        names = sorted(new)
        found: list[list[int]] = self._tokenizer(
            names, add_special_tokens=False, return_attention_mask=False, return_token_type_ids=False, verbose=False
        )["input_ids"]
        for name, ids in zip(names, found, strict=True):
            marked = len(ids) > 1 and ids[0] == self._mark and not name[0].isspace()
            self._known[name] = np.array(ids[1:] if marked else ids, dtype=np.int32)


def _names(text: str, places: Ints) -> list[str]:
    """Each word with the space before it, if any; an empty word is a space."""
    return [
        f" {text[start:end]}" if start and text[start - 1].isspace() else text[start:end] or " "
        for start, end in places.tolist()
    ]
