"""One run's device, arithmetic and processes, and the only holder of an `Accelerator`.

Accelerate prepares only model and optimizer: batches, scheduler and accumulation are the engine's own.
"""

from __future__ import annotations

import ctypes
import platform
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

from bert_cli.env import derived_seed
from bert_cli.errors import ResourceError
from bert_cli.precision import choose_precision

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
    """Device, precision and process group of one run."""

    def __init__(self, *, device: str = "auto", precision: str = "auto", onednn: bool | None = None) -> None:
        import torch

        self.device_type = choose_device(device)
        self.precision = choose_precision(precision, self.device_type, onednn=onednn)
        torch.set_float32_matmul_precision("medium" if self.precision.onednn else "highest")
        if self.device_type == "cpu":
            keep_memory()
        self._accelerator: Any = None

    @property
    def accelerator(self) -> Any:
        """Made on first use: scoring and prediction never need it."""
        if self._accelerator is None:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device_type == "cpu", mixed_precision="no")
        return self._accelerator

    @property
    def device(self) -> torch.device:
        import torch

        return torch.device(self.device_type)

    def prepare(self, module: Any, optimizer: Any) -> tuple[Any, Any]:
        """Model and optimizer, placed on the device."""
        module, optimizer = self.accelerator.prepare(module, optimizer)
        return module, optimizer

    def backward(self, loss: torch.Tensor) -> None:
        """Gradients of one micro-batch, added to those already there."""
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
