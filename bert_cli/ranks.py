"""The processes of one run as one of them sees the others: few, small, typed exchanges.

Sums and gathers are collectives: all ranks call them at the same point, within `dist.timeout`. What rank 0 decides or
does alone (tokenising, saving, choosing) goes through the store instead, where the others wait as long as it takes.
One rank exchanges nothing and has no process group.
"""

from __future__ import annotations

import json
import os
import socket
import struct
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

from bert_cli.errors import RankError, ResourceError
from bert_cli.launch import ALONE, Place

if TYPE_CHECKING:
    import torch

PATIENCE = timedelta(days=30)
ADDRESS_OF_INTERFACE = 0x8915


@dataclass(frozen=True)
class Gathered:
    """What one rank gave to `Ranks.gather`."""

    value: Any
    arrays: list[np.ndarray]


class Ranks:
    """This process among the ranks of its run; use it as a context manager.

    Args:
        place: which rank this is; one without others by default.
        device: `cpu` or `cuda`; gradients travel over gloo or NCCL, everything else over gloo.
        timeout: seconds that a collective may take.

    Raises:
        ResourceError: more ranks on this machine than GPUs (P002).
        RankError: the other ranks did not come in time (G003).
    """

    def __init__(self, place: Place = ALONE, *, device: str = "cpu", timeout: float = 600.0) -> None:
        self.place = place
        self.rank, self.world_size, self.local_rank = place.rank, place.world_size, place.local_rank
        self.timeout = timeout
        self._said = self._entered = 0
        self._store: Any = None
        if self.world_size > 1:
            self._meet(device)

    @property
    def is_main(self) -> bool:
        """Whether this is rank 0, which alone touches the run folder and speaks."""
        return self.rank == 0

    def __enter__(self) -> Ranks:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.world_size == 1:
            return
        import torch

        # NCCL waits for ranks that may be gone; the end of the process frees what it holds.
        if error is None or torch.distributed.get_backend() == "gloo":
            torch.distributed.destroy_process_group()

    def share(self, value: Any) -> Any:
        """Rank 0's value, which JSON can hold; the others' is not looked at. They wait for it without limit."""
        if self.world_size == 1:
            return value
        self._said += 1
        key = f"said/{self._said}"
        with self.guarded("waiting for rank 0"):
            if self.is_main:
                self._store.set(key, json.dumps(value))
            self._store.wait([key], PATIENCE)
            return json.loads(self._store.get(key))

    @contextmanager
    def machine_by_machine(self) -> Iterator[None]:
        """Inside the block, the first rank of each machine goes before the others of that machine.

        All ranks enter it equally often.
        """
        self._entered += 1
        key = f"first/{self.rank - self.local_rank}/{self._entered}"
        if self.world_size > 1 and self.local_rank > 0:
            with self.guarded("waiting for the first rank of this machine"):
                self._store.wait([key], PATIENCE)
        yield
        if self.world_size > 1 and self.local_rank == 0:
            self._store.set(key, "done")

    def sum(self, values: Mapping[str, float]) -> dict[str, float]:
        """Each value added over all ranks, which must name the same ones in the same order."""
        if self.world_size == 1:
            return dict(values)
        import torch

        total = torch.tensor(list(values.values()), dtype=torch.float64)
        with self.guarded("adding up the step"):
            torch.distributed.all_reduce(total)
        return dict(zip(values, total.tolist(), strict=True))

    def gather(self, value: Any, arrays: Sequence[np.ndarray]) -> list[Gathered]:
        """What every rank gave, in the order of ranks, on every rank.

        Args:
            value: whatever JSON can hold.
            arrays: numbers of any shape and type; other ranks may give others, or none.
        """
        if self.world_size == 1:
            return [Gathered(value, list(arrays))]
        head = json.dumps([value, [[array.dtype.str, array.shape] for array in arrays]]).encode()
        own = b"".join([struct.pack("<q", len(head)), head, *(np.ascontiguousarray(a).tobytes() for a in arrays)])
        return [_unpacked(each) for each in self._gather_bytes(own)]

    def _gather_bytes(self, own: bytes) -> list[bytes]:
        import torch

        size = torch.tensor([len(own)])
        sizes = [torch.empty_like(size) for _ in range(self.world_size)]
        with self.guarded("gathering scores"):
            torch.distributed.all_gather(sizes, size)
            longest = max(int(each) for each in sizes)
            padded = torch.zeros(longest, dtype=torch.uint8)
            padded[: len(own)] = torch.frombuffer(bytearray(own), dtype=torch.uint8)
            found = [torch.empty_like(padded) for _ in range(self.world_size)]
            torch.distributed.all_gather(found, padded)
        return [each[: int(length)].numpy().tobytes() for each, length in zip(found, sizes, strict=True)]

    def share_tensors(self, tensors: Mapping[str, torch.Tensor] | None) -> dict[str, torch.Tensor]:
        """Rank 0's tensors, by name; the others give None."""
        if self.world_size == 1:
            assert tensors is not None
            return dict(tensors)
        import torch

        shapes = [[n, str(t.dtype).removeprefix("torch."), list(t.shape)] for n, t in (tensors or {}).items()]
        found = {}
        for name, dtype, shape in self.share(shapes):
            new = torch.empty(shape, dtype=getattr(torch, dtype)) if tensors is None else tensors[name].contiguous()
            with self.guarded("handing out the checkpoint"):
                torch.distributed.broadcast(new.reshape(-1).view(torch.uint8), 0)
            found[name] = new
        return found

    @contextmanager
    def guarded(self, what: str) -> Iterator[None]:
        """Tell a lost rank from other errors.

        Raises:
            RankError: another rank is gone, or did not come within the timeout (G003).
        """
        try:
            yield
        except (RuntimeError, ConnectionError) as error:
            if self.world_size == 1 or not _is_loss(error):
                raise
            raise RankError(
                "G003",
                f"rank {self.rank} lost the other ranks while {what}",
                key="dist.timeout",
                found=(str(error).splitlines() or [type(error).__name__])[-1],
                allowed=f"an answer of all {self.world_size} ranks within {self.timeout:g} s",
                help="see how the other ranks ended; the same command with --resume auto goes on",
            ) from error

    def _meet(self, device: str) -> None:
        import torch

        # Its stores are compiled, and not declared.
        distributed: Any = torch.distributed
        # accelerate looks there for the ranks, whoever started them.
        os.environ |= self.place.environment()
        timeout = timedelta(seconds=self.timeout)
        if device == "cuda":
            _check_gpus(self.place, torch.cuda.device_count())
            torch.cuda.set_device(self.local_rank)
        with self.guarded("meeting them"):
            if self.place.meeting.startswith("tcp://"):
                address = urlsplit(self.place.meeting)
                host, port = str(address.hostname), int(address.port or 0)
                os.environ.setdefault("MASTER_ADDR", host)
                os.environ.setdefault("MASTER_PORT", str(port))
                leads = self.is_main and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
                _use_interface(host)
                self._store = distributed.TCPStore(
                    host, port, self.world_size, is_master=leads, timeout=timeout, multi_tenant=True
                )
            else:
                _use_interface("127.0.0.1")
                self._store = distributed.FileStore(self.place.meeting, self.world_size)
                self._store.set_timeout(timeout)
            distributed.init_process_group(
                backend="cpu:gloo,cuda:nccl" if device == "cuda" else "gloo",
                store=distributed.PrefixStore("group", self._store),
                rank=self.rank,
                world_size=self.world_size,
                timeout=timeout,
            )


def _unpacked(data: bytes) -> Gathered:
    (size,) = struct.unpack_from("<q", data)
    value, described = json.loads(data[8 : 8 + size])
    at, arrays = 8 + size, []
    for dtype, shape in described:
        array = np.frombuffer(data, np.dtype(dtype), count=int(np.prod(shape)), offset=at).reshape(shape)
        arrays.append(array)
        at += array.nbytes
    return Gathered(value, arrays)


def _is_loss(error: Exception) -> bool:
    """Whether an error comes from the exchange between ranks; gloo's own has no type but says where it stands."""
    import torch

    kinds = (torch.distributed.DistError, ConnectionError)
    return isinstance(error, kinds) or "gloo" in str(error).lower() or "nccl" in str(error).lower()


def _check_gpus(place: Place, visible: int) -> None:
    if place.local_size > visible:
        raise ResourceError(
            "P002",
            "there are fewer GPUs than ranks on this machine",
            key="dist.processes",
            found=f"{visible} visible to torch, {place.local_size} ranks",
            allowed=f"at most {visible}",
            help=f"--gpus {visible}, or --cpus N",
        )


def _use_interface(host: str) -> None:
    """Let gloo answer at the address that faces `host`: what the machine calls itself may lead to its own loopback."""
    if "GLOO_SOCKET_IFNAME" in os.environ or sys.platform != "linux":
        return
    import fcntl

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((host, 9))
            own = probe.getsockname()[0]
            for _, name in socket.if_nameindex():
                packed = struct.pack("256s", name.encode()[:15])
                try:
                    answer = fcntl.ioctl(probe.fileno(), ADDRESS_OF_INTERFACE, packed)
                except OSError:
                    # An interface without an IPv4 address.
                    continue
                if socket.inet_ntoa(answer[20:24]) == own:
                    os.environ["GLOO_SOCKET_IFNAME"] = name
                    return
        except OSError:
            # No way to that host by IPv4: gloo finds one itself or says why it cannot.
            return
