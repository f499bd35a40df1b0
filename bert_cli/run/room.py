"""Whether a model and its tokenizer go together with what a recipe asks for, found out before a corpus is tokenised.

Looks at configurations alone: the model is built without weights, in some 50 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bert_cli.errors import UsageError
from bert_cli.models.build import check_fits, check_pair_head, load_config
from bert_cli.models.configuration import new_config
from bert_cli.models.locate import Located
from bert_cli.objectives.frame import Frame, has_segments
from bert_cli.objectives.pairs import TERMS
from bert_cli.recipe.schema import Recipe
from bert_cli.run.build import shape_of
from bert_cli.run.find import require_task
from bert_cli.tasks.base import REPLACED

Note = Callable[[str], None]


def check_model(recipe: Recipe, located: Located | None, tokenizer: Any, *, note: Note = lambda _: None) -> None:
    """Refuse a model that has no room for the recipe's lengths or for the tokenizer's vocabulary.

    Args:
        located: where its configuration is; None where the recipe gives one to start from scratch.
        note: is told what a task about pairs has to do without.

    Raises:
        UsageError: a length beyond its positions (R032), an unknown model type (L028) or key (L029) of a configuration.
        ModelError: more tokens than embeddings (L026), no attention mask (L034), no head for pairs of texts (L033).
    """
    import torch
    import transformers

    objective = require_task(recipe).objective
    if located is None:
        kind = {"model_type": "electra"} if objective == REPLACED else {}
        config = new_config({**kind, **shape_of(recipe)}, tokenizer=tokenizer)
    else:
        config = load_config(located.folder)
    make: Any = transformers.AutoModel.from_config
    with torch.device("meta"):
        model = make(config)
    check_fits(model, tokenizer, max_length=recipe.data.max_length, scratch=located is None)
    if objective in TERMS:
        check_pair_head(config.model_type, where=None if located is None else str(located.folder))
        if not has_segments(model):
            note("this model has no segment embeddings: only separators tell the two texts of a pair apart")
        elif "token_type_ids" not in tokenizer.model_input_names:
            note("the tokenizer gives no token_type_ids: 0 and 1 are put in for the texts of a pair, here as in `eval`")


def check_blocks(recipe: Recipe, frame: Frame) -> None:
    """Refuse blocks that have no room for two tokens.

    Raises:
        UsageError: one of the lengths is too small (R034).
    """
    lengths, pair = recipe.data.lengths, require_task(recipe).objective in TERMS
    shortest = min([*lengths, recipe.data.max_length])
    room = frame.room(shortest, pair=pair)
    if room < 2:
        raise UsageError(
            "R034",
            "a block has no room for two tokens beside the special ones",
            key="data.lengths" if lengths else "data.max_length",
            found=shortest,
            allowed=f"at least {2 + shortest - room}",
            help="data.lengths= for one length" if lengths else "data.max_length=128",
        )
