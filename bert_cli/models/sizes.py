"""Named shapes of encoders from scratch: what `model.size` may say.

A name stands for the published configuration without the vocabulary, which is the tokenizer's; where a family has no
published model of that size, it has the shape of the BERT of that size. Importing this costs nothing.
"""

from __future__ import annotations

from bert_cli.errors import UsageError

Setting = bool | int | float | str

_LAYERS_AND_WIDTH = {
    # Turc et al. 2019 (arXiv:1908.08962)
    "tiny": (2, 128),
    "mini": (4, 256),
    "small": (4, 512),
    "medium": (8, 512),
    # Devlin et al. 2019 (arXiv:1810.04805)
    "base": (12, 768),
    "large": (24, 1024),
}


def _layers(layers: int, width: int) -> dict[str, Setting]:
    """The shape that BERT and its kin share: heads of 64, a feed-forward layer four times as wide."""
    return {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "intermediate_size": 4 * width,
    }


def _roberta(layers: int, width: int) -> dict[str, Setting]:
    """Liu et al. 2019 (arXiv:1907.11692): no segments; positions are counted from 2, so 514 hold 512 tokens."""
    own: dict[str, Setting] = {"max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
    return {"model_type": "roberta", **_layers(layers, width), **own}


def _electra(layers: int, width: int, *, embedding: int) -> dict[str, Setting]:
    """The discriminator of Clark et al. 2020 (arXiv:2003.10555); `model.generator` narrows its generator."""
    return {"model_type": "electra", **_layers(layers, width), "embedding_size": embedding}


def _modernbert(layers: int, width: int, inner: int) -> dict[str, Setting]:
    """Warner et al. 2024 (arXiv:2412.13663): gated feed-forward layers, every third layer attends to everything."""
    return {"model_type": "modernbert", **_layers(layers, width), "intermediate_size": inner}


_SIZES: dict[str, dict[str, Setting]] = {
    **{f"bert-{name}": {"model_type": "bert", **_layers(*shape)} for name, shape in _LAYERS_AND_WIDTH.items()},
    **{f"roberta-{name}": _roberta(*shape) for name, shape in _LAYERS_AND_WIDTH.items()},
    "electra-small": _electra(12, 256, embedding=128),
    "electra-base": _electra(12, 768, embedding=768),
    "electra-large": _electra(24, 1024, embedding=1024),
    "modernbert-base": _modernbert(22, 768, 1152),
    "modernbert-large": _modernbert(28, 1024, 2624),
    # Lan et al. 2020 (arXiv:1909.11942): one layer's weights, used 12 times
    "albert-base": {"model_type": "albert", **_layers(12, 768), "embedding_size": 128},
    # Sanh et al. 2019 (arXiv:1910.01108)
    "distilbert-base": {"model_type": "distilbert", "n_layers": 6, "dim": 768, "n_heads": 12, "hidden_dim": 3072},
}


def size_names() -> list[str]:
    """The names that `size_config` knows, family by family, small to large."""
    return list(_SIZES)


def size_config(name: str) -> dict[str, Setting]:
    """The configuration that a name stands for: `model_type` and sizes, as `model.config` would spell them.

    Raises:
        UsageError: no shape has that name (L060).
    """
    if name not in _SIZES:
        raise UsageError(
            "L060",
            f"there is no size '{name}'",
            key="model.size",
            found=name,
            allowed=size_names(),
            help="model.size=bert-mini, or model.config with model_type and sizes of your own",
        )
    return dict(_SIZES[name])
