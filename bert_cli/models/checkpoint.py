"""What a checkpoint gave to a model and what it did not: everything below the head must be there, in its shape.

transformers fills what is missing with random weights and goes on; here that is allowed for a head alone, and said.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bert_cli.errors import ModelError, listing

# Parts of the names of new weights, and what users call the head that they belong to.
_HEADS = {
    "seq_relationship": "the head for pairs",
    "sop_classifier": "the head for pairs",
    "discriminator_predictions": "the head for replaced tokens",
    "pooler": "the pooler",
    "classifier": "the classifier",
}


def is_head(model: Any, name: str) -> bool:
    """Whether a weight belongs to what stands above the encoder; a pooler does, and alone where there is no head."""
    bare = model.base_model is model
    return "pooler" in name or not bare and not name.startswith(f"{model.base_model_prefix}.")


def check_loaded(model: Any, info: dict[str, Any], folder: Path, *, reset_head: bool, need_head: bool) -> None:
    """Refuse weights that are not all there.

    Args:
        info: what `from_pretrained` says about missing and mismatched weights.
        reset_head: a head of another shape will be drawn anew.
        need_head: a head that is not in the checkpoint is refused too.

    Raises:
        ModelError: the head is missing (L027), weights below it are (L023), or some have another shape (L024).
    """
    absent = sorted(name for name in info["missing_keys"] if is_head(model, name))
    if absent and need_head:
        raise ModelError(
            "L027",
            "the head of this model is not in its checkpoint",
            where=str(folder),
            found=f"missing {listing(absent, 4)}",
            allowed="a model whose head has been trained",
            help="train it first: bertctl finetune, or bertctl pretrain",
        )
    missing = sorted(name for name in info["missing_keys"] if not is_head(model, name))
    if missing:
        raise ModelError(
            "L023",
            f"{len(missing)} weights of the encoder are not in this checkpoint",
            where=str(folder),
            found=f"missing {listing(missing, 4)}",
            allowed="a checkpoint that holds the whole encoder",
            help="copy the model again, or check that config.json belongs to these weights",
        )
    mismatched = sorted(
        entry[0] if isinstance(entry, (tuple, list)) else str(entry) for entry in info["mismatched_keys"]
    )
    wrong = [name for name in mismatched if not (reset_head and is_head(model, name))]
    if wrong:
        raise ModelError(
            "L024",
            "weights of this checkpoint have another shape than its configuration says",
            where=str(folder),
            found=listing(wrong, 4),
            help="model.reset_head=true starts a fresh head"
            if all(is_head(model, name) for name in wrong)
            else "copy the model again",
        )


def new_heads(model: Any, info: dict[str, Any]) -> list[str]:
    """What users call the heads that are not in a checkpoint."""
    rest = "the head" if model.get_output_embeddings() is None else "the head for masked words"
    absent = sorted(name for name in info["missing_keys"] if is_head(model, name))
    return list(dict.fromkeys(next((head for part, head in _HEADS.items() if part in name), rest) for name in absent))


def draw_head(model: Any) -> None:
    """Draw a fresh head, the pooler left as it is."""
    for name, module in model.named_modules():
        if name and is_head(model, f"{name}.") and "pooler" not in name and not list(module.children()):
            # transformers marks what it read from a checkpoint, and leaves marked tensors as they are.
            for parameter in module.parameters():
                parameter._is_hf_initialized = False  # type: ignore[attr-defined, unused-ignore]
            model._init_weights(module)
