"""From a located folder to a model and tokenizer that fit the task.

Guarantees that every weight below the head comes from the checkpoint, that a head is reused only when its labels are
the task's, and that new weights depend on the seed alone. Loading costs one read of the weights.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from bert_cli.env import derived_seed, seed_everything
from bert_cli.errors import ModelError, UsageError, listing
from bert_cli.models.locate import Located

_DROPOUTS = (
    "hidden_dropout_prob",
    "attention_probs_dropout_prob",
    "dropout",
    "attention_dropout",
    "embedding_dropout",
    "mlp_dropout",
    "classifier_dropout",
    "classifier_dropout_prob",
    "qa_dropout",
    "seq_classif_dropout",
    "pooler_dropout",
)


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
    except (ValueError, KeyError, OSError) as error:
        raise ModelError(
            "L022",
            f"transformers cannot read this configuration: {_first_line(error)}",
            where=str(folder / "config.json"),
            help="bertctl doctor shows the installed version of transformers",
        ) from error
    _set_dropout(config, dropout)
    return config


def _set_dropout(config: Any, dropout: float | None) -> None:
    for name in _DROPOUTS:
        if dropout is not None and hasattr(config, name):
            setattr(config, name, dropout)


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
) -> torch.nn.Module:
    """The encoder with the head that the task needs, in fp32.

    Args:
        auto_class: name of a `transformers` auto class.
        labels: class names in the order of the outputs; one name for regression; None keeps the configuration's.
        reset_head: draw a fresh head even where the checkpoint has one.
        need_head: refuse a checkpoint without one, since random weights score nothing.
        seed: decides the values of new weights.

    Raises:
        ModelError: weights below the head are missing (L023) or of another shape (L024).
    """
    import transformers

    config = copy.deepcopy(load_config(located.folder, dropout=dropout))
    if labels is not None:
        config.id2label = dict(enumerate(labels))
        config.label2id = {name: i for i, name in enumerate(labels)}
        config.problem_type = problem_type
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
    _check_loaded(model, info, located, reset_head=reset_head, need_head=need_head)
    if reset_head:
        _draw_head(model)
    _leave_file(model)
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


def _is_head(model: Any, name: str) -> bool:
    return not name.startswith(f"{model.base_model_prefix}.") or "pooler" in name


def _check_loaded(model: Any, info: dict[str, Any], located: Located, *, reset_head: bool, need_head: bool) -> None:
    absent = sorted(name for name in info["missing_keys"] if _is_head(model, name))
    if absent and need_head:
        raise ModelError(
            "L027",
            "the head of this model is not in its checkpoint",
            where=str(located.folder),
            found=f"missing {listing(absent, 4)}",
            allowed="a model whose head has been trained",
            help="train it first: bertctl finetune, or bertctl pretrain",
        )
    missing = sorted(name for name in info["missing_keys"] if not _is_head(model, name))
    if missing:
        raise ModelError(
            "L023",
            f"{len(missing)} weights of the encoder are not in this checkpoint",
            where=str(located.folder),
            found=f"missing {listing(missing, 4)}",
            allowed="a checkpoint that holds the whole encoder",
            help="copy the model again, or check that config.json belongs to these weights",
        )
    mismatched = [entry[0] if isinstance(entry, (tuple, list)) else str(entry) for entry in info["mismatched_keys"]]
    wrong = [name for name in mismatched if not (reset_head and _is_head(model, name))]
    if wrong:
        raise ModelError(
            "L024",
            "weights of this checkpoint have another shape than its configuration says",
            where=str(located.folder),
            found=listing(wrong, 4),
            help="model.reset_head=true starts a fresh head"
            if all(_is_head(model, name) for name in wrong)
            else "copy the model again",
        )


def _draw_head(model: Any) -> None:
    for name, module in model.named_modules():
        if name and _is_head(model, f"{name}.") and "pooler" not in name and not list(module.children()):
            # transformers marks what it read from a checkpoint, and leaves marked tensors as they are.
            for parameter in module.parameters():
                parameter._is_hf_initialized = False  # type: ignore[attr-defined, unused-ignore]
            model._init_weights(module)


def new_model(
    settings: dict[str, Any],
    *,
    auto_class: str,
    vocab_size: int,
    pad_token_id: int,
    seed: int,
    dropout: float | None = None,
    attention: str = "auto",
) -> torch.nn.Module:
    """A model with random weights.

    Args:
        settings: `model_type` and any keys of that type's configuration.

    Raises:
        UsageError: unknown model_type (L028) or key (L029).
    """
    quiet()
    import transformers
    from transformers import CONFIG_MAPPING, AutoConfig

    settings = {"vocab_size": vocab_size, "pad_token_id": pad_token_id, **settings}
    kind = str(settings.pop("model_type", "bert"))
    if kind not in CONFIG_MAPPING:
        raise UsageError(
            "L028",
            f"transformers has no model type '{kind}'",
            key="model.config.model_type",
            found=kind,
            allowed=sorted(CONFIG_MAPPING),
            help="model.config.model_type=bert",
        )
    known = AutoConfig.for_model(kind).to_dict()
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise UsageError(
            "L029",
            f"the configuration of {kind} has no key '{unknown[0]}'",
            key=f"model.config.{unknown[0]}",
            found=unknown[0],
            allowed=sorted(known),
            help="see the model's configuration page in the transformers documentation",
        )
    seed_everything(derived_seed(seed, "weights") % 2**32)
    config = AutoConfig.for_model(kind, **settings)
    _set_dropout(config, dropout)
    return getattr(transformers, auto_class).from_config(config, **_attention(attention)).float()  # type: ignore[no-any-return]


def check_fits(model: Any, tokenizer: Any, *, max_length: int) -> None:
    """Refuse a tokenizer with more tokens than the model has embeddings, and lengths beyond its positions.

    Raises:
        ModelError: too many tokens (L026).
        UsageError: too long (R032).
    """
    rows = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > rows:
        raise ModelError(
            "L026",
            "the tokenizer has more tokens than the model has embeddings",
            key="model.tokenizer",
            found=f"{len(tokenizer)} tokens",
            allowed=f"at most {rows}",
            help="use the model's own tokenizer: leave model.tokenizer out",
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
