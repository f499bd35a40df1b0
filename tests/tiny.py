"""Tiny models, tokenizers and data, built in code: what the tests train on.

Everything is a pure function of its arguments. A model takes about 0.1 s to make and 0.2 MB on disk; its texts use the
words below, so no token is unknown, and the label can be learnt from the words.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

PLACES = ("the", "film", "plot", "cast", "score", "scene", "story", "ending", "dialogue", "music", "camera", "a", "an")
FILLERS = ("was", "is", "seems", "and", "but", "very", "so", "rather", "quite", "in", "of", "with", "for", "that", "it")
GOOD = ("good", "great", "fine", "warm", "clever", "moving", "lovely", "bright")
BAD = ("bad", "dull", "weak", "cold", "clumsy", "boring", "ugly", "dim")
WORDS = (*PLACES, *FILLERS, *GOOD, *BAD)
TOPICS = ("music", "camera", "story")
"""Names of the multi-label classes: a text has those that it mentions, else the first."""

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
ROBERTA_SPECIAL = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
FAMILIES = ("bert", "roberta", "distilbert", "modernbert", "electra")
"""What most tests run on; `tiny_config` knows some more."""
POSITIONS = 64

_ROLES = {"cls_token": 2, "sep_token": 3, "pad_token": 0, "unk_token": 1, "mask_token": 4}
_ROBERTA_ROLES = {"cls_token": 0, "sep_token": 2, "pad_token": 1, "unk_token": 3, "mask_token": 4}


def tiny_tokenizer(family: str = "bert", words: Sequence[str] = WORDS) -> Any:
    """A WordPiece tokenizer whose vocabulary is the special tokens, `words` and single letters.

    RoBERTa's has its own special tokens, pads with id 1 and knows no segment ids, as the real one.
    """
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    roberta = family == "roberta"
    special = ROBERTA_SPECIAL if roberta else BERT_SPECIAL
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = dict.fromkeys((*special, *words, *letters, *(f"##{letter}" for letter in letters)))
    vocabulary = {token: i for i, token in enumerate(tokens)}
    roles = {role: special[i] for role, i in (_ROBERTA_ROLES if roberta else _ROLES).items()}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=roles["unk_token"]))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    cls, sep = roles["cls_token"], roles["sep_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}",
        pair=f"{cls} $A {sep} {sep} $B {sep}" if roberta else f"{cls} $A {sep} $B:1 {sep}:1",
        special_tokens=[(cls, vocabulary[cls]), (sep, vocabulary[sep])],
    )
    inputs = ["input_ids", "attention_mask"]
    if family in ("bert", "electra"):
        inputs.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=POSITIONS, model_input_names=inputs, **roles
    )


def tiny_config(family: str = "bert", **changes: Any) -> Any:
    """Configuration of an encoder of two layers and width 32, dropout 0.1; `changes` are keys of that family."""
    from transformers import AutoConfig

    tokenizer = tiny_tokenizer(family)
    common = {
        "vocab_size": len(tokenizer),
        "pad_token_id": tokenizer.pad_token_id,
        # Wider than usual, so that the tests compare numbers that are not all near 0.
        "initializer_range": 0.1,
    }
    bert = {
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 64,
        "max_position_embeddings": POSITIONS,
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
    }
    rotary = {
        **{name: value for name, value in bert.items() if not name.endswith("dropout_prob")},
        "attention_dropout": 0.1,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    own: dict[str, dict[str, Any]] = {
        "bert": bert,
        # Positions are counted from pad_token_id + 1.
        "roberta": {
            **bert,
            "max_position_embeddings": POSITIONS + 2,
            "type_vocab_size": 1,
            "bos_token_id": 0,
            "eos_token_id": 2,
        },
        "electra": {**bert, "embedding_size": 16},
        "distilbert": {
            "dim": 32,
            "n_layers": 2,
            "n_heads": 2,
            "hidden_dim": 64,
            "max_position_embeddings": POSITIONS,
            "dropout": 0.1,
            "attention_dropout": 0.1,
            "seq_classif_dropout": 0.1,
        },
        "modernbert": {
            **rotary,
            "global_attn_every_n_layers": 2,
            "local_attention": 8,
            "mlp_dropout": 0.1,
            "embedding_dropout": 0.1,
            "classifier_dropout": 0.1,
            "cls_token_id": 2,
            "sep_token_id": 3,
        },
        "albert": {**bert, "embedding_size": 16},
        "deberta-v2": {**bert, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 8},
        "nomic_bert": bert,
        # Each key serves two queries.
        "eurobert": {**rotary, "num_attention_heads": 4, "num_key_value_heads": 2, "mask_token_id": 4},
    }
    return AutoConfig.for_model(family, **{**common, **own[family], **changes})


def tiny_model(folder: Path, family: str = "bert", *, seed: int = 0, **config: Any) -> Path:
    """Save a base encoder (no head) with its tokenizer to `folder`, and return the folder."""
    import torch
    from transformers import AutoModel

    from bert_cli.models.build import quiet

    quiet()
    torch.manual_seed(seed)
    AutoModel.from_config(tiny_config(family, **config)).save_pretrained(str(folder))
    tiny_tokenizer(family).save_pretrained(str(folder))
    return folder


def tiny_texts(n: int, *, seed: int = 0, longest: int = 20) -> list[tuple[str, float]]:
    """Texts of 3 to `longest` words, each with the share of good words among its good and bad ones."""
    rng = random.Random(seed)
    texts = []
    for i in range(n):
        tone = GOOD if i % 2 else BAD
        words = [rng.choice((*PLACES, *FILLERS)) for _ in range(rng.randint(2, longest - 1))]
        words.insert(rng.randrange(len(words) + 1), rng.choice(tone))
        if len(words) > 6:
            words[rng.randrange(len(words))] = rng.choice((*GOOD, *BAD))
        good, bad = (sum(word in kind for word in words) for kind in (GOOD, BAD))
        texts.append((" ".join(words), good / max(1, good + bad)))
    return texts


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[object]]) -> Path:
    """A TSV file."""
    lines = ["\t".join(map(str, row)) for row in (header, *rows)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def tiny_data(
    folder: Path,
    n_train: int = 64,
    n_validation: int = 24,
    pairs: bool = False,
    kind: str = "classification",
    *,
    text: str = "text",
    labels: tuple[str, str] = ("bad", "good"),
) -> Path:
    """Write `train.tsv` and `validation.tsv` to `folder`, and return the folder.

    Args:
        kind: `classification` (column `label`), `multi-label` (`labels`, split by commas) or `regression` (`score`).
        text: name of the text column; a second text is called `text_pair`.
        labels: names of the two classes.
    """
    for split, n, seed in (("train", n_train, 1), ("validation", n_validation, 2)):
        rows = []
        for i, (sentence, share) in enumerate(tiny_texts(n, seed=seed)):
            target: object = labels[i % 2]
            if kind == "multi-label":
                target = ",".join(topic for topic in TOPICS if topic in sentence.split()) or TOPICS[0]
            elif kind == "regression":
                target = round(share, 3)
            second = [tiny_texts(1, seed=1000 * seed + i, longest=8)[0][0]] if pairs else []
            rows.append([sentence, *second, target])
        name = {"classification": "label", "multi-label": "labels", "regression": "score"}[kind]
        write_table(folder / f"{split}.tsv", [text, *(["text_pair"] if pairs else []), name], rows)
    return folder


def tiny_recipe(model: Path, data: Path, out: Path, **changes: Any) -> Any:
    """Two epochs of eight steps over `tiny_data`, saved every quarter; `changes` are `section__key=value`."""
    from bert_cli.recipe.schema import Recipe

    values: dict[str, Any] = {
        "task": "text-classification",
        "model": {"name": str(model)},
        "data": {"source": str(data), "max_length": 32},
        "train": {"epochs": 2.0, "batch_size": 8, "lr": 3e-3, "precision": "fp32"},
        "eval": {"every": 0.5},
        "run": {"out": str(out), "save_every": 0.25, "log_every": 1},
        "dist": {"device": "cpu"},
    }
    for name, value in changes.items():
        section, _, key = name.partition("__")
        if key:
            values[section] = values[section] | {key: value}
        else:
            values[section] = value
    return Recipe.model_validate(values)
