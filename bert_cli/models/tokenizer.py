"""Tokenizers trained on a corpus: WordPiece as BERT's, byte-level BPE as RoBERTa's, Unigram as ALBERT's.

The result is a folder that `AutoTokenizer` reads; the same texts give the same bytes. Texts are streamed, twice; memory
grows with the number of different words.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

from bert_cli.errors import UsageError
from bert_cli.files import drafted
from bert_cli.models.alphabet import count_characters, frequent_characters, require_text
from bert_cli.models.unigram import unigram_pieces

Kind = Literal["wordpiece", "bpe", "unigram"]

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
ALBERT_SPECIAL = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")

_MIN_COUNT = 2
"""A piece of several characters stands in the corpus at least so often."""
_REFUSED = re.compile(r"\(os error (\d+)\)")
"""How the library, which has no type for it, says what the system refused."""


def train_tokenizer(
    texts: Iterable[str], folder: Path, *, kind: Kind, vocab_size: int, lowercase: bool, max_length: int
) -> int:
    """Train a tokenizer and publish it as `folder`.

    Args:
        texts: read twice, so it begins anew each time: a list or the like, no generator.
        kind: `wordpiece` (Schuster & Nakajima 2012) with BERT's special tokens, in which Chinese characters stand
            alone; `bpe` of bytes (Radford et al. 2019) with RoBERTa's, which can spell any text; `unigram` (Kudo 2018)
            with ALBERT's.
        vocab_size: number of tokens, the special ones included.
        lowercase: fold case and strip accents.
        max_length: what the tokenizer says of the longest sequence, tokens.

    Returns:
        Number of tokens: fewer than `vocab_size` where the texts do not hold so many pieces.

    Raises:
        DataError: no text (D070), or no character often enough (D071).
        UsageError: too few tokens for this kind (L061), or a package that it needs is absent (L063).
        OSError: the folder cannot be written; nothing stays of it.
    """
    if iter(texts) is texts:
        raise TypeError("texts are read twice: give a list, or an object that begins anew")
    train = {"wordpiece": _wordpiece, "bpe": _byte_bpe, "unigram": _unigram}[kind]
    tokenizer = train(texts, vocab_size=vocab_size, lowercase=lowercase, max_length=max_length)
    with drafted(folder) as draft:
        _save(tokenizer, draft)
    return len(tokenizer)


def _save(tokenizer: Any, folder: Path) -> None:
    try:
        tokenizer.save_pretrained(str(folder))
    except Exception as error:
        refused = _REFUSED.search(str(error))
        if refused is None:
            raise
        raise OSError(int(refused[1]), os.strerror(int(refused[1])), str(folder)) from error


def _wordpiece(texts: Iterable[str], *, vocab_size: int, lowercase: bool, max_length: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
    from transformers import BertTokenizer

    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizer = pre_tokenizers.BertPreTokenizer()

    def inside(character: str) -> bool:
        """Whether it can stand inside of a word, as Chinese characters and punctuation cannot."""
        return len(pre_tokenizer.pre_tokenize_str(normalizer.normalize_str(f"a{character}a"))) == 1

    characters = frequent_characters(
        count_characters(texts),
        normalizer.normalize_str,
        cost=lambda character: 2 if inside(character) else 1,
        room=vocab_size - len(BERT_SPECIAL),
    )
    # The trainer would number the characters inside of words in the order of a hash table, and break ties by these
    # numbers. Given beforehand, among the special tokens, they make every run choose the same pieces.
    continuing = [f"##{character}" for character in characters if inside(character)]
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocab_size,
        min_frequency=_MIN_COUNT,
        special_tokens=[*BERT_SPECIAL, *continuing],
        initial_alphabet=characters,
        limit_alphabet=len(characters),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return BertTokenizer(vocab=tokenizer.get_vocab(), do_lower_case=lowercase, model_max_length=max_length)


def _byte_bpe(texts: Iterable[str], *, vocab_size: int, lowercase: bool, max_length: int) -> Any:
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import RobertaTokenizer

    require_text(texts)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    least = len(alphabet) + len(ROBERTA_SPECIAL)
    if vocab_size < least:
        raise UsageError(
            "L061",
            "a tokenizer of bytes has a token for each of them",
            key="tokenizer.vocab_size",
            found=vocab_size,
            allowed=f"at least {least}",
            help="tokenizer.vocab_size=8192",
        )
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = _folding()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    # The space before it belongs to the mask, as it belongs to the word that is masked.
    mask = AddedToken("<mask>", lstrip=True, special=True, normalized=False)
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        min_frequency=_MIN_COUNT,
        special_tokens=[*ROBERTA_SPECIAL[:-1], mask],
        initial_alphabet=alphabet,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if not lowercase:
        learnt = json.loads(tokenizer.to_str())["model"]
        given: dict[str, Any] = {"vocab": learnt["vocab"], "merges": [tuple(merge) for merge in learnt["merges"]]}
        return RobertaTokenizer(**given | {"mask_token": mask, "model_max_length": max_length})
    start, pad, end, unknown, _ = ROBERTA_SPECIAL
    ends = [(token, ROBERTA_SPECIAL.index(token)) for token in (end, start)]
    tokenizer.post_processor = processors.RobertaProcessing(ends[0], ends[1], True, False)
    roles: dict[str, Any] = {"bos_token": start, "eos_token": end, "cls_token": start, "sep_token": end}
    roles |= {"pad_token": pad, "unk_token": unknown, "mask_token": mask}
    return _fast(tokenizer, roles, max_length=max_length, inputs=["input_ids", "attention_mask"])


def _unigram(texts: Iterable[str], *, vocab_size: int, lowercase: bool, max_length: int) -> Any:
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    plain = [normalizers.Nmt(), normalizers.NFKC()]
    normalizer = normalizers.Sequence([*plain, _folding()] if lowercase else plain)
    counts = count_characters(texts)
    room = vocab_size - len(ALBERT_SPECIAL) - len("▁")
    known = set(frequent_characters(counts, normalizer.normalize_str, cost=lambda _: 1, room=room))
    rare = {ord(letter): " " for letter in counts if not known.issuperset(normalizer.normalize_str(letter))}
    normal = (normalizer.normalize_str(text.translate(rare)) for text in texts)
    vocabulary = unigram_pieces(normal, special=ALBERT_SPECIAL, vocab_size=vocab_size, characters=counts.total())
    pad, unknown, cls, sep, mask = ALBERT_SPECIAL
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=ALBERT_SPECIAL.index(unknown), byte_fallback=False))
    tokenizer.normalizer = normalizer
    # SentencePiece's pieces do not go from letters into digits or punctuation; split there, words are words.
    apart = pre_tokenizers.Split(Regex(r"▁?[[\p{N}\p{P}\p{S}]&&[^▁]]+"), "isolated")
    steps = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always"), apart]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(token, ALBERT_SPECIAL.index(token)) for token in (cls, sep)],
    )
    roles = {"bos_token": cls, "eos_token": sep, "cls_token": cls, "sep_token": sep}
    roles |= {"pad_token": pad, "unk_token": unknown, "mask_token": mask}
    return _fast(tokenizer, roles, max_length=max_length, inputs=["input_ids", "token_type_ids", "attention_mask"])


def _folding() -> Any:
    """Letters without case and accents."""
    from tokenizers import normalizers

    return normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.NFC()]
    )


def _fast(tokenizer: Any, roles: dict[str, Any], *, max_length: int, inputs: list[str]) -> Any:
    """A tokenizer of no family of its own; `inputs` are the names of what it makes."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, **roles, model_max_length=max_length, model_input_names=inputs
    )
