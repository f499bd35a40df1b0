"""From hidden states to one vector for a text, and the files that tell Sentence Transformers how that is done.

The vector is the mean of a text's tokens or its first token, and has length 1. What another library's folder asks for
beyond that is refused, never left out silently.
"""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from bert_cli.errors import ModelError

MODES = {"mean": "mean", "cls": "cls"}
"""What `model.pooling` may say -> what Sentence Transformers calls it."""

_LEGACY = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
_PACKAGE = "sentence_transformers"
_POOLING, _NORMALIZE = "1_Pooling", "2_Normalize"
_UNDERSTOOD = ("Transformer", "Pooling", "Normalize")
_CHANGES_TEXTS = (
    ("config_sentence_transformers.json", "default_prompt_name"),
    ("sentence_bert_config.json", "do_lower_case"),
)
"""Files and their keys that change every text before the tokenizer reads it."""


def pool(hidden: torch.Tensor, attention_mask: torch.Tensor, mode: str) -> torch.Tensor:
    """One vector of length 1 for each text, in fp32 at least.

    Shapes: `[B, L, H]`, `[B, L]` to `[B, H]`.

    Args:
        mode: `mean` of the real tokens, or `cls`, the first one.
    """
    hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
    if mode == "cls":
        pooled = hidden[:, 0]
    else:
        real = attention_mask.unsqueeze(-1).to(hidden.dtype)
        pooled = (hidden * real).sum(1) / real.sum(1).clamp(min=1e-9)
    return functional.normalize(pooled, dim=-1)


def pooling_of(folder: Path | None, asked: str = "auto") -> str:
    """How a model makes one vector of a text: as asked, else as its folder says, else the mean.

    Args:
        folder: the model's; None for a model from scratch.

    Raises:
        ModelError: the folder wants a way that is not known here, or layers of its own (L070).
    """
    if asked != "auto" or folder is None:
        return "mean" if asked == "auto" else asked
    modules = _read(folder / "modules.json") or ()
    kinds = {str(module.get("type")).rpartition(".")[2]: module for module in modules}
    for kind, module in kinds.items():
        if kind not in _UNDERSTOOD:
            raise _not_known(folder / "modules.json", str(module.get("type")))
    for name, key in _CHANGES_TEXTS:
        if value := (_read(folder / name) or {}).get(key):
            raise _not_known(folder / name, f"{key}: {value}")
    file = folder / str(kinds.get("Pooling", {}).get("path", _POOLING)) / "config.json"
    config = _read(file)
    if config is None:
        if "Pooling" in kinds:
            raise _not_known(folder / "modules.json", f"a layer Pooling, without {file.relative_to(folder)}")
        return "mean"
    mode = config.get("pooling_mode", [name for key, name in _LEGACY.items() if config.get(key)])
    modes = [mode] if isinstance(mode, str) else list(mode)
    if len(modes) != 1 or modes[0] not in MODES.values() or not config.get("include_prompt", True):
        raise _not_known(file, ", ".join(map(str, modes)) or "no way of pooling")
    return str(modes[0])


def write_modules(folder: Path, *, width: int, mode: str, max_length: int) -> None:
    """Make a model folder one of Sentence Transformers, which then gives the vectors of `pool`.

    Args:
        width: of the hidden states.
        max_length: longest text, tokens.
    """
    kinds = (("Transformer", ""), ("Pooling", _POOLING), ("Normalize", _NORMALIZE))
    modules = [
        {"idx": i, "name": str(i), "path": path, "type": f"{_PACKAGE}.models.{kind}"}
        for i, (kind, path) in enumerate(kinds)
    ]
    _write(folder / "modules.json", modules)
    # The older keys, which every release since the first one reads.
    flags = {key: name == MODES[mode] for key, name in _LEGACY.items()}
    _write(folder / _POOLING / "config.json", {"word_embedding_dimension": width, **flags, "include_prompt": True})
    (folder / _NORMALIZE).mkdir(exist_ok=True)
    _write(folder / "sentence_bert_config.json", {"max_seq_length": max_length, "do_lower_case": False})
    version = {"transformers": metadata.version("transformers"), "pytorch": metadata.version("torch")}
    about = {"__version__": version, "prompts": {}, "default_prompt_name": None, "similarity_fn_name": "cosine"}
    _write(folder / "config_sentence_transformers.json", about)


def write_ranker(folder: Path) -> None:
    """Tell the `CrossEncoder` of Sentence Transformers to give scores as they are instead of probabilities."""
    file = folder / "config.json"
    config = json.loads(file.read_text(encoding="utf-8"))
    config["sentence_transformers"] = {"activation_fn": "torch.nn.modules.linear.Identity"}
    _write(file, config)


def _read(file: Path) -> Any:
    """What a JSON file holds, None where there is none.

    Raises:
        ModelError: it is damaged (L071).
    """
    if not file.is_file():
        return None
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(
            "L071", f"{file.name} cannot be read: {error}", where=str(file), help="copy the model again"
        ) from error


def _write(file: Path, value: Any) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _not_known(file: Path, found: str) -> ModelError:
    return ModelError(
        "L070",
        "this model makes its vectors in a way that is not known here",
        where=str(file),
        key="model.pooling",
        found=found,
        allowed=f"{' or '.join(MODES)}, no further layers, texts as they are",
        help="model.pooling=mean takes the plain encoder as it is",
    )
