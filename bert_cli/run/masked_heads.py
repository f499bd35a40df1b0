"""Whether a model can say how likely a word is that it does not see, told from its configuration and tokenizer."""

from __future__ import annotations

from typing import Any

from bert_cli.errors import ModelError
from bert_cli.models.build import load_tokenizer
from bert_cli.models.locate import Located

_DISCRIMINATORS = ("electra", "funnel")
"""Families whose pretraining head tells replaced tokens from others and predicts none."""


def check_masked_head(located: Located, *, task: str) -> None:
    """Refuse a model whose configuration names another head.

    Raises:
        ModelError: it does (L045).
    """
    config = located.config
    names = [str(name) for name in config.get("architectures") or ()]
    heads: tuple[str, ...] = ("ForMaskedLM", "WithLMHeadModel")
    if config.get("model_type") not in _DISCRIMINATORS:
        heads += ("ForPreTraining",)
    if not names or any(name.endswith(heads) for name in names):
        return
    generators = [folder / "generator" for folder in (located.folder, located.folder.parent)]
    generator = next((folder for folder in generators if (folder / "config.json").is_file()), None)
    raise ModelError(
        "L045",
        "this model has no head that predicts masked words",
        where=str(located.folder),
        found=", ".join(names),
        allowed="a model of `bertctl pretrain`, or any …ForMaskedLM",
        help=f"score its generator: bertctl eval {generator} --task {task}"
        if generator is not None
        else f"bertctl pretrain --model {located.name} --data CORPUS trains such a head",
    )


def masking_tokenizer(located: Located, masking: str) -> Any:
    """The model's tokenizer.

    Args:
        masking: one of `MASKINGS` of `bert_cli.run.minimal_pairs`; `word` needs to know where words begin.

    Raises:
        ModelError: no mask token (L046), no word boundaries (L047), and see `load_tokenizer`.
    """
    tokenizer = load_tokenizer(located.folder)
    if tokenizer.mask_token_id is None:
        raise ModelError(
            "L046",
            "the tokenizer has no mask token",
            where=str(located.folder),
            found=", ".join(tokenizer.all_special_tokens),
            allowed="mask_token in tokenizer_config.json",
            help="name a masked language model that has its own tokenizer beside it",
        )
    if masking == "word" and not tokenizer.is_fast:
        raise ModelError(
            "L047",
            "this tokenizer does not say where words begin",
            where=str(located.folder),
            key="--masking",
            found=type(tokenizer).__name__,
            allowed="a tokenizer that can be saved as tokenizer.json",
            help="--masking token",
        )
    return tokenizer
