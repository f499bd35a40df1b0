"""The pieces of a unigram tokenizer, learnt by SentencePiece (Kudo 2018; Kudo & Richardson 2018).

`tokenizers` has a trainer too, but it starts from substrings that several different words share, so that it has no
piece for most whole words: on English Wikipedia its tokenizers need 14 % more tokens. Memory stays flat: of a large
corpus one stretch of text in so many is learnt from, evenly over the corpus.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from bert_cli.errors import UsageError

MOST = 40_000_000
"""Characters that are learnt from at most; each takes some 25 bytes of memory."""
_STRETCH = 1_000
"""Characters of one line that SentencePiece reads."""
_THREADS = 8
"""Sums depend on their number, so it is the same on every machine."""


def unigram_pieces(
    texts: Iterable[str], *, special: Sequence[str], vocab_size: int, characters: int
) -> list[tuple[str, float]]:
    """Pieces with their log probabilities, the special ones first.

    Args:
        texts: normalised, with all characters that are to have pieces and no others.
        special: tokens for padding, unknown text, start, end and mask; they get the ids 0 to 4.
        vocab_size: number of pieces at most, the special ones included.
        characters: of all texts, about.

    Raises:
        UsageError: the package sentencepiece is not installed (L063).
    """
    try:
        from sentencepiece import SentencePieceProcessor, SentencePieceTrainer
    except ImportError:
        raise UsageError(
            "L063",
            "a unigram tokenizer is trained by the package sentencepiece, which is not installed",
            key="tokenizer.kind",
            found="unigram",
            allowed="wordpiece, bpe, or unigram where it is installed",
            help="pip install sentencepiece",
        ) from None
    every = max(1, -(-characters // MOST))
    pad, unknown, start, end, mask = special
    written = io.BytesIO()
    SentencePieceTrainer.train(
        sentence_iterator=islice(_stretches(texts), 0, None, every),
        model_writer=written,
        model_type="unigram",
        vocab_size=vocab_size,
        hard_vocab_limit=False,
        normalization_rule_name="identity",
        character_coverage=1.0,
        max_sentence_length=8 * _STRETCH,
        pad_id=0,
        pad_piece=pad,
        unk_id=1,
        unk_piece=unknown,
        bos_id=2,
        bos_piece=start,
        eos_id=3,
        eos_piece=end,
        control_symbols=[mask],
        num_threads=_THREADS,
        minloglevel=2,
    )
    found = SentencePieceProcessor(model_proto=written.getvalue())
    return [(found.id_to_piece(number), found.get_score(number)) for number in range(found.get_piece_size())]


def _stretches(texts: Iterable[str]) -> Iterator[str]:
    """Texts cut into parts short enough for SentencePiece, at spaces where there are any."""
    for text in texts:
        start = 0
        while start < len(text):
            end = start + _STRETCH
            if end < len(text):
                end = text.rfind(" ", start + 1, end) + 1 or end
            yield text[start:end]
            start = end
