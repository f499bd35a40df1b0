"""Learning from raw text: masked words, pairs of texts, replaced tokens."""

from __future__ import annotations

from typing import Any

from bert_cli.data.split import Split
from bert_cli.families.base import Answers, Family, Head, Plain, Reading
from bert_cli.metrics import Scorer
from bert_cli.objectives import terms
from bert_cli.objectives.base import Objective
from bert_cli.objectives.electra import ReplacedTokenDetection
from bert_cli.objectives.frame import Frame
from bert_cli.objectives.mlm import MaskedLanguageModelling
from bert_cli.objectives.pairs import SentencePairs
from bert_cli.recipe.schema import MaskSection
from bert_cli.train.evaluate import Scored


class PretrainingFamily(Family):
    """MLM, MLM with NSP or SOP, and replaced-token detection."""

    def __init__(self, head: Head) -> None:
        self.head = head

    def objective(
        self, reading: Reading, *, takes_type_ids: bool, training: bool = False, train: Split | None = None
    ) -> Objective:
        """What is hidden while training is the recipe's affair; scores of all recipes hide the same."""
        recipe, tokenizer = reading.recipe, reading.tokenizer
        mask = recipe.mask if training else MaskSection(rate=recipe.eval.mask_rate, rtd_weight=recipe.mask.rtd_weight)
        given: dict[str, Any] = {
            "frame": Frame.of(tokenizer, takes_type_ids=takes_type_ids),
            "vocab_size": len(tokenizer),
            "mask_token_id": tokenizer.mask_token_id,
            "special_ids": tokenizer.all_special_ids,
            "unit": mask.unit,
            "rate": mask.rate,
            "final_rate": mask.final_rate,
            "masked": mask.masked,
            "random": mask.random,
            # Runs of different seeds are scored on the same masks.
            "seed": recipe.train.seed if training else 0,
            "scoring": not training,
        }
        name = reading.task.objective
        if name == ReplacedTokenDetection.name:
            return ReplacedTokenDetection(**given, rtd_weight=mask.rtd_weight)
        if name == MaskedLanguageModelling.name:
            return MaskedLanguageModelling(**given)
        return SentencePairs(name, **given)

    def answers(
        self, split: Split, scored: Scored, reading: Reading, *, threshold: float | None, scorer: Scorer | None = None
    ) -> Answers:
        """Loss, perplexity and hit rates; no text has an answer of its own."""
        weights = {name: reading.recipe.mask.rtd_weight if name == "rtd" else 1.0 for name in scored.losses}
        return Plain(len(split), terms.measured(scored.losses, weights))


MASKED = PretrainingFamily(Head("AutoModelForMaskedLM", "ForMaskedLM", "masked words", named=False))
PAIRED = PretrainingFamily(Head("AutoModelForPreTraining", "ForPreTraining", "masked words and pairs", named=False))
