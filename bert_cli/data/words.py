"""Where whole words begin: as the tokenizer splits text, with Chinese and kana told apart character by character.

Chinese has no spaces, so byte-level BPE and Unigram tokenizers see a whole clause as one word. There each token that
begins with a character of its own is a word, or, on request, each word that jieba finds (an optional package).
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_cli.data.sentences import CJK
from bert_cli.errors import UsageError

_LAST = 0x40000
Segment = Callable[[str], list[str]]
"""A text as words that together are the text."""


class WordStarts:
    """Finds the first token of each whole word.

    Args:
        backend: a tokenizer of the tokenizers library.
        segment: words of Chinese text; None lets each token be one.
    """

    def __init__(self, backend: Any, *, segment: Segment | None = None) -> None:
        self._segment = segment
        prefix = getattr(backend.model, "continuing_subword_prefix", None) or ""
        vocabulary: dict[str, int] = backend.get_vocab(with_added_tokens=True)
        self._begins = np.zeros(max(vocabulary.values()) + 1, dtype=bool)
        self._continues = np.zeros_like(self._begins)
        for token, number in vocabulary.items():
            self._begins[number] = token.startswith(("▁", "Ġ"))
            self._continues[number] = bool(prefix) and token.startswith(prefix)

    def find(
        self,
        ids: npt.NDArray[np.integer],
        words: npt.NDArray[np.integer],
        starts: npt.NDArray[np.int64],
        texts: Sequence[str],
    ) -> npt.NDArray[np.bool_]:
        """Whether each token begins a word. Shapes of arguments and result: `[T]`.

        Args:
            ids: token ids.
            words: numbers of the words that the tokenizer saw; only changes count.
            starts: where each token begins in the joined `texts`, in characters.
        """
        moved = _changed(starts)
        found: npt.NDArray[np.bool_] = _changed(words) | self._begins[ids]
        if all(map(str.isascii, texts)):
            return found
        codes = np.frombuffer("".join(texts).encode("utf-32-le"), np.dtype("<u4"))
        wide = _wide_table()[np.minimum(codes[np.minimum(starts, len(codes) - 1)], _LAST - 1)]
        if not wide.any():
            return found
        begins = moved
        if self._segment is not None:
            begins = moved & _boundaries(texts, self._segment)[starts]
        after_wide = np.concatenate([[False], wide[:-1]]) & moved
        alone = ~self._continues[ids]
        return np.where(wide & alone, begins, found | (after_wide & alone))


def jieba_segment() -> Segment:
    """jieba's words (HMM for unknown ones).

    Raises:
        UsageError: the package is not installed (U077).
    """
    try:
        with warnings.catch_warnings():
            # Its regular expressions are written with escapes that Python warns about.
            warnings.simplefilter("ignore")
            import jieba  # type: ignore[import-not-found, import-untyped, unused-ignore]
    except ImportError:
        raise UsageError(
            "U077",
            "data.words=jieba needs the package jieba, which is not installed",
            key="data.words",
            found="jieba",
            allowed="tokenizer, or jieba where it is installed",
            help="pip install jieba",
        ) from None
    jieba.setLogLevel(logging.WARNING)
    segment: Segment = jieba.lcut
    return segment


def _boundaries(texts: Sequence[str], segment: Segment) -> npt.NDArray[np.bool_]:
    """Whether a word begins at each character of the joined texts."""
    found = np.zeros(sum(map(len, texts)) + 1, dtype=bool)
    base = 0
    for text in texts:
        found[list(accumulate(map(len, segment(text)), initial=base))] = True
        base += len(text)
    return found


def _changed(values: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Where a value differs from the one before; the first does. Shape: `[T]`."""
    return np.concatenate([[True], values[1:] != values[:-1]])


@cache
def _wide_table() -> npt.NDArray[np.bool_]:
    """Whether a character belongs to a script without spaces, by its code point."""
    table = np.zeros(_LAST, dtype=bool)
    for first, last in re.findall("(.)-(.)", CJK):
        table[ord(first) : ord(last) + 1] = True
    return table
