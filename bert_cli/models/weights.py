"""Whether weights can be trusted: which files they are in before any is opened, what kind of numbers before they are
read, and whether they are finite afterwards.

An index may name anything, and safetensors says nothing of values: nan loads without a complaint. Looking at headers
costs a millisecond, looking at values 20 ms for 110M.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bert_cli.errors import ModelError, listing

INDEX = "model.safetensors.index.json"
MAX_INDEX = 64 << 20
"""Bytes; an index of 100,000 tensors has some 10 MB."""


def check_shards(index: Path) -> None:
    """Refuse an index that names anything but plain files of its folder.

    Raises:
        ModelError: the index cannot be read (L009), or names something else (L010).
    """
    try:
        size = index.stat().st_size
        if size > MAX_INDEX:
            raise ValueError(f"{size} bytes")
        names = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise ModelError(
            "L009", "the index of the weights cannot be read", where=str(index), help="copy the model again"
        ) from error
    for name in names:
        if not (isinstance(name, str) and name.endswith(".safetensors") and _is_beside(index.parent, name)):
            raise ModelError(
                "L010",
                "the index of the weights names something that is not a shard of this folder",
                where=str(index),
                found=name,
                allowed="names of .safetensors files beside the index",
                help="copy the model again from a source you trust",
            )


def _is_beside(folder: Path, name: str) -> bool:
    """Whether `name` is a file of `folder`; a link counts where it stays inside, or is one of the hub's own cache."""
    try:
        if Path(name).name != name or not (folder / name).is_file():
            return False
        real, home = (folder / name).resolve(), folder.resolve()
    except (OSError, ValueError):
        return False
    blobs = home.parent.parent / "blobs"
    return home in real.parents or (home.parent.name == "snapshots" and blobs in real.parents)


def check_kinds(folder: Path) -> None:
    """Refuse weights that are whole numbers, which would be taken for fractions; damaged files are left to the reader.

    Raises:
        ModelError: some are (L013).
    """
    from safetensors import SafetensorError, safe_open

    header: Any = safe_open
    odd: list[str] = []
    for file in sorted(folder.glob("*.safetensors")):
        try:
            with header(str(file), "pt") as tensors:
                names: list[str] = tensors.keys()
                kinds = {name: str(tensors.get_slice(name).get_dtype()) for name in names}
        except (SafetensorError, OSError):
            continue
        # Buffers such as position_ids are counted in whole numbers rightly.
        odd += [
            f"{name} {kind}"
            for name, kind in sorted(kinds.items())
            if name.endswith((".weight", ".bias")) and not kind.startswith(("F", "BF"))
        ]
    if odd:
        raise ModelError(
            "L013",
            "these weights are not fractional numbers",
            where=str(folder),
            found=listing(odd, 4),
            allowed="F32, F16 or BF16; quantised weights are not for training",
            help="use the model as it was before quantisation",
        )


def check_finite(model: Any, folder: Path) -> None:
    """Refuse a model of which a weight is nan or infinite: every answer and every loss would be too.

    Raises:
        ModelError: some are (L014).
    """
    import torch

    wrong = [name for name, value in model.named_parameters() if not torch.isfinite(value.sum(dtype=torch.float64))]
    if wrong:
        raise ModelError(
            "L014",
            f"{len(wrong)} of the tensors of this model hold numbers that are not finite",
            where=str(folder),
            found=listing(wrong, 4),
            allowed="finite weights",
            help="copy the model again, or take a checkpoint from before its training went wrong",
        )
