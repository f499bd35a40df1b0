"""Masked language modelling (Devlin et al. 2019, section 3.1).

Masks are a pure function of (seed, epoch, block), so a resumed run sees what the first one saw. Logits are computed at
the
masked positions only: with 15 % masked, the vocabulary layer does a seventh of the work that full logits take.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from bert_cli.data.batch import Batch, pad
from bert_cli.data.store import CHUNK, EncodedChunk, SplitStore
from bert_cli.env import derived_seed
from bert_cli.errors import DataError

MASKED, RANDOM = 0.8, 0.9


class MaskedLanguageModelling:
    """Predict the tokens that were masked.

    Args:
        mask_token_id: stands for a masked token in 80 % of the chosen places; 10 % get a random token, 10 % stay.
        special_ids: never masked and never drawn as random tokens.
        rate: share of the other tokens that is chosen; at least one a block.
    """

    name = "fill-mask"
    auto_class = "AutoModelForMaskedLM"
    weights: Mapping[str, float] = {"loss": 1.0}

    def __init__(
        self,
        *,
        pad_token_id: int,
        mask_token_id: int,
        special_ids: Sequence[int],
        vocab_size: int,
        takes_type_ids: bool,
        rate: float,
        seed: int,
    ) -> None:
        self.pad_token_id = pad_token_id
        self.mask_token_id = mask_token_id
        self.special_ids = np.array(sorted(special_ids))
        self.ordinary_ids = np.setdiff1d(np.arange(vocab_size), self.special_ids)
        self.takes_type_ids = takes_type_ids
        self.rate = rate
        self.seed = seed

    def collate(self, store: SplitStore, rows: np.ndarray, *, epoch: int) -> Batch:
        """Blocks with their masks. Shapes: inputs `[B, L]`, targets and positions `[M]`."""
        masked, places, targets = [], [], []
        for row in rows:
            original = store.input_ids(int(row))
            changed, chosen = self.mask(original, epoch=epoch, row=int(row))
            masked.append(changed)
            places.append(chosen)
            targets.append(original[chosen])
        ids = pad(masked, self.pad_token_id)
        lengths = torch.tensor([len(block) for block in masked])
        inputs = {"input_ids": ids, "attention_mask": (torch.arange(ids.shape[1]) < lengths[:, None]).long()}
        if self.takes_type_ids:
            inputs["token_type_ids"] = torch.zeros_like(ids)
        flat = np.concatenate([place + i * ids.shape[1] for i, place in enumerate(places)])
        return Batch(
            inputs,
            torch.from_numpy(np.concatenate(targets).astype(np.int64)),
            rows,
            int(lengths.sum()),
            positions=torch.from_numpy(flat),
        )

    def mask(self, ids: np.ndarray, *, epoch: int, row: int) -> tuple[np.ndarray, np.ndarray]:
        """Masked ids `[L]` and the places chosen `[M]`, M ≥ 1, of one block."""
        rng = np.random.default_rng(derived_seed(self.seed, "mask", epoch, row))
        candidates = np.flatnonzero(~np.isin(ids, self.special_ids))
        draws = rng.random(len(candidates))
        chosen = candidates[draws < self.rate]
        if not len(chosen):
            chosen = candidates[[int(draws.argmin())]]
        ids = ids.astype(np.int64)
        fate = rng.random(len(chosen))
        ids[chosen[fate < MASKED]] = self.mask_token_id
        random = (fate >= MASKED) & (fate < RANDOM)
        ids[chosen[random]] = rng.choice(self.ordinary_ids, int(random.sum()))
        return ids, chosen

    def counts(self, batch: Batch) -> dict[str, float]:
        """Masked positions."""
        assert batch.targets is not None
        return {"loss": float(batch.targets.numel())}

    def forward(self, model: Any, batch: Batch) -> torch.Tensor:
        """Logits at the masked positions, fp32. Shape: `[M, V]`.

        The hidden states are narrowed between encoder and head, so every family's own head serves unchanged.
        """

        def narrow(_module: Any, _inputs: Any, outputs: Any) -> Any:
            hidden = outputs[0]
            outputs["last_hidden_state"] = hidden.flatten(0, 1)[batch.positions].unsqueeze(0)
            return outputs

        handle = model.base_model.register_forward_hook(narrow)
        try:
            logits: torch.Tensor = model(**batch.inputs).logits
        finally:
            handle.remove()
        return logits.squeeze(0).float()

    def totals(self, outputs: torch.Tensor, batch: Batch) -> dict[str, torch.Tensor]:
        """Summed cross-entropy at the masked positions, nats."""
        assert batch.targets is not None
        return {"loss": functional.cross_entropy(outputs, batch.targets, reduction="sum")}

    def scores(self, outputs: torch.Tensor, batch: Batch) -> np.ndarray:
        """1 where the most probable token is the original one. Shape: `[M]` float32."""
        assert batch.targets is not None
        correct: np.ndarray = outputs.argmax(-1).eq(batch.targets).float().cpu().numpy()
        return correct

    def measure(
        self, scores: np.ndarray, losses: Mapping[str, float], *, targets: Any, scorer: Any, threshold: float | None
    ) -> tuple[dict[str, float], float]:
        """Loss in nats, perplexity and accuracy at the masked positions."""
        return {**losses, "perplexity": math.exp(min(losses["loss"], 700)), "accuracy": float(scores.mean())}, 0.5


def encode_blocks(tokenizer: Any, documents: Sequence[str], *, max_length: int) -> Iterator[EncodedChunk]:
    """Documents as blocks of at most `max_length` tokens; no block crosses a document.

    No token is lost but blocks of special tokens alone (words that the tokenizer does not know), which hold nothing to
    predict.

    Raises:
        DataError: there is nothing else (D085).
    """
    before, after = _around(tokenizer)
    room = max_length - len(before) - len(after)
    special = set(tokenizer.all_special_ids)
    blocks: list[list[int]] = []
    found = False
    for start in range(0, len(documents), CHUNK):
        encoded = tokenizer(
            documents[start : start + CHUNK], add_special_tokens=False, return_attention_mask=False, verbose=False
        )["input_ids"]
        for ids in encoded:
            parts = (ids[at : at + room] for at in range(0, len(ids), room))
            blocks += [[*before, *part, *after] for part in parts if not special.issuperset(part)]
        found = found or bool(blocks)
        while len(blocks) >= CHUNK:
            yield EncodedChunk(blocks[:CHUNK], None, {})
            blocks = blocks[CHUNK:]
    if blocks:
        yield EncodedChunk(blocks, None, {})
    if not found:
        raise DataError(
            "D085",
            "the tokenizer knows no word of these documents",
            key="model.tokenizer",
            found=f"{len(documents)} documents, as {documents[0][:40]!r}",
            allowed="text in the language of the tokenizer",
            help="leave model.name out to train a tokenizer on the corpus, or name another model",
        )


def _around(tokenizer: Any) -> tuple[list[int], list[int]]:
    """The special tokens that the tokenizer puts before and after a text, found on a probe."""
    probe = "a"
    inner = tokenizer(probe, add_special_tokens=False)["input_ids"]
    whole = tokenizer(probe)["input_ids"]
    at = next((i for i in range(len(whole)) if whole[i : i + len(inner)] == inner), 0)
    return whole[:at], whole[at + len(inner) :]
