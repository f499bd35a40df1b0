"""Two parts of a training step on the CPU, computed for less: dropout masks and the gradient of word embeddings.

Torch draws a double for each element that dropout may drop, and clears the rows of the whole vocabulary for the few
that a batch reads. Here four elements share one draw, and only rows that the last step wrote are cleared. On other
devices torch's own ways are taken; for words also where several processes average their gradients, and where the model
scores the vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn import functional

LEVELS = 2**16


def make_cheap(model: Any) -> None:
    """Replace every dropout and the word embedding of a model; weights, their names and saved files stay the same."""
    for name, module in list(model.named_modules()):
        if type(module) is nn.Dropout:
            model.set_submodule(name, Dropout(module.p).train(module.training))
    words = model.get_input_embeddings()
    if type(words) is nn.Embedding and not _has_output_layer(model):
        cheap = Embedding(len(words.weight), words.embedding_dim, words.padding_idx, device="meta")
        cheap.weight = words.weight
        model.set_input_embeddings(cheap)


def _has_output_layer(model: Any) -> bool:
    """Whether the model scores the vocabulary, for which it may read the words and give them a dense gradient.

    Some do so without saying it: the output layer that DeBERTa names is not the matrix that it reads.
    """
    return model.get_output_embeddings() is not None


class Dropout(nn.Dropout):
    """Dropout (Srivastava et al. 2014) with its rate rounded to 1/65,536 and its scale to match."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Shape and type of the result: as `input`."""
        if not self.training or self.p == 0 or input.device.type != "cpu":
            return super().forward(input)
        return input * dropout_mask(input, self.p)


def dropout_mask(like: torch.Tensor, rate: float) -> torch.Tensor:
    """0 where an element is dropped, else 1 ÷ share kept. Shape and type: as `like`."""
    dropped = min(round(rate * LEVELS), LEVELS - 1)
    draws = torch.empty(-(-like.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    levels = draws.view(torch.int16)[: like.numel()].view(like.shape)
    return (levels >= dropped - LEVELS // 2).to(like.dtype).mul_(LEVELS / (LEVELS - dropped))


class Embedding(nn.Embedding):
    """An embedding with one dense gradient for the whole run, of which only rows in use are written and cleared.

    A gradient that the optimizer has let go of (`zero_grad(set_to_none=True)`) is cleared and taken again.
    """

    kept: torch.Tensor | None = None
    written: torch.Tensor | None = None

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Shape of the result: that of `input`, and the hidden size."""
        alone = not torch.distributed.is_initialized() or torch.distributed.get_world_size() == 1
        if alone and torch.is_grad_enabled() and self.weight.requires_grad and self.weight.device.type == "cpu":
            found: torch.Tensor = _Lookup.apply(self.weight, input, self)  # type: ignore[no-untyped-call]
            return found
        return super().forward(input)

    def add_gradient(self, ids: torch.Tensor, gradient: torch.Tensor) -> None:
        """Add to the gradients of rows `ids`, the padding row left out. Shapes: `[N]` and `[N, H]`."""
        if self.kept is None or self.written is None:
            self.kept, self.written = torch.zeros_like(self.weight), torch.zeros(len(self.weight), dtype=torch.bool)
        if self.weight.grad is None:
            self.kept.index_fill_(0, self.written.nonzero().squeeze(1), 0.0)
            self.written.zero_()
            self.weight.grad = self.kept
        if self.padding_idx is not None:
            gradient = gradient.masked_fill((ids == self.padding_idx)[:, None], 0.0)
        # Marked first: a step that memory ends halfway must be cleared too.
        self.written[ids] = True
        self.weight.grad.index_add_(0, ids, gradient)


class _Lookup(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, ids: torch.Tensor, embedding: Embedding) -> torch.Tensor:
        ctx.save_for_backward(ids)
        ctx.embedding = embedding
        return functional.embedding(ids, weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[None, None, None]:
        (ids,) = ctx.saved_tensors
        ctx.embedding.add_gradient(ids.flatten(), gradients[0].flatten(0, -2))
        return None, None, None
