"""The README is true: every command in it is run, every table and tree in it is compared with the code.

Commands run in one folder, in the order of the README, on tiny models and data that lie where its words say: under the
name of the hub's model, in `data/sst2`, `my-data`, `my-pairs`, `reviews`, `hits` and `corpus.txt`. A command that is
neither run nor listed here as not runnable fails the test.
"""

from __future__ import annotations

import io
import json
import re
import shlex
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tiny import tiny_data, tiny_model

from bert_cli import errors
from bert_cli.cli.app import app
from bert_cli.cli.app import run as run_command
from bert_cli.tasks import Task, all_tasks
from bert_cli.toyworld import Sizes, write_world

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")

NOT_RUN = {
    ". .venv/bin/activate": "changes the shell; `make install` makes the file",
    "python3 -m venv .venv": "needs a network",
    ".venv/bin/pip install -c constraints.txt .": "needs a network",
    "hf download google-bert/bert-base-uncased --local-dir models/bert-base-uncased": "needs a network",
}
ENDS_WITH = {
    "bertctl doctor": {0, 1},  # 1 where this machine lacks something
    "bertctl eval runs/mine --data my-data/fresh.csv --fail-under accuracy=0.9": {0, 6},  # tiny models learn little
    "bertctl recipe diff sst2 runs/sst2-local": {1},  # they differ
}
HITS = """
import datasets
import evaluate

class Hits(evaluate.Metric):
    def _info(self):
        number = datasets.Value("int64")
        features = datasets.Features({"predictions": number, "references": number})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references):
        return {"hits": sum(p == r for p, r in zip(predictions, references))}
"""
QUICK = {
    "finetune": ["--max-length", "32", "--batch-size", "16", "--epochs", "1", "--precision", "fp32", "--quiet"],
    "pretrain": [
        *("--epochs", "1", "--precision", "fp32", "--quiet"),
        *("model.config.hidden_size=32", "model.config.intermediate_size=64", "tokenizer.vocab_size=300"),
    ],
}
"""What a command gets besides its own words, so that it ends soon and fits models of 64 positions."""


def blocks(*languages: str) -> list[str]:
    """The fenced blocks in these languages."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    return [body for language, body in found if language in languages]


COMMANDS = [line for block in blocks("console", "bash", "sh") for line in block.splitlines() if line.strip()]


@dataclass(frozen=True)
class World:
    """The folder in which the README was carried out, and the exit code of each command that was run."""

    folder: Path
    codes: dict[str, int]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("readme")
    tiny_model(folder / "google-bert" / "bert-base-uncased")
    shutil.copytree(folder / "google-bert" / "bert-base-uncased", folder / "models" / "bert-base-uncased")
    tiny_data(folder / "data" / "sst2", text="sentence", labels=("0", "1"))
    tiny_data(folder / "reviews")
    write_own_data(folder / "my-data")
    write_own_pairs(folder / "my-pairs")
    (folder / "hits").mkdir()
    (folder / "hits" / "hits.py").write_text(HITS)
    write_world(folder, seed=0, sizes=Sizes(documents=20, train=2, validation=2, test=2))
    shutil.copy(folder / "corpus.txt", folder / "fresh.txt")
    write_pairs(folder / "blimp")
    with pytest.MonkeyPatch.context() as patch, own_metric_modules(folder):
        patch.chdir(folder)
        patch.setenv("BERTCTL_DATA", str(folder / "data"))
        return World(folder, {command: call(command, patch) for command in dict.fromkeys(COMMANDS) if runs(command)})


@contextmanager
def own_metric_modules(folder: Path) -> Iterator[None]:
    """Scripts of the evaluate library are copied to `folder`, and forgotten afterwards."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evaluate.config.HF_MODULES_CACHE", folder / "modules")
        patch.setattr("evaluate.config.HF_METRICS_CACHE", folder / "metrics")
        patch.setattr(sys, "path", list(sys.path))
        yield
    for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
        del sys.modules[name]


def runs(command: str) -> bool:
    return command.startswith(("bertctl ", "echo "))


def write_own_data(folder: Path) -> None:
    """`train.csv`, `fresh.csv` and `new.csv` with the columns body and verdict, the last one without the verdict."""
    folder.mkdir()
    rows = [f"a {word} film,{verdict}\n" for word, verdict in (("good", "yes"), ("bad", "no"))] * 20
    (folder / "train.csv").write_text("body,verdict\n" + "".join(rows))
    (folder / "fresh.csv").write_text("body,verdict\n" + "".join(rows[:4]))
    (folder / "new.csv").write_text("body\n" + "".join(row.partition(",")[0] + "\n" for row in rows[:4]))


def write_own_pairs(folder: Path) -> None:
    """`train.csv` and `new.csv` with the columns question and answer, the first one with a label."""
    folder.mkdir()
    rows = [f"is it {word}?,a fine film,{label}\n" for word, label in (("good", "yes"), ("dull", "no"))] * 20
    (folder / "train.csv").write_text("question,answer,label\n" + "".join(rows))
    (folder / "new.csv").write_text("question,answer\nis it good?,a fine film\nis it dull?,a fine film\n")


def write_pairs(folder: Path) -> None:
    """`test.jsonl` as BLiMP's."""
    folder.mkdir()
    pair = {
        "field": "syntax",
        "linguistics_term": "order",
        "UID": "order",
        "sentence_good": "a b",
        "sentence_bad": "b a",
    }
    (folder / "test.jsonl").write_text(f"{json.dumps(pair)}\n" * 3)


def call(command: str, monkeypatch: pytest.MonkeyPatch) -> int:
    """Run one line that begins with `bertctl`, or with `echo` and a pipe into it."""
    before, pipe, after = command.partition(" | ")
    if pipe:
        texts = shlex.split(before)[1:]
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{' '.join(texts)}\n".encode())))
    # Minutes of training become steps.
    words = [re.sub(r"^train.budget=.*", "train.budget=2 steps", word) for word in shlex.split(after or before)[1:]]
    own = [flag for flag in words if flag.startswith("--")]
    extra: list[str] = []
    quick = iter(QUICK.get(words[0], []))
    for word in quick:
        if not word.startswith("--"):
            # A model that goes on has its shape and its tokenizer already.
            extra += [] if "--model" in own else [word]
        elif word == "--quiet":
            extra += [] if "--print-config" in own else [word]
        elif (value := next(quick)) and word not in own:
            extra += [word, value]
    return run_command([*words, *extra])


@pytest.mark.parametrize("command", dict.fromkeys(COMMANDS))
def test_a_command_of_the_readme_works(command: str, world: World) -> None:
    if command in NOT_RUN:
        return
    if command.startswith("make "):
        targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
        assert command.split()[1] in targets
        return
    assert command in world.codes, f"nothing checks {command!r}: say how in {Path(__file__).name}"
    assert world.codes[command] in ENDS_WITH.get(command, {0})


def test_the_list_of_commands_that_are_not_run_is_not_stale() -> None:
    assert set(NOT_RUN) | set(ENDS_WITH) <= set(COMMANDS)


def test_the_tree_shows_what_a_run_leaves(world: World) -> None:
    (tree,) = blocks("text")
    first, *rest = tree.splitlines()
    shown = {line.split()[1].rstrip("/") for line in rest}
    assert shown == {path.name for path in (world.folder / first).iterdir()}


def test_own_data_look_as_the_readme_shows_them(world: World) -> None:
    (shown,) = blocks("csv")
    assert (world.folder / "my-data" / "train.csv").read_text().startswith(shown)


def test_a_prediction_of_a_pair_looks_as_the_readme_shows_it(world: World) -> None:
    (shown,) = map(json.loads, blocks("json"))
    first, second = map(json.loads, (world.folder / "answers.jsonl").read_text().splitlines())
    assert list(first) == list(shown) and set(first["probabilities"]) == set(shown["probabilities"])
    assert all(first[role] == shown[role] for role in ("text", "text_pair"))
    assert sum(shown["probabilities"].values()) == pytest.approx(1)
    assert second["text"] == "is it dull?" and second["text_pair"] == "a fine film"


def test_a_score_of_the_evaluate_library_has_the_name_in_the_readme(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (command,) = [command for command in COMMANDS if "evaluate:" in command]
    monkeypatch.chdir(world.folder)
    with own_metric_modules(world.folder):
        assert call(f"{command} --json", monkeypatch) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    (name,) = re.findall(r"as in `(evaluate:\S+)`", README)
    assert scores[name] == int(scores[name]) and {"accuracy", "roc_auc"} & set(scores)


def test_the_published_model_loads_as_the_readme_says(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(world.folder)
    (code,) = [block for block in blocks("python") if "pipeline" in block]
    exec(compile(code, "README.md", "exec"), {})
    assert re.search(r"'label': '(positive|negative)'", capsys.readouterr().out)


def test_the_task_of_the_readme_is_a_task() -> None:
    (code,) = [block for block in blocks("python") if "Task(" in block]
    names: dict[str, object] = {}
    exec(compile(code.replace("\nTask(", "\ntask = Task("), "README.md", "exec"), names)
    task = names["task"]
    assert isinstance(task, Task)
    assert task.name not in all_tasks() and task.primary in task.metrics


def test_the_table_of_verbs_is_that_of_the_program() -> None:
    import typer

    verbs = set(re.findall(r"^\| `bertctl (\w+)` \|", README, re.M))
    assert verbs == set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]


def test_the_table_of_exit_codes_is_that_of_the_errors() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.BertctlError)]
    shown = {int(code) for code in re.findall(r"^\| (\d+) \|", README, re.M)}
    assert shown == {0, 128 + signal.SIGPIPE, 128 + signal.SIGTERM} | {kind.exit_code for kind in kinds}


def test_links_and_files_named_exist() -> None:
    for name in re.findall(r"`((?:bert_cli|recipes|tests|docs|benchmarks)/[\w./-]*)`", README):
        assert "NAME" in name or (ROOT / name).exists(), name
    for target in re.findall(r"\]\((?!http)([^)#]+)", README):
        assert (ROOT / target).exists(), target


def test_lines_are_short_and_paths_relative() -> None:
    assert all(len(line) <= 120 for line in README.splitlines())
    assert not re.search(r"(?<![\w.~/])/(home|root|work|tmp|Users)/", README)
