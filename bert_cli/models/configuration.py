"""The configuration of a model from scratch: sizes are the recipe's, vocabulary and special tokens the tokenizer's.

A key that the family does not have is refused, so that no spelling mistake trains another model than was asked for.
Needs transformers, and no weights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bert_cli.errors import UsageError

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

# Who may stand in for a special token that a tokenizer does not have, as BERT's separator ends its texts.
_SPECIAL = {
    "mask": ("mask",),
    "cls": ("cls", "bos"),
    "sep": ("sep", "eos"),
    "bos": ("bos", "cls"),
    "eos": ("eos", "sep"),
}


def new_config(settings: Mapping[str, Any], *, tokenizer: Any, dropout: float | None = None) -> Any:
    """The configuration of a model from scratch: vocabulary and special tokens are the tokenizer's.

    Raises:
        UsageError: unknown model_type (L028) or key (L029).
    """
    from transformers import CONFIG_MAPPING, AutoConfig

    kind = str(settings.get("model_type", "bert"))
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
    special = {name: value for name, value in _special_ids(tokenizer).items() if known.get(name) is not None}
    own = {name: value for name, value in settings.items() if name != "model_type"}
    config = AutoConfig.for_model(
        kind, **{"vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id, **special, **own}
    )
    set_dropout(config, dropout)
    return config


def _special_ids(tokenizer: Any) -> dict[str, int | None]:
    """Ids of special tokens by their configuration keys (`cls_token_id`); None where the tokenizer has no such token.

    The defaults of a family are those of its own vocabulary, and may lie beyond a smaller one.
    """
    found = {role: getattr(tokenizer, f"{role}_token_id", None) for role in _SPECIAL}
    return {
        f"{role}_token_id": next((found[other] for other in others if found[other] is not None), None)
        for role, others in _SPECIAL.items()
    }


def set_dropout(config: Any, dropout: float | None) -> None:
    """Replace every dropout of a configuration by one rate; None leaves them."""
    for name in _DROPOUTS:
        if dropout is not None and hasattr(config, name):
            setattr(config, name, dropout)
