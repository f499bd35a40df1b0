"""The machine as one run sees it: device, arithmetic, seeds, versions.

`choose_precision` decides by measurement, not by CPU flags: a processor may offer bf16 instructions that are slower
than its fp32 ones. Accelerate prepares only model and optimizer; the probe costs about 0.1 s and runs once per process.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import random
import time
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "accelerate",
    "datasets",
    "evaluate",
    "numpy",
    "scikit-learn",
    "safetensors",
)
FASTER = 1.15
EQUAL = 1e-6
PROBE_ROUNDS = 8
M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a run: `fp32` or `bf16` (weights stay fp32), and why."""

    name: str
    reason: str
    onednn: bool = False


@cache
def cpu_flags() -> frozenset[str]:
    """Instruction sets of this processor as Linux names them; empty on other systems."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return frozenset()
    line = next((line for line in text.splitlines() if line.startswith("flags")), "")
    return frozenset(line.partition(":")[2].split())


def cpu_name() -> str:
    """The processor's model name."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        text = ""
    lines = (line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name"))
    return next(lines, platform.processor() or platform.machine())


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that shape a result."""
    found = {"python": platform.python_version()}
    for name in ("bertctl", *PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def cache_dir() -> Path:
    """Where token stores and converted weights are kept: `BERTCTL_CACHE`, else the user's cache folder."""
    given = os.environ.get("BERTCTL_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bertctl"


def derived_seed(*parts: object) -> int:
    """A 63-bit seed that depends on every part and on nothing else."""
    text = ":".join(map(str, parts)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch, for new weights and everything before the first step."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


@cache
def _probe_cpu() -> tuple[float, float, float]:
    """Speed-up of oneDNN's fp32 route, its relative error, and speed-up of bf16, for one linear layer here.

    One thread and the best of alternating rounds: other work on the machine must not decide the arithmetic.
    """
    import torch
    from torch.nn.functional import linear

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(512, 768, generator=generator)
    weight = torch.randn(768, 768, generator=generator)
    routes = {"highest": (x, weight), "medium": (x, weight), "bf16": (x.bfloat16(), weight.bfloat16())}
    best, products = dict.fromkeys(routes, float("inf")), {}
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            for _ in range(PROBE_ROUNDS):
                for name, (left, right) in routes.items():
                    torch.set_float32_matmul_precision("highest" if name == "bf16" else name)
                    start = time.perf_counter()
                    products[name] = linear(left, right)
                    best[name] = min(best[name], time.perf_counter() - start)
    finally:
        torch.set_float32_matmul_precision(precision)
        torch.set_num_threads(threads)
    error = float((products["medium"] - products["highest"]).norm() / products["highest"].norm())
    return best["highest"] / best["medium"], error, best["highest"] / best["bf16"]


def choose_precision(requested: str = "auto", device: str = "cpu", *, onednn: bool | None = None) -> Precision:
    """The arithmetic for this device.

    Args:
        requested: `auto`, `fp32` or `bf16`.
        device: `cpu` or `cuda`.
        onednn: what an earlier process chose for fp32 products, to repeat its numbers exactly; None: by speed. Where
            that route is not true fp32 arithmetic it is never taken.
    """
    import torch

    if device == "cuda":
        if requested == "fp32":
            return Precision("fp32", "asked for")
        supported = torch.cuda.is_bf16_supported(including_emulation=False)
        if requested == "bf16" or supported:
            return Precision("bf16", "asked for" if requested == "bf16" else "this GPU computes bf16 natively")
        return Precision("fp32", "this GPU has no bf16 units")
    speedup, error, half_speedup = _probe_cpu()
    onednn = (speedup >= FASTER if onednn is None else onednn) and error <= EQUAL
    fp32_speed = speedup if onednn else 1.0
    if requested != "auto":
        return Precision(requested, "asked for", onednn=onednn)
    if half_speedup >= FASTER * fp32_speed:
        return Precision(
            "bf16", f"bf16 products run {half_speedup / fp32_speed:.1f}x as fast as fp32 here", onednn=onednn
        )
    route = f", {speedup:.1f}x through oneDNN" if onednn else ""
    return Precision(
        "fp32", f"bf16 products run {half_speedup / fp32_speed:.1f}x as fast as fp32 here{route}", onednn=onednn
    )


def choose_device(requested: str = "auto") -> str:
    """`cuda` or `cpu`.

    Raises:
        ResourceError: a GPU was asked for where torch sees none (P001).
    """
    import torch

    from bert_cli.errors import ResourceError

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
    """Device, precision and process group of one run; the only holder of an `Accelerator`."""

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


def grad_norm(parameters: Iterable[torch.nn.Parameter], max_norm: float | None) -> float:
    """L2 norm of the gradient before clipping; clips in place where `max_norm` is given."""
    import torch

    norm = torch.nn.utils.clip_grad_norm_(parameters, float("inf") if max_norm is None else max_norm)
    return float(norm)
