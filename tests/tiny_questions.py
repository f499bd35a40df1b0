"""Tiny questions about contexts, and tokenizers of the kinds that real encoders have, built in code."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

from tiny import BAD, BERT_SPECIAL, GOOD

NOUNS = ("film", "plot", "cast", "score", "scene", "story", "ending", "dialogue", "music", "camera")


def tiny_paragraphs(n: int, *, seed: int = 0, impossible: bool = True, facts: int = 4) -> list[dict[str, Any]]:
    """Paragraphs of facts (`the plot is dull .`) with three questions each, the last without an answer if `impossible`.

    The question names a noun, and the answer is the adjective that the context gives it.
    """
    rng = random.Random(seed)
    paragraphs = []
    for number in range(n):
        nouns = rng.sample(NOUNS, facts + 1)
        adjectives = [rng.choice((*GOOD, *BAD)) for _ in range(facts)]
        context = " ".join(f"the {noun} is {each} ." for noun, each in zip(nouns, adjectives, strict=False))
        questions: list[dict[str, Any]] = []
        for turn in range(3):
            missing = impossible and turn == 2
            noun = nouns[-1] if missing else nouns[turn]
            start = 0 if missing else context.index(f"the {noun} is ") + len(f"the {noun} is ")
            text = "" if missing else adjectives[turn]
            questions.append(
                {
                    "id": f"{seed}-{number}-{turn}",
                    "question": f"{noun} ?",
                    "answers": [] if missing else [{"text": text, "answer_start": start}],
                    **({"is_impossible": missing} if impossible else {}),
                }
            )
        paragraphs.append({"context": context, "qas": questions})
    return paragraphs


def nested(paragraphs: list[dict[str, Any]]) -> dict[str, Any]:
    """SQuAD's layout, two paragraphs an article."""
    articles = [paragraphs[start : start + 2] for start in range(0, len(paragraphs), 2)]
    return {"version": "v2.0", "data": [{"title": str(i), "paragraphs": each} for i, each in enumerate(articles)]}


def flat(paragraphs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One row a question, answers as columns."""
    return [
        {
            "id": question["id"],
            "question": question["question"],
            "context": paragraph["context"],
            "answers": {
                "text": [answer["text"] for answer in question["answers"]],
                "answer_start": [answer["answer_start"] for answer in question["answers"]],
            },
        }
        for paragraph in paragraphs
        for question in paragraph["qas"]
    ]


def write_json(path: Path, value: Any, *, indent: int | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=indent), encoding="utf-8")
    return path


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def tiny_squad(folder: Path, n_train: int = 16, n_validation: int = 6, *, impossible: bool = True) -> Path:
    """Write `train.json` and `validation.json` to `folder`, and return the folder."""
    for split, n, seed in (("train", n_train, 1), ("validation", n_validation, 2)):
        paragraphs = tiny_paragraphs(n, seed=seed, impossible=impossible)
        write_json(folder / f"{split}.json", nested(paragraphs))
    return folder


TEXTS = (
    "Beyoncé was born in Houston, Texas, on September 4, 1981 — 🎉 at 9 o'clock.",
    "يقع برج إيفل في باريس، عاصمة فرنسا، وقد بُني عام 1889.",
    "《战国无双3》是由光荣和ω-force开发的，价格12.5元。",
    "The  double   spaces\tand\nlines are kept, as are naïve café résumés.",
)
"""Texts whose characters and tokens differ in number: combining marks, another direction, no spaces, bytes."""


def byte_level_tokenizer() -> Any:
    """A byte-level BPE with the special tokens of RoBERTa."""
    from tokenizers import ByteLevelBPETokenizer
    from tokenizers.processors import RobertaProcessing

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    made = ByteLevelBPETokenizer(add_prefix_space=False)
    made.train_from_iterator(TEXTS * 2, vocab_size=340, special_tokens=special, show_progress=False)
    backend = made._tokenizer
    backend.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=True, add_prefix_space=False)
    return _fast(backend, cls="<s>", sep="</s>", pad="<pad>", unk="<unk>", mask="<mask>")


def pieces_tokenizer() -> Any:
    """A unigram tokenizer over pieces that begin with a bar, as SentencePiece models of XLM-R have them."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    backend = Tokenizer(models.Unigram())
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=150, special_tokens=special, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator(TEXTS * 4, trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return _fast(backend, cls="<s>", sep="</s>", pad="<pad>", unk="<unk>", mask="<mask>")


def word_piece_tokenizer() -> Any:
    """A WordPiece tokenizer as BERT's: lower case, accents stripped, Chinese characters apart."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    characters = sorted({letter for text in TEXTS for letter in text.lower() if not letter.isspace()})
    more = ["the", "double", "spaces", "hous", "##ton", "born", "e", "a", "i"]
    tokens = dict.fromkeys([*BERT_SPECIAL, *more, *characters, *(f"##{letter}" for letter in characters)])
    backend = Tokenizer(models.WordPiece({token: i for i, token in enumerate(tokens)}, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=True)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return _fast(backend, cls="[CLS]", sep="[SEP]", pad="[PAD]", unk="[UNK]", mask="[MASK]")


def _fast(backend: Any, **roles: str) -> Any:
    from transformers import PreTrainedTokenizerFast

    inputs = ["input_ids", "token_type_ids", "attention_mask"]
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        model_input_names=inputs,
        **{f"{role}_token": token for role, token in roles.items()},
    )


KINDS = {"word pieces": word_piece_tokenizer, "bytes": byte_level_tokenizer, "unigram pieces": pieces_tokenizer}


CHINESE_NOUNS, CHINESE_WORDS = ("音乐", "剧情", "结尾", "对白"), ("很好", "极差", "动人", "无聊")


def chinese_rows(n: int) -> list[dict[str, Any]]:
    """Flat rows without a space in them: what is said of each noun."""
    rng = random.Random(n)
    rows = []
    for number in range(n):
        said = [rng.choice(CHINESE_WORDS) for _ in CHINESE_NOUNS]
        context = "".join(f"{noun}{word}。" for noun, word in zip(CHINESE_NOUNS, said, strict=True))
        asked = number % len(CHINESE_NOUNS)
        start = context.index(CHINESE_NOUNS[asked]) + 2
        answers = {"text": [said[asked]], "answer_start": [start]}
        rows.append(
            {"id": f"{n}-{number}", "question": f"{CHINESE_NOUNS[asked]}怎样？", "context": context, "answers": answers}
        )
    return rows


def character_model(folder: Path) -> Path:
    """A tiny BERT whose tokens are the characters of `chinese_rows`, as in Chinese BERT; the folder is returned."""
    import torch
    from tiny import tiny_config, tiny_tokenizer
    from transformers import AutoModel

    characters = sorted(set("".join((*CHINESE_NOUNS, *CHINESE_WORDS, "。怎样？"))))
    tokenizer = tiny_tokenizer(words=characters)
    torch.manual_seed(0)
    AutoModel.from_config(tiny_config(vocab_size=len(tokenizer))).save_pretrained(str(folder))
    tokenizer.save_pretrained(str(folder))
    return folder
