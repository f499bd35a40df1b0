"""The arithmetic of a run, chosen by measurement and not by CPU flags.

A processor may offer bf16 instructions that are slower than its fp32 ones. The probe costs about 0.2 s; its answer is
kept in the cache for this processor and this torch, so that the next run on the machine chooses the same.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from bert_cli.env import cache_dir, cpu_flags, cpu_name, versions
from bert_cli.files import publish

FASTER = 1.15
EQUAL = 1e-6
PROBE_ROUNDS = 8


@dataclass(frozen=True)
class Precision:
    """The arithmetic of a run: `fp32` or `bf16` (weights stay fp32), and why."""

    name: str
    reason: str
    onednn: bool = False


@dataclass(frozen=True)
class Probe:
    """What one linear layer told about this processor.

    Attributes:
        onednn: speed of fp32 through oneDNN, relative to torch's own fp32.
        error: relative error of that route, L2.
        bf16: speed of bf16, relative to torch's own fp32.
    """

    onednn: float
    error: float
    bf16: float


def choose_precision(
    requested: str = "auto", device: str = "cpu", *, onednn: bool | None = None, keep: bool = True
) -> Precision:
    """The arithmetic for this device.

    Args:
        requested: `auto`, `fp32` or `bf16`.
        device: `cpu` or `cuda`.
        onednn: what an earlier process chose for fp32 products, to repeat its numbers exactly; None: by speed. Where
            that route is not true fp32 arithmetic it is never taken.
        keep: leave the probe's answer in the cache.
    """
    if device == "cuda":
        return _on_gpu(requested)
    probe = probe_cpu(keep=keep)
    onednn = (probe.onednn >= FASTER if onednn is None else onednn) and probe.error <= EQUAL
    speedup = probe.bf16 / (probe.onednn if onednn else 1.0)
    if requested != "auto":
        return Precision(requested, "asked for", onednn=onednn)
    reason = f"bf16 products run {speedup:.1f}x as fast as fp32 here"
    if speedup >= FASTER:
        return Precision("bf16", reason, onednn=onednn)
    return Precision("fp32", reason + (f", {probe.onednn:.1f}x through oneDNN" if onednn else ""), onednn=onednn)


def _on_gpu(requested: str) -> Precision:
    import torch

    if requested == "fp32":
        return Precision("fp32", "asked for")
    if requested == "bf16":
        return Precision("bf16", "asked for")
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Precision("bf16", "this GPU computes bf16 natively")
    return Precision("fp32", "this GPU has no bf16 units")


def probe_cpu(*, keep: bool = True) -> Probe:
    """The answer kept for this processor and torch, or a new one; a cache that cannot be written is done without."""
    file = cache_dir() / "cpu" / f"{_machine()}.json"
    try:
        return Probe(**json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        found = _measure()
    if not keep:
        return found
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        publish(file, json.dumps(asdict(found)))
    except OSError:
        return found
    return found


def _machine() -> str:
    parts: Iterable[str] = (cpu_name(), *sorted(cpu_flags()), versions()["torch"])
    return hashlib.blake2b(" ".join(parts).encode(), digest_size=8).hexdigest()


def _measure() -> Probe:
    """One thread and the best of alternating rounds: other work on the machine must not decide the arithmetic."""
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
    return Probe(best["highest"] / best["medium"], error, best["highest"] / best["bf16"])
