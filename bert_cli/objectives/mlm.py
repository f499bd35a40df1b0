"""Masked language modelling (Devlin et al. 2019, section 3.1).

Masks are a pure function of (seed, epoch, row), so a resumed run sees what the first one saw. Logits are computed at
the masked positions only: with 15 % masked, the vocabulary layer does a seventh of the work that full logits take.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch
from bert_cli.data.blocks import BlockStore
from bert_cli.objectives import terms
from bert_cli.objectives.frame import Frame
from bert_cli.objectives.masking import Masked, Masking, Rows, Unit
from bert_cli.objectives.texts import Texts


class MaskedLanguageModelling:
    """Predict the tokens that were masked; the loss term is `mlm`.

    Args:
        frame: special tokens around a text.
        vocab_size, mask_token_id, special_ids, unit, rate, final_rate, masked, random: see `Masking`.
        scoring: report the share of tokens that were predicted right, too.
    """

    name = "fill-mask"

    def __init__(
        self,
        *,
        frame: Frame,
        vocab_size: int,
        mask_token_id: int,
        special_ids: Sequence[int],
        unit: Unit = "token",
        rate: float = 0.15,
        final_rate: float | None = None,
        masked: float = 0.8,
        random: float = 0.1,
        seed: int = 0,
        scoring: bool = False,
    ) -> None:
        self.frame = frame
        self.masking = Masking(
            vocab_size=vocab_size,
            mask_token_id=mask_token_id,
            special_ids=special_ids,
            unit=unit,
            rate=rate,
            final_rate=final_rate,
            masked=masked,
            random=random,
            seed=seed,
        )
        self.scoring = scoring
        self.weights: Mapping[str, float] = terms.weights({"mlm": 1.0}, scoring=scoring)

    def collate(self, store: BlockStore, rows: np.ndarray, *, epochs: np.ndarray, progress: float) -> Batch:
        """Blocks with their masks. Shapes: rows and epochs `[B]`, inputs `[B, L]`, targets and positions `[M]`."""
        content = store.content(rows)
        texts = Texts(content.ids, content.words, content.lengths[:, None])
        return self.batch(texts, self.masking.hide(texts, Rows(rows, epochs), progress=progress), rows)

    def batch(self, texts: Texts, hidden: Masked, rows: np.ndarray) -> Batch:
        """Texts in their frames, with what was hidden of them as targets."""
        laid = self.frame.lay(hidden.ids, texts.lengths)
        return Batch(
            laid.inputs,
            torch.from_numpy(texts.ids[hidden.chosen].astype(np.int64)),
            rows,
            laid.tokens,
            positions=torch.from_numpy(laid.places[hidden.chosen]),
        )

    def counts(self, batch: Batch) -> dict[str, float]:
        """Masked positions."""
        assert batch.targets is not None
        counts = {"mlm": float(batch.targets.numel())}
        return terms.with_accuracy(counts) if self.scoring else counts

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits at the masked positions, fp32. Shape: `[M, V]`."""
        with narrowed(model, batch):
            logits: torch.Tensor = model(**batch.inputs).logits
        return logits.squeeze(0).float()

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy at the masked positions, nats."""
        assert batch.targets is not None
        totals = {"mlm": functional.cross_entropy(outputs, batch.targets, reduction="sum")}
        if self.scoring:
            totals["mlm_accuracy"] = terms.hits(outputs, batch.targets)
        return totals

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """Nothing about whole examples. Shape: `[B, 0]`."""
        return terms.no_scores(batch)

    def ends(self, batch: Batch) -> np.ndarray:
        """One empty line for each row. Shape: `[B]` int64."""
        return np.arange(1, len(batch) + 1)


@contextmanager
def narrowed(model: Any, batch: Batch) -> Iterator[None]:
    """Let the heads of a model see the masked positions alone, as one row `[1, M, H]`.

    The hidden states are narrowed between encoder and head, so every family's own head serves unchanged; a pooler lies
    inside the encoder and still sees the whole.
    """

    def narrow(_module: Any, _inputs: Any, outputs: Any) -> Any:
        outputs["last_hidden_state"] = outputs[0].flatten(0, 1)[batch.positions].unsqueeze(0)
        return outputs

    handle = model.base_model.register_forward_hook(narrow)
    try:
        yield
    finally:
        handle.remove()
