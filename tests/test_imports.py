"""Who may import whom, and how little `--help` imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import bert_cli

ROOT = Path(bert_cli.__file__).parent

# A module imports only from rows above its own, or from its own package.
LAYERS: tuple[frozenset[str], ...] = (
    frozenset({"errors", "files", "grouping", "toyworld"}),
    frozenset({"tasks", "launch", "seal"}),
    frozenset({"recipe", "card"}),
    frozenset({"metrics", "track", "env", "inspect"}),
    frozenset({"precision", "ranks", "supervise"}),
    frozenset({"runtime"}),
    frozenset({"data", "models", "doctor"}),
    frozenset({"objectives"}),
    frozenset({"train"}),
    frozenset({"families"}),
    frozenset({"run"}),
    frozenset({"cli"}),
    frozenset({"__main__"}),
)
LEVEL = {name: number for number, names in enumerate(LAYERS) for name in names}


def imports(source: str) -> Iterator[str]:
    """Dotted names of all modules of bert_cli that a source imports, at any depth of its code."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.startswith("bert_cli."))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            if node.module == "bert_cli":
                yield from (f"bert_cli.{alias.name}" for alias in node.names if not alias.name.startswith("__"))
            elif node.module and node.module.startswith("bert_cli."):
                yield node.module


def breaches(module: str, source: str) -> list[str]:
    """Imports of a module (`models.build`) that its layer forbids."""
    own = module.split(".")[0]
    return [
        f"{module} imports {name}"
        for name in (name.removeprefix("bert_cli.") for name in imports(source))
        if name.split(".")[0] != own and LEVEL[name.split(".")[0]] >= LEVEL[own]
    ]


def modules() -> dict[str, str]:
    found = {}
    for file in ROOT.rglob("*.py"):
        parts = file.relative_to(ROOT).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__" or len(parts) == 1)
        if name != "__init__":
            found[name] = file.read_text(encoding="utf-8")
    return found


def test_every_module_stands_in_one_layer() -> None:
    assert sum(map(len, LAYERS)) == len(LEVEL)
    assert {name.split(".")[0] for name in modules()} == set(LEVEL)


def test_no_module_imports_a_layer_above_its_own() -> None:
    assert [breach for name, source in modules().items() for breach in breaches(name, source)] == []


def test_a_breach_is_noticed_wherever_it_stands() -> None:
    """Negative control."""
    assert breaches("data.plan", "def f():\n    from bert_cli.train.engine import train\n")
    assert breaches("models.build", "import bert_cli.run.fit\n")
    assert breaches("data.plan", "from bert_cli import models\n")
    assert not breaches("train.engine", "from bert_cli.data.plan import Plan\n")


def test_training_knows_no_concrete_objective_and_no_task() -> None:
    for name, source in modules().items():
        if name.startswith("train."):
            named = {other.removeprefix("bert_cli.") for other in imports(source)}
            assert {other for other in named if other.startswith("objectives")} <= {"objectives.base"}
            assert not [other for other in named if other.startswith("tasks")]


@pytest.mark.parametrize("arguments", [["--help"], ["finetune", "--help"], ["eval", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    heavy = ("torch", "transformers", "datasets", "evaluate", "sklearn", "numpy")
    program = (
        "import sys; from bert_cli.cli.app import run\n"
        # Later typer itself imports it, to convert what was typed.
        "assert 'pydantic' not in sys.modules\n"
        f"code = run({arguments!r})\n"
        f"print('HEAVY', [name for name in {heavy!r} if name in sys.modules])\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"
