"""Which ranks a run has, and which of them this process is.

A rank is one process of a run. bertctl starts the ranks of one machine itself (`bert_cli.supervise`); under torchrun,
`accelerate launch` or srun the process finds its place in the environment and joins. A wish that contradicts the job
at hand is refused. Reads the environment only: no torch, no socket.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from bert_cli.errors import BertctlError, UsageError

JOB, PARENT, MEETING = "BERTCTL_JOB", "BERTCTL_PARENT", "BERTCTL_MEETING"
"""Set for a rank that bertctl started: the job's private folder, the process not to be outlived, where ranks meet."""

STORE, RUN = "store", "run"
SET_DEATH_SIGNAL = 1


@dataclass(frozen=True)
class Place:
    """One rank among all ranks of a run.

    Attributes:
        rank: 0 leads: it alone touches the run folder and speaks.
        local_rank, local_size: the same among the ranks of this machine.
        meeting: where the ranks find each other: a file of this machine, or `tcp://HOST:PORT` of rank 0; empty for one
            rank.
        launcher: who started the ranks: bertctl, srun, or any other by its environment.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0
    local_size: int = 1
    meeting: str = ""
    launcher: str = ""

    def environment(self) -> dict[str, str]:
        """The same in the variables that torch and accelerate read."""
        return {
            "RANK": str(self.rank),
            "WORLD_SIZE": str(self.world_size),
            "LOCAL_RANK": str(self.local_rank),
            "LOCAL_WORLD_SIZE": str(self.local_size),
        }


ALONE = Place()


@dataclass(frozen=True)
class Layout:
    """The ranks that a user asked for.

    Attributes:
        processes: ranks on this machine.
        nodes, node: machines, and which of them this is, from 0.
        master: `HOST:PORT` of the first machine, which all of them reach; empty for one machine.
    """

    processes: int = 1
    nodes: int = 1
    node: int = 0
    master: str = ""

    @property
    def world_size(self) -> int:
        return self.processes * self.nodes

    def place(self, local_rank: int, meeting: str) -> Place:
        """A rank that this machine starts."""
        rank = self.node * self.processes + local_rank
        return Place(rank, self.world_size, local_rank, self.processes, meeting, "bertctl")


def layout(processes: int, *, nodes: int | None, node: int | None, master: str | None) -> Layout:
    """The ranks asked for.

    Raises:
        UsageError: flags of several machines that do not go together (U080).
    """
    wanted = {"--nodes": nodes, "--node-rank": node, "--master": master}
    if all(value is None for value in wanted.values()):
        return Layout(processes)
    found = " ".join(f"{flag} {value}" for flag, value in wanted.items() if value is not None)
    allowed = "--nodes N --node-rank 0…N-1 --master HOST:PORT, the same N and master on every machine"

    def refuse(what: str, key: str) -> UsageError:
        return UsageError("U080", what, key=key, found=found, allowed=allowed, help=f"{allowed.partition(',')[0]}")

    missing = [flag for flag, value in wanted.items() if value is None]
    if nodes is None or node is None or master is None:
        raise refuse(f"several machines need {' and '.join(missing)} too", missing[0])
    if nodes < 1 or not 0 <= node < nodes:
        raise refuse(f"of {nodes} machines none has the number {node}", "--node-rank")
    if not re.fullmatch(r"(\[[0-9a-fA-F:.%\w]+\]|[^\s:/]+):\d{1,5}", master) or int(master.rpartition(":")[2]) > 65535:
        raise refuse(f"'{master}' names no host and port", "--master")
    return Layout(processes, nodes, node, master)


def joined(environment: Mapping[str, str] = os.environ) -> Place | None:
    """The place of this process in a job that a launcher has started; None outside one, and in one of a single process.

    Raises:
        UsageError: the launcher's variables contradict each other or lack the meeting point (U081).
    """
    if environment.get("RANK", "") and environment.get("WORLD_SIZE", ""):
        place = _of_variables(environment)
    elif "SLURM_PROCID" in environment and "SLURM_STEP_ID" in environment:
        # A batch script itself has a SLURM_PROCID too; only what srun starts has a step.
        place = _of_slurm(environment)
    else:
        return None
    if not (0 <= place.rank < place.world_size and 0 <= place.local_rank < place.local_size <= place.world_size):
        raise _bad_job(f"rank {place.rank} of {place.world_size}, {place.local_rank} of {place.local_size} here")
    return place if place.world_size > 1 else None


def _of_variables(environment: Mapping[str, str]) -> Place:
    world_size, local_rank = _number(environment, "WORLD_SIZE"), _number(environment, "LOCAL_RANK", 0)
    local_size = _number(environment, "LOCAL_WORLD_SIZE", 1)
    if JOB in environment:
        meeting = environment[MEETING]
        return Place(_number(environment, "RANK"), world_size, local_rank, local_size, meeting, "bertctl")
    if world_size > 1 and not (environment.get("MASTER_ADDR") and environment.get("MASTER_PORT")):
        raise _bad_job("RANK and WORLD_SIZE without MASTER_ADDR and MASTER_PORT")
    host = environment.get("MASTER_ADDR", "")
    meeting = f"tcp://{f'[{host}]' if ':' in host else host}:{environment.get('MASTER_PORT', '')}"
    return Place(_number(environment, "RANK"), world_size, local_rank, local_size, meeting, "a launcher")


def _of_slurm(environment: Mapping[str, str]) -> Place:
    """The place of a task of srun; ranks meet on the step's first node, at a port that depends on the job's number."""
    tasks = "SLURM_STEP_NUM_TASKS" if "SLURM_STEP_NUM_TASKS" in environment else "SLURM_NTASKS"
    per_node = environment.get("SLURM_STEP_TASKS_PER_NODE", environment.get("SLURM_TASKS_PER_NODE", "1"))
    node, counts = _number(environment, "SLURM_NODEID", 0), tasks_per_node(per_node)
    if node >= len(counts):
        raise _bad_job(f"SLURM_NODEID={node}, tasks per node {per_node}")
    nodes = environment.get("SLURM_STEP_NODELIST", environment.get("SLURM_JOB_NODELIST", "localhost"))
    host = environment.get("MASTER_ADDR") or first_node(nodes)
    port = environment.get("MASTER_PORT") or str(15_000 + int(environment.get("SLURM_JOB_ID", "0")) % 10_000)
    return Place(
        _number(environment, "SLURM_PROCID"),
        _number(environment, tasks),
        _number(environment, "SLURM_LOCALID", 0),
        counts[node],
        f"tcp://{host}:{port}",
        "srun",
    )


def first_node(nodes: str) -> str:
    """The first host of Slurm's short form: `gpu[07-09,12],login` begins with `gpu07`."""
    match = re.match(r"([^,\[]+)(?:\[(\w+)[^\]]*\])?", nodes)
    return nodes if match is None else match.group(1) + (match.group(2) or "")


def tasks_per_node(short: str) -> list[int]:
    """The tasks of each node from Slurm's short form: `4(x2),3` is 4, 4, 3."""
    counts: list[int] = []
    for count, times in re.findall(r"(\d+)(?:\(x(\d+)\))?", short):
        counts += [int(count)] * int(times or 1)
    return counts


def _number(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "" if default is None else str(default))
    if not text.isdecimal():
        raise _bad_job(f"{name}={text}")
    return int(text)


def _bad_job(found: str) -> UsageError:
    return UsageError(
        "U081",
        "the environment does not say which rank this process is",
        key="RANK",
        found=found,
        allowed="RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT, as torchrun sets them",
        help="unset RANK WORLD_SIZE, then bertctl starts its ranks itself",
    )


def agree(place: Place, wanted: Layout, *, asked: str | None) -> None:
    """Refuse a wish that contradicts the job that this process has joined.

    Args:
        asked: where the number of processes was asked for (`--cpus 4`, a recipe's line); None where it was not.

    Raises:
        UsageError: another number of ranks (U026).
    """
    if (asked is None or wanted.processes == place.local_size) and wanted.nodes in (
        1,
        place.world_size // place.local_size,
    ):
        return
    raise UsageError(
        "U026",
        f"{place.launcher} has started {place.world_size} ranks, and others are asked for",
        key="dist.processes" if wanted.nodes == 1 else "--nodes",
        found=f"{wanted.processes} on each of {wanted.nodes} machines" + (f" ({asked})" if asked else ""),
        allowed=f"{place.local_size} on each machine, as started, or nothing",
        help="leave the number of processes out, or start bertctl itself without the launcher",
    )


def bound_to_parent(environment: Mapping[str, str] = os.environ) -> None:
    """End this process when the one that started it ends, however that happens; nothing for a process of its own."""
    if PARENT not in environment:
        return
    parent = int(environment[PARENT])
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_DEATH_SIGNAL, signal.SIGKILL)
    else:
        threading.Thread(target=_watch, args=(parent,), daemon=True).start()
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGKILL)


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os.kill(os.getpid(), signal.SIGKILL)


def tell_run(path: Path) -> None:
    """Let the parent know the run folder, so that it can say there how the run ended if no rank is left to do so."""
    if JOB in os.environ:
        Path(os.environ[JOB], RUN).write_text(str(path.resolve()), encoding="utf-8")


def tell_loss(error: BertctlError) -> bool:
    """Leave it to the parent to say which rank was lost and why, which it knows better; whether there is a parent."""
    if JOB not in os.environ:
        return False
    file = Path(os.environ[JOB], f"rank-{os.environ['LOCAL_RANK']}.lost")
    file.write_text(json.dumps(error.as_dict()), encoding="utf-8")
    return True
