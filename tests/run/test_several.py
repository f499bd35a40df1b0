"""Real ranks: killed, asked to stop, orphaned, joined under torchrun, spread over two "machines" of one."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import tiny_data, tiny_recipe

from bert_cli.cli.app import run as run_command
from bert_cli.recipe.load import dump_recipe
from bert_cli.run.finetune import finetune
from bert_cli.train import checkpoint

EPOCHS, STEPS = 12, 96
LIMIT = 120


@pytest.fixture(scope="module")
def recipe(tiny_bert: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A run of some seconds that saves every step; without dropout, so that ranks and no ranks can be compared."""
    root = tmp_path_factory.mktemp("several")
    data = tiny_data(root / "data", n_train=57)
    often = {"run__save_every": 0.125, "run__keep": 2, "eval__every": 10.0, "run__log_every": 50}
    small = {"train__epochs": float(EPOCHS), "train__lr": 1e-4, "model__dropout": 0.0}
    return tiny_recipe(tiny_bert, data, root / "none", **often, **small)


@pytest.fixture(scope="module")
def whole(recipe: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, torch.Tensor]:
    """The weights at the end of the run of one process that nobody disturbed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    finetune(placed(recipe, out), quiet=True)
    return last_weights(out)


def placed(recipe: Any, out: Path, **run: Any) -> Any:
    return recipe.model_copy(update={"run": recipe.run.model_copy(update={"out": str(out), **run})})


def last_weights(out: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(out / "checkpoints" / f"step-{STEPS:08d}").tensors["model"]


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    # Attention does not depend on the keys' bias: its gradient is rounding alone, which AdamW scales up to full steps.
    names = [name for name in one if not name.endswith("key.bias")]
    return set(one) == set(other) and all(torch.allclose(one[n], other[n], rtol=1e-3, atol=1e-3) for n in names)


class Job:
    """`bertctl finetune` as a process of its own, in several ranks."""

    def __init__(self, recipe: Any, folder: Path, *words: object, before: tuple[object, ...] = ()) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "my.yaml").write_text(dump_recipe(recipe), encoding="utf-8")
        start = [*(str(word) for word in before)] or [sys.executable]
        command = [*start, "-m", "bert_cli", "finetune", str(folder / "my.yaml"), *map(str, words)]
        command += ["--out", str(recipe.run.out)]
        self.out = Path(recipe.run.out)
        self.errors = folder / "stderr"
        environment = {name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"}
        # A parent that is killed leaves its private folder behind.
        environment["TMPDIR"] = str(folder)
        with (folder / "stdout").open("w") as out, self.errors.open("w") as err:
            self.process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, cwd=folder)
        self.stdout = folder / "stdout"

    def trained(self, step: int) -> None:
        """Wait until a checkpoint of that step or a later one is there."""
        until = time.monotonic() + LIMIT
        while time.monotonic() < until and self.process.poll() is None:
            if any(int(found.name[5:]) >= step for found in (self.out / "checkpoints").glob("step-*")):
                return
            time.sleep(0.01)
        pytest.fail(f"ended with {self.process.poll()} before step {step}: {self.told()}")

    def ranks(self) -> list[int]:
        return [
            int(word) for word in Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        ]

    def ended(self) -> int:
        return self.process.wait(timeout=LIMIT)

    def told(self) -> str:
        return self.errors.read_text(encoding="utf-8")

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.out / "status.json").read_text(encoding="utf-8"))
        return found


@pytest.fixture
def jobs() -> Iterator[list[Job]]:
    """Whatever is put in does not outlive the test."""
    started: list[Job] = []
    yield started
    for job in started:
        job.process.kill()
        job.process.wait()


def is_there(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@linux
def test_a_killed_rank_ends_the_run_which_goes_on_from_its_checkpoint(
    recipe: Any, whole: dict[str, torch.Tensor], tmp_path: Path, jobs: list[Job]
) -> None:
    job = Job(placed(recipe, tmp_path / "run"), tmp_path / "job", "--cpus", 2)
    jobs.append(job)
    job.trained(5)
    ranks = job.ranks()
    assert len(ranks) == 2
    os.kill(ranks[1], signal.SIGKILL)
    assert job.ended() == 9
    assert job.told().count("error[") == 1 and "error[G001]: rank 1 was killed by SIGKILL" in job.told()
    assert not any(map(is_there, ranks))
    assert (job.status()["state"], job.status()["exit_code"], job.status()["error"]["code"]) == ("failed", 9, "G001")
    again = Job(placed(recipe, tmp_path / "run", resume="auto"), tmp_path / "again", "--cpus", 2)
    jobs.append(again)
    assert again.ended() == 0, again.told()
    assert "going on from" in again.told()
    assert same(whole, last_weights(tmp_path / "run"))


@linux
def test_rank_0_killed_leaves_a_status_that_its_parent_wrote(recipe: Any, tmp_path: Path, jobs: list[Job]) -> None:
    job = Job(placed(recipe, tmp_path / "run"), tmp_path / "job", "--cpus", 2, "--quiet")
    jobs.append(job)
    job.trained(5)
    ranks = job.ranks()
    os.kill(ranks[0], signal.SIGKILL)
    assert job.ended() == 9 and "rank 0 was killed by SIGKILL" in job.told()
    assert not any(map(is_there, ranks))
    assert (job.status()["state"], job.status()["exit_code"]) == ("failed", 9)


def test_sigterm_to_the_parent_saves_a_checkpoint_that_one_process_goes_on_from(
    recipe: Any, whole: dict[str, torch.Tensor], tmp_path: Path, jobs: list[Job]
) -> None:
    job = Job(placed(recipe, tmp_path / "run"), tmp_path / "job", "--cpus", 2)
    jobs.append(job)
    job.trained(5)
    job.process.terminate()
    assert job.ended() == 75, job.told()
    assert job.told().count("error[S001]: stopped by SIGTERM") == 1 and job.told().count("error[") == 1
    assert (job.status()["state"], job.status()["exit_code"]) == ("preempted", 75)
    found, rejected = checkpoint.newest(tmp_path / "run" / "checkpoints")
    assert found is not None and not rejected and f"after step {int(found.name[5:])}" in job.told()
    finetune(placed(recipe, tmp_path / "run", resume="auto"), quiet=True)
    assert same(whole, last_weights(tmp_path / "run"))


@linux
def test_ranks_do_not_outlive_a_parent_that_is_killed(recipe: Any, tmp_path: Path, jobs: list[Job]) -> None:
    job = Job(placed(recipe, tmp_path / "run"), tmp_path / "job", "--cpus", 2)
    jobs.append(job)
    job.trained(2)
    ranks = job.ranks()
    assert all(map(is_there, ranks))
    job.process.kill()
    until = time.monotonic() + 10
    while any(map(is_there, ranks)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not any(map(is_there, ranks))


def test_a_mistake_in_the_data_is_told_once_and_leaves_no_run(recipe: Any, tmp_path: Path, jobs: list[Job]) -> None:
    data = tiny_data(tmp_path / "data")
    table = (data / "validation.tsv").read_text().splitlines()
    (data / "validation.tsv").write_text("\n".join([*table, "a film\tstrange"]) + "\n")
    wrong = recipe.model_copy(update={"data": recipe.data.model_copy(update={"source": str(data)})})
    job = Job(placed(wrong, tmp_path / "run"), tmp_path / "job", "--cpus", 2)
    jobs.append(job)
    assert job.ended() == 3
    assert job.told().count("error[D") == 1 and "strange" in job.told()
    assert not (tmp_path / "run").exists()


def short(recipe: Any, out: Path) -> Any:
    train = recipe.train.model_copy(update={"epochs": 1.0})
    return placed(recipe.model_copy(update={"train": train}), out, save_every=1.0)


def test_ranks_of_torchrun_are_joined(recipe: Any, tmp_path: Path, jobs: list[Job]) -> None:
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    job = Job(short(recipe, tmp_path / "run"), tmp_path / "job", "--json", before=torchrun)
    jobs.append(job)
    assert job.ended() == 0, job.told()
    assert json.loads(job.stdout.read_text()) == job.status()["result"]
    assert job.told().count("run folder") == 1 and "× 2" in job.told()
    assert json.loads((tmp_path / "run" / "lock.json").read_text())["world_size"] == 2


def test_two_machines_train_one_model(recipe: Any, tmp_path: Path, jobs: list[Job]) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    wanted = short(recipe, tmp_path / "run")
    for node in (1, 0):
        flags = ("--cpus", 1, "--nodes", 2, "--node-rank", node, "--master", f"127.0.0.1:{port}")
        jobs.append(Job(wanted, tmp_path / f"node-{node}", *flags))
    assert [job.ended() for job in jobs] == [0, 0], [job.told() for job in jobs]
    assert jobs[0].told() == "" and jobs[0].stdout.read_text() == ""
    assert "best" in jobs[1].stdout.read_text()
    assert json.loads((tmp_path / "run" / "lock.json").read_text())["world_size"] == 2
    alone = finetune(short(recipe, tmp_path / "alone"), quiet=True)
    best = jobs[1].status()["result"]["scores"]["validation"]
    assert alone.state.best is not None and best == pytest.approx(alone.state.best.scores["validation"], rel=1e-5)


# Without any rank


def refused(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    assert run_command(["finetune", *map(str, words)]) == 2
    return capsys.readouterr().err


@pytest.fixture
def no_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*_: Any, **__: Any) -> Any:
        raise AssertionError("a rank was started")

    monkeypatch.setattr("bert_cli.supervise._start", never)


@pytest.mark.usefixtures("no_ranks")
def test_what_needs_no_torch_is_refused_before_any_rank_is_started(
    recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.yaml").write_text(dump_recipe(placed(recipe, tmp_path / "run")))
    many = (tmp_path / "my.yaml", "--cpus", 2)
    assert "error[U016]" in refused(capsys, *many, "eval.threshold=0.3")
    assert "error[U083]" in refused(capsys, *many, "--gpus", 1)
    assert "error[U080]" in refused(capsys, *many, "--nodes", 2)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "mine").touch()
    assert "error[U020]" in refused(capsys, *many)
    assert run_command(["finetune", *map(str, many), "--print-config"]) == 0


@pytest.mark.usefixtures("no_ranks")
def test_a_dry_run_plans_for_the_ranks_and_starts_none(
    recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "my.yaml").write_text(dump_recipe(placed(recipe, tmp_path / "run")))
    words = [str(tmp_path / "my.yaml"), "--cpus", "2", "--dry-run", "--json", "model.attention=sdpa"]
    assert run_command(["finetune", *words]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert (plan["processes"], plan["steps"]) == (2, STEPS) and plan["padding"]["here"] < 1.5
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_ranks")
def test_a_number_of_ranks_that_the_job_does_not_have_is_refused(
    recipe: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my.yaml").write_text(dump_recipe(placed(recipe, tmp_path / "run")))
    job = {"RANK": 0, "WORLD_SIZE": 2, "LOCAL_RANK": 0, "LOCAL_WORLD_SIZE": 2, "MASTER_ADDR": "h", "MASTER_PORT": 1}
    for name, value in job.items():
        monkeypatch.setenv(name, str(value))
    told = refused(capsys, tmp_path / "my.yaml", "--cpus", 4)
    assert "error[U026]: a launcher has started 2 ranks" in told
    assert "error[U026]" in refused(capsys, tmp_path / "my.yaml", "--cpus", 1)
    assert "error[U026]" in refused(capsys, tmp_path / "my.yaml", "dist.processes=3")


def test_a_function_starts_no_processes(recipe: Any, tmp_path: Path) -> None:
    from bert_cli.errors import UsageError

    many = recipe.model_copy(update={"dist": recipe.dist.model_copy(update={"processes": 2})})
    with pytest.raises(UsageError) as caught:
        finetune(placed(many, tmp_path / "run"), quiet=True)
    assert caught.value.code == "U082" and not (tmp_path / "run").exists()
