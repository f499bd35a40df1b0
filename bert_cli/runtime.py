"""One run's device, arithmetic and ranks, and the only holder of an `Accelerator`.

Accelerate prepares only model and optimizer: batches, scheduler and accumulation are the engine's own. With one rank
nothing is wrapped; with several, the gradients of all are summed while the last backward pass still runs.
"""

from __future__ import annotations

import ctypes
import os
import platform
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from bert_cli.env import cores, derived_seed
from bert_cli.errors import ResourceError
from bert_cli.precision import Precision, choose_precision
from bert_cli.ranks import Ranks

if TYPE_CHECKING:
    import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


def choose_device(requested: str = "auto") -> str:
    """`cuda` or `cpu`.

    Raises:
        ResourceError: a GPU was asked for where torch sees none (P001).
    """
    import torch

    if requested == "cuda" and not torch.cuda.is_available():
        raise ResourceError(
            "P001",
            "no GPU is visible to torch",
            key="dist.device",
            found="cuda",
            allowed=["auto", "cpu"],
            help="bertctl doctor",
        )
    if requested == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return requested


def keep_memory() -> bool:
    """Let glibc keep freed memory for the next step instead of returning it; whether that was possible.

    A step on the CPU frees and asks again for the same hundreds of MB; without this, a fifth of its time goes into page
    faults. Resident memory stays at its peak.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    libc = ctypes.CDLL(None)
    return bool(libc.mallopt(M_MMAP_MAX, 0) and libc.mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


class Runtime:
    """Device, precision and ranks of one run.

    Args:
        onednn, keep: see `choose_precision`.
        ranks: the other processes of the run; rank 0 chooses the arithmetic for all of them. Default: none.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        precision: str = "auto",
        onednn: bool | None = None,
        ranks: Ranks | None = None,
        keep: bool = True,
    ) -> None:
        import torch

        self.ranks = ranks if ranks is not None else Ranks()
        self.device_type = choose_device(device)
        chosen = choose_precision(precision, self.device_type, onednn=onednn, keep=keep) if self.ranks.is_main else None
        self.precision = Precision(**self.ranks.share(asdict(chosen) if chosen else None))
        torch.set_float32_matmul_precision("medium" if self.precision.onednn else "highest")
        if self.device_type == "cpu":
            keep_memory()
            if "OMP_NUM_THREADS" not in os.environ:
                # Torch sees the cores of the machine, not what the container may use of them.
                torch.set_num_threads(min(torch.get_num_threads(), max(1, int(cores()))))
        self._accelerator: Any = None

    @property
    def accelerator(self) -> Any:
        """Made on first use: scoring and prediction never need it."""
        if self._accelerator is None:
            from accelerate import Accelerator
            from accelerate.utils import DistributedDataParallelKwargs

            # Buffers are constants, the same on every rank; sending them round would be an exchange at every step.
            ranks = DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)
            self._accelerator = Accelerator(
                cpu=self.device_type == "cpu", mixed_precision="no", kwargs_handlers=[ranks]
            )
        return self._accelerator

    @property
    def device(self) -> torch.device:
        import torch

        if self.device_type == "cuda" and self.ranks.world_size > 1:
            return torch.device("cuda", self.ranks.local_rank)
        return torch.device(self.device_type)

    def prepare(self, module: Any, optimizer: Any, *, sample: Callable[[], Any] | None = None) -> tuple[Any, Any]:
        """Model and optimizer, placed on the device.

        Args:
            sample: makes any micro-batch; with several ranks it shows whether a parameter takes no part in the loss,
                which costs a walk through the graph at each step and is only then looked for.
        """
        if self.ranks.world_size > 1 and sample is not None:
            module.to(self.device)
            self.accelerator.ddp_handler.find_unused_parameters = self._leaves_out(module, sample())
        with self.ranks.guarded("comparing models"), warnings.catch_warnings():
            # accelerate knows no newer name of it.
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated", FutureWarning)
            module, optimizer = self.accelerator.prepare(module, optimizer)
        return module, optimizer

    def _leaves_out(self, module: Any, sample: Any) -> bool:
        """Whether the loss of a micro-batch depends on fewer than all trainable parameters."""
        with self.autocast():
            totals = module(sample.to(self.device))
        waiting = [total.grad_fn for total in totals.values()]
        seen, reached = set(waiting), set()
        while waiting:
            node = waiting.pop()
            if hasattr(node, "variable"):
                reached.add(id(node.variable))
            new = [following for following, _ in node.next_functions if following is not None and following not in seen]
            seen.update(new)
            waiting += new
        return any(id(p) not in reached for p in module.parameters() if p.requires_grad)

    def accumulating(self, module: Any, *, last: bool) -> AbstractContextManager[Any]:
        """The region of one micro-batch: gradients stay on this rank until the `last` one of the step."""
        if last or self.ranks.world_size == 1:
            return nullcontext()
        region: AbstractContextManager[Any] = self.accelerator.no_sync(module)
        return region

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of one micro-batch, added to those already there; over several ranks they are summed."""
        if self.ranks.world_size > 1:
            # The wrapper averages over the ranks.
            loss = loss * self.ranks.world_size
        with self.ranks.guarded("summing gradients"):
            self.accelerator.backward(loss)

    def autocast(self) -> AbstractContextManager[Any]:
        """The region in which matrix products run in the run's precision."""
        import torch

        if self.precision.name == "fp32":
            return nullcontext()
        return torch.autocast(self.device_type, dtype=torch.bfloat16)

    def seed(self, *parts: object) -> None:
        """Make what follows (dropout, above all) a pure function of `parts`."""
        import torch

        torch.manual_seed(derived_seed(*parts))
