"""From a located folder to a model and tokenizer that fit the task.

Guarantees that every weight below the head comes from the checkpoint, that a head is reused only when its labels are
the task's, and that new weights depend on the seed alone. A model from scratch knows the tokenizer's special tokens.
Loading costs one read of the weights.
"""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from bert_cli.env import derived_seed, seed_everything
from bert_cli.errors import ModelError, UsageError, listing
from bert_cli.models.checkpoint import check_loaded, draw_head, new_heads
from bert_cli.models.configuration import new_config, set_dropout
from bert_cli.models.locate import Located
from bert_cli.models.weights import check_finite, check_kinds

PAIR_CLASS = "AutoModelForPreTraining"
PAIR_FAMILIES = ("albert", "bert", "ernie", "megatron-bert", "mobilebert")
"""Model types whose pretraining class has a head for pairs of texts beside that for masked words."""

Note = Callable[[str], None]


def _first_line(error: Exception) -> str:
    """An error's type and the first line of its message."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def quiet() -> None:
    """Keep transformers' load reports and bars off the terminal; what matters in them is checked here."""
    from transformers.utils import logging

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer saved in `folder`.

    Raises:
        ModelError: there is none that can be read (L020), or it has no padding token (L021).
    """
    quiet()
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # transformers raises many types for a missing or damaged tokenizer
        raise ModelError(
            "L020",
            f"the tokenizer cannot be read: {_first_line(error)}",
            where=str(folder),
            allowed="tokenizer.json, vocab.txt or a SentencePiece model beside config.json",
            help="name another one with model.tokenizer=FOLDER",
        ) from error
    if len(tokenizer) <= len(tokenizer.all_special_ids):
        # Where the files are missing transformers makes a tokenizer that reads every word as unknown.
        raise ModelError(
            "L020",
            "the tokenizer knows no words",
            where=str(folder),
            found=f"{len(tokenizer)} tokens, all of them special",
            allowed="tokenizer.json, vocab.txt or a SentencePiece model beside config.json",
            help="name another one with model.tokenizer=FOLDER",
        )
    if tokenizer.pad_token_id is None:
        raise ModelError(
            "L021",
            "the tokenizer has no padding token",
            where=str(folder),
            found=listing(f"{role} {token}" for role, token in tokenizer.special_tokens_map.items()) or "none",
            allowed="pad_token in tokenizer_config.json",
            help="name an encoder's tokenizer: model.tokenizer=FOLDER",
        )
    return tokenizer


def load_config(folder: Path, *, dropout: float | None = None) -> Any:
    """The model's configuration, with every dropout replaced where one is given.

    Raises:
        ModelError: transformers does not know the architecture (L022).
    """
    quiet()
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    except Exception as error:  # what a configuration class does with values of another type is its own
        raise ModelError(
            "L022",
            f"transformers cannot read this configuration: {_first_line(error)}",
            where=str(folder / "config.json"),
            help="bertctl doctor shows the installed version of transformers",
        ) from error
    set_dropout(config, dropout)
    return config


def load_model(
    located: Located,
    *,
    auto_class: str,
    labels: Sequence[str] | None = None,
    problem_type: str | None = None,
    reset_head: bool = False,
    need_head: bool = False,
    dropout: float | None = None,
    attention: str = "auto",
    seed: int = 0,
    note: Note = lambda _: None,
) -> torch.nn.Module:
    """The encoder with the head that the task needs, in fp32.

    Args:
        auto_class: name of a `transformers` class, of one family or of all.
        labels: class names in the order of the outputs; one name for regression; None keeps the configuration's.
        reset_head: draw a fresh head even where the checkpoint has one.
        need_head: refuse a checkpoint without one, since random weights score nothing.
        seed: decides the values of new weights.
        note: is told which heads the checkpoint does not have.

    Raises:
        ModelError: weights below the head are missing (L023), of another shape (L024), whole numbers (L013) or not
            finite (L014), or there is no such head for this family (L033).
    """
    import transformers

    config = copy.deepcopy(load_config(located.folder, dropout=dropout))
    if auto_class == PAIR_CLASS:
        check_pair_head(config.model_type, where=str(located.folder))
    _check_head(auto_class, config, where=str(located.folder))
    if labels is not None:
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: i for i, name in enumerate(labels)}
        config.problem_type = problem_type
    check_kinds(located.folder)
    seed_everything(derived_seed(seed, "weights") % 2**32)
    try:
        model, info = getattr(transformers, auto_class).from_pretrained(
            str(located.folder),
            config=config,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            ignore_mismatched_sizes=True,
            dtype=torch.float32,
            **_attention(attention),
        )
    except Exception as error:  # safetensors and transformers raise many types for damaged weights
        raise ModelError(
            "L025",
            f"the weights cannot be loaded: {_first_line(error)}",
            where=str(located.folder),
            help="copy the model again; bertctl doctor shows the versions at work",
        ) from error
    check_loaded(model, info, located.folder, reset_head=reset_head, need_head=need_head)
    if new := new_heads(model, info):
        note(f"new in this model, drawn from the seed: {listing(new)}")
    if reset_head:
        draw_head(model)
    _leave_file(model)
    check_finite(model, located.folder)
    return model  # type: ignore[no-any-return]


def _leave_file(model: torch.nn.Module) -> None:
    """Copy the weights out of the mapped file, whose later change or loss would otherwise reach into the process.

    The first update is faster too: writing to a private mapping costs one page fault for every 4 KiB.
    """
    for parameter in model.parameters():
        parameter.data = parameter.data.clone()


def _attention(name: str) -> dict[str, str]:
    """What transformers is told; it chooses itself where padding is to be dropped afterwards."""
    return {} if name in ("auto", "unpadded") else {"attn_implementation": name}


def new_model(
    settings: Mapping[str, Any],
    *,
    auto_class: str,
    tokenizer: Any,
    seed: int,
    dropout: float | None = None,
    attention: str = "auto",
) -> torch.nn.Module:
    """A model with random weights, for this tokenizer.

    Args:
        settings: `model_type` and any keys of that type's configuration; what the tokenizer says may be overruled.
        auto_class: name of a `transformers` class, of one family or of all.

    Raises:
        UsageError: unknown model_type (L028) or key (L029).
        ModelError: there is no such head for this type (L033).
    """
    quiet()
    import transformers

    config = new_config(settings, tokenizer=tokenizer, dropout=dropout)
    if auto_class == PAIR_CLASS:
        check_pair_head(config.model_type)
    head = getattr(transformers, auto_class)
    make = head.from_config if auto_class.startswith("Auto") else head._from_config
    seed_everything(derived_seed(seed, "weights") % 2**32)
    return make(config, **_attention(attention)).float()  # type: ignore[no-any-return]


def check_pair_head(kind: str, *, where: str | None = None) -> None:
    """Refuse a model type that has no head for pairs of texts.

    Raises:
        ModelError: it has none (L033).
    """
    if kind not in PAIR_FAMILIES:
        raise ModelError(
            "L033",
            f"a model of type {kind} has no head for pairs of texts",
            where=where,
            key="task",
            found=kind,
            allowed=PAIR_FAMILIES,
            help="leave the pairs out: task=fill-mask",
        )


def _check_head(auto_class: str, config: Any, *, where: str) -> None:
    """Refuse a model type for which transformers has no such head (L033)."""
    import transformers

    known = getattr(getattr(transformers, auto_class), "_model_mapping", None)
    if known is None or type(config) in known:
        return
    raise ModelError(
        "L033",
        f"transformers has no head for {auto_class.partition('For')[2] or 'encoding'} on a model of type "
        f"{config.model_type}",
        where=where,
        key="model.name",
        found=config.model_type,
        allowed=", ".join(known._model_mapping),
        help="use another encoder, as google-bert/bert-base-uncased",
    )


def check_fits(model: Any, tokenizer: Any, *, max_length: int, scratch: bool = False) -> None:
    """Refuse a tokenizer with more tokens than the model has embeddings, and lengths beyond its positions.

    Args:
        scratch: the model's sizes are the recipe's, and may be changed there.

    Raises:
        ModelError: too many tokens (L026), or the model cannot tell padding from text (L034).
        UsageError: too long (R032).
    """
    if "attention_mask" not in inspect.signature(model.base_model.forward).parameters:
        raise ModelError(
            "L034",
            "this model cannot tell padding from text, so its answers would depend on the batch",
            key="model.name",
            found=model.config.model_type,
            allowed="an encoder that takes an attention mask",
            help="use another encoder, as google-bert/bert-base-uncased",
        )
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ModelError(
            "L026",
            "the tokenizer has more tokens than the model has embeddings",
            key="model.config.vocab_size" if scratch else "model.tokenizer",
            found=f"{len(tokenizer)} tokens",
            allowed=f"at most {rows}",
            help="leave model.config.vocab_size out: a new model gets an embedding for each token"
            if scratch
            else "use the model's own tokenizer: leave model.tokenizer out",
        )
    room = positions(model)
    if max_length > room:
        raise UsageError(
            "R032",
            "max_length goes beyond the model's positions",
            key="data.max_length",
            found=max_length,
            allowed=f"at most {room}",
            help=f"data.max_length={room}",
        )


def positions(model: Any) -> int:
    """Longest sequence that the model has positions for, tokens."""
    count = getattr(model.config, "max_position_embeddings", None)
    if not count:
        return sys.maxsize
    # RoBERTa-like models count positions from pad_token_id + 1.
    table = next((module for name, module in model.named_modules() if name.endswith("position_embeddings")), None)
    offset = getattr(table, "padding_idx", None)
    return int(count) - (offset + 1 if offset is not None else 0)
