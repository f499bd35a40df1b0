"""ELECTRA's two networks as one model: a small generator and the encoder that is kept (Clark et al. 2020).

Both read their words through the same embeddings module, so what one learns about words the other knows. Each is a
plain Hugging Face model, saved in a folder of its own. At a quarter of the width the matrices of a generator's layers
cost a sixteenth of the discriminator's.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from bert_cli.env import derived_seed, seed_everything
from bert_cli.errors import ModelError, UsageError
from bert_cli.models.build import Note, load_config, load_model, new_model
from bert_cli.models.locate import DISCRIMINATOR, GENERATOR, locate

_ALIKE = ("vocab_size", "embedding_size", "max_position_embeddings", "type_vocab_size")


class ElectraPair(torch.nn.Module):
    """Generator and discriminator with shared embeddings.

    Args:
        generator: `ElectraForMaskedLM`; its embeddings are replaced by the discriminator's.
        discriminator: `ElectraForPreTraining`.
    """

    base_model_prefixes = (f"{DISCRIMINATOR}.electra", f"{GENERATOR}.electra")

    def __init__(self, generator: Any, discriminator: Any) -> None:
        super().__init__()
        # The first one lends the shared tensors their names.
        self.discriminator = discriminator
        self.generator = generator
        generator.electra.embeddings = discriminator.electra.embeddings
        generator.tie_weights()

    @property
    def config(self) -> Any:
        """The discriminator's configuration."""
        return self.discriminator.config

    @property
    def base_model(self) -> Any:
        """The encoder that is kept."""
        return self.discriminator.base_model

    def get_input_embeddings(self) -> Any:
        """The word embeddings of both."""
        return self.discriminator.get_input_embeddings()

    def get_output_embeddings(self) -> Any:
        """The generator's layer over the vocabulary."""
        return self.generator.get_output_embeddings()

    def save_pretrained(self, folder: str | Path) -> None:
        """Write `generator/` and `discriminator/`, two plain model folders."""
        for name in (GENERATOR, DISCRIMINATOR):
            getattr(self, name).save_pretrained(str(Path(folder) / name))


def parts(model: torch.nn.Module) -> tuple[Any, ...]:
    """The networks of a model that have an encoder each: two of an `ElectraPair`, else the model itself."""
    return (model.generator, model.discriminator) if isinstance(model, ElectraPair) else (model,)


def new_electra(
    settings: Mapping[str, Any],
    *,
    tokenizer: Any,
    generator: float,
    seed: int,
    dropout: float | None = None,
    attention: str = "auto",
) -> ElectraPair:
    """Both networks with random weights.

    Args:
        settings: keys of `ElectraConfig` for the discriminator.
        generator: width of the generator as a share of the discriminator's.

    Raises:
        UsageError: another model type (L035), or an unknown key (L029).
    """
    kind = settings.get("model_type", "electra")
    if kind != "electra":
        raise UsageError(
            "L035",
            "replaced-token detection trains ELECTRA models",
            key="model.config.model_type",
            found=kind,
            allowed="electra",
            help="model.config.model_type=electra",
        )
    discriminator: Any = new_model(
        {**settings, "model_type": "electra"},
        auto_class="ElectraForPreTraining",
        tokenizer=tokenizer,
        seed=seed,
        dropout=dropout,
        attention=attention,
    )
    return ElectraPair(_new_generator(discriminator, generator, seed=seed), discriminator)


def load_electra(
    folder: Path,
    *,
    generator: float,
    trained: bool = False,
    dropout: float | None = None,
    attention: str = "auto",
    seed: int = 0,
    note: Note = lambda _: None,
) -> ElectraPair:
    """Both networks from a folder with `generator/` and `discriminator/`, or from the latter alone.

    Args:
        folder: holds both, or is the discriminator's own, with or without the generator's beside it.
        generator: width of a new generator, where there is none.
        trained: refuse to draw anything.
        note: is told what is new.

    Raises:
        ModelError: no ELECTRA model (L036), no generator though `trained` (L037), or one that does not fit (L038); and
            those of `load_model`.
    """
    options: dict[str, Any] = {
        "dropout": dropout,
        "attention": attention,
        "seed": seed,
        "need_head": trained,
        "note": note,
    }
    kept = folder / DISCRIMINATOR if (folder / DISCRIMINATOR / "config.json").is_file() else folder
    _check_kind(kept)
    discriminator: Any = load_model(locate(str(kept)), auto_class="ElectraForPreTraining", **options)
    beside = kept.parent / GENERATOR
    if kept.name == DISCRIMINATOR and (beside / "config.json").is_file():
        _check_kind(beside)
        small: Any = load_model(locate(str(beside)), auto_class="ElectraForMaskedLM", **options)
        _check_alike(small.config, discriminator.config, beside)
        if not torch.equal(small.get_input_embeddings().weight, discriminator.get_input_embeddings().weight):
            note("the generator reads words through the discriminator's embeddings now, its own were others")
        return ElectraPair(small, discriminator)
    if trained:
        raise ModelError(
            "L037",
            "there is no generator beside this discriminator, so its replacements cannot be made",
            where=str(kept),
            allowed="a folder that holds generator/ and discriminator/",
            help="name the folder that `bertctl pretrain` published",
        )
    note(f"the generator is new: there is none beside {kept}")
    return ElectraPair(_new_generator(discriminator, generator, seed=seed), discriminator)


def _check_kind(folder: Path) -> None:
    kind = load_config(folder).model_type
    if kind != "electra":
        raise ModelError(
            "L036",
            "replaced-token detection goes on from ELECTRA models only",
            where=str(folder),
            key="model.name",
            found=kind,
            allowed="electra",
            help="model.name=google/electra-small-discriminator, or leave it out to start from scratch",
        )


def _check_alike(generator: Any, discriminator: Any, folder: Path) -> None:
    """Refuse a generator whose embeddings have another shape than the discriminator's."""
    sizes = {name: (getattr(generator, name), getattr(discriminator, name)) for name in _ALIKE}
    odd = [f"{name} {one}, discriminator's {other}" for name, (one, other) in sizes.items() if one != other]
    if odd:
        raise ModelError(
            "L038",
            "generator and discriminator cannot share their embeddings",
            where=str(folder),
            found="; ".join(odd),
            allowed="the same sizes in both config.json",
            help="leave generator/ out, and a new one is made",
        )


def _new_generator(discriminator: Any, share: float, *, seed: int) -> Any:
    """A generator of a share of the discriminator's width, as deep, with weights drawn from the seed."""
    from transformers import ElectraForMaskedLM

    config = copy.deepcopy(discriminator.config)
    config.num_attention_heads = max(1, round(config.num_attention_heads * share))
    # Heads divide the width among them.
    config.hidden_size = config.num_attention_heads * max(
        1, round(config.hidden_size * share / config.num_attention_heads)
    )
    config.intermediate_size = max(1, round(config.intermediate_size * share))
    config.architectures = None
    seed_everything(derived_seed(seed, "generator weights") % 2**32)
    make: Any = ElectraForMaskedLM._from_config
    return make(config, attn_implementation=config._attn_implementation).float()
