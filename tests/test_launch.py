"""Which rank a process is by its environment, and which wishes contradict it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from bert_cli.errors import UsageError
from bert_cli.launch import Layout, Place, agree, bound_to_parent, first_node, joined, layout, tasks_per_node

TORCHRUN = {
    "RANK": "3",
    "WORLD_SIZE": "4",
    "LOCAL_RANK": "1",
    "LOCAL_WORLD_SIZE": "2",
    "MASTER_ADDR": "node0",
    "MASTER_PORT": "29400",
}
SRUN = {
    "SLURM_PROCID": "5",
    "SLURM_STEP_ID": "0",
    "SLURM_NTASKS": "7",
    "SLURM_LOCALID": "1",
    "SLURM_NODEID": "1",
    "SLURM_TASKS_PER_NODE": "4,3",
    "SLURM_JOB_NODELIST": "gpu[07-09,12]",
    "SLURM_JOB_ID": "4812345",
}


def test_a_process_of_torchrun_finds_its_place() -> None:
    assert joined(TORCHRUN) == Place(3, 4, 1, 2, "tcp://node0:29400", "a launcher")


def test_a_task_of_srun_finds_its_place() -> None:
    assert joined(SRUN) == Place(5, 7, 1, 3, "tcp://gpu07:17345", "srun")


@pytest.mark.parametrize(
    "environment",
    [{}, {"WORLD_SIZE": "4"}, TORCHRUN | {"RANK": "0", "LOCAL_RANK": "0", "LOCAL_WORLD_SIZE": "1", "WORLD_SIZE": "1"}],
    ids=["nothing", "half", "one process"],
)
def test_a_process_alone_is_in_no_job(environment: dict[str, str]) -> None:
    assert joined(environment) is None


def test_a_batch_script_is_no_task_though_slurm_numbers_it() -> None:
    assert joined({name: value for name, value in SRUN.items() if name != "SLURM_STEP_ID"}) is None


@pytest.mark.parametrize(
    "change",
    [{"RANK": "4"}, {"RANK": "x"}, {"LOCAL_RANK": "2"}, {"MASTER_PORT": ""}, {"LOCAL_WORLD_SIZE": "5"}],
)
def test_an_environment_that_contradicts_itself_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        joined(TORCHRUN | change)
    assert (caught.value.code, caught.value.exit_code) == ("U081", 2)


def test_a_node_that_slurm_does_not_describe_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        joined(SRUN | {"SLURM_NODEID": "2"})
    assert caught.value.code == "U081"


def test_short_forms_of_slurm() -> None:
    assert first_node("login,gpu[1-2]") == "login"
    assert first_node("gpu[012,014-016]") == "gpu012"
    assert first_node("a-1") == "a-1"
    assert tasks_per_node("4(x2),3") == [4, 4, 3]


def test_every_rank_of_two_machines_has_a_place_of_its_own() -> None:
    asked = [layout(3, nodes=2, node=node, master="[fe80::1]:29500") for node in (0, 1)]
    places = [each.place(local, "here") for each in asked for local in range(3)]
    assert [place.rank for place in places] == list(range(6))
    assert {place.world_size for place in places} == {6} and {place.local_size for place in places} == {3}
    assert layout(2, nodes=None, node=None, master=None) == Layout(2)


@pytest.mark.parametrize(
    "flags",
    [
        {"nodes": 2, "node": None, "master": None},
        {"nodes": 2, "node": 2, "master": "host:1"},
        {"nodes": 2, "node": 0, "master": "host"},
        {"nodes": 2, "node": 0, "master": "host:99999"},
        {"nodes": None, "node": None, "master": "host:1"},
    ],
)
def test_flags_of_several_machines_must_go_together(flags: dict[str, object]) -> None:
    with pytest.raises(UsageError) as caught:
        layout(2, **flags)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.exit_code) == ("U080", 2)


def test_a_job_of_another_size_than_asked_for_is_refused() -> None:
    place = Place(0, 4, 0, 2, "tcp://host:1", "a launcher")
    agree(place, Layout(1), asked=None)
    agree(place, Layout(2), asked="--gpus or --cpus")
    agree(place, Layout(2, nodes=2, master="host:1"), asked="--gpus or --cpus")
    for wanted in (Layout(4), Layout(1), Layout(2, nodes=3, master="host:1")):
        with pytest.raises(UsageError) as caught:
            agree(place, wanted, asked="my.yaml:3")
        assert (caught.value.code, caught.value.exit_code) == ("U026", 2)


def test_a_rank_without_its_parent_ends_at_once() -> None:
    program = "from bert_cli.launch import bound_to_parent; bound_to_parent(); print('still here')"
    environment = {**os.environ, "BERTCTL_PARENT": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == -9 and done.stdout == ""
    bound_to_parent({})
