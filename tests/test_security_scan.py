"""E2: the package has no way to run what a file says, but for the two that a user consents to by name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import bert_cli

ROOT = Path(bert_cli.__file__).parent
CONSENTED = [("metrics/external.py", "evaluate.load"), ("models/locate.py", "torch.load")]
"""With `eval.allow_code`, pinned, and with `--allow-bin`, tensors only."""

MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}
BUILTINS = {"eval", "exec", "__import__"}
CALLS = {
    "torch.load",
    "evaluate.load",
    "yaml.load",
    "yaml.full_load",
    "yaml.unsafe_load",
    "os.system",
    "os.popen",
    "tempfile.mktemp",
    "pandas.read_pickle",
    "numpy.load",
    "np.load",
}
ONLY = {"shell": False, "trust_remote_code": False, "verify": True, "allow_pickle": False, "weights_only": True}
"""Keywords and the one value that they may have."""


def findings(source: str) -> list[str]:
    """What a source has that could run foreign code or trust a foreign host."""
    return list(_findings(ast.parse(source)))


def _findings(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in MODULES)
        elif isinstance(node, ast.ImportFrom):
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            yield from sorted(name for name in names if str(node.module).split(".")[0] in MODULES or name in CALLS)
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            given = {word.arg: word.value for word in node.keywords}
            if called in BUILTINS or (called in CALLS and not _reads_arrays(called, given)):
                yield called
            for name, allowed in ONLY.items():
                value = given.get(name)
                if value is not None and not (isinstance(value, ast.Constant) and value.value is allowed):
                    yield f"{name}={ast.unparse(value)}"


def _reads_arrays(called: str, given: dict[str | None, ast.expr]) -> bool:
    return called.endswith(".load") and called.startswith(("np", "numpy")) and "allow_pickle" in given


def test_E2_nothing_runs_foreign_code_but_the_two_consented_places() -> None:
    files = sorted(ROOT.rglob("*.py"))
    assert len(files) > 100
    found = [
        (file.relative_to(ROOT).as_posix(), finding)
        for file in files
        for finding in findings(file.read_text(encoding="utf-8"))
    ]
    assert found == CONSENTED


def test_E2_the_consented_reader_of_pickles_reads_tensors_only() -> None:
    tree = ast.parse((ROOT / "models" / "locate.py").read_text(encoding="utf-8"))
    (call,) = (node for node in ast.walk(tree) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load")
    assert {word.arg: ast.unparse(word.value) for word in call.keywords}["weights_only"] == "True"


WRITERS = {"csv.writer", "csv.DictWriter", "writer", "DictWriter"}
ARCHIVES = {"tarfile", "zipfile", "shutil.unpack_archive", "unpack_archive"}


def uses(source: str, names: set[str]) -> list[str]:
    """Which of `names` a source imports or calls."""
    tree = ast.parse(source)
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]
    imports = [
        alias.name for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom)) for alias in node.names
    ]
    modules = [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return [name for name in (*calls, *imports, *modules) if name in names or name.endswith((".to_csv", ".to_excel"))]


def test_E9_no_table_is_written_whose_cells_a_spreadsheet_would_run() -> None:
    """Predictions are JSON lines; whoever adds CSV has to guard cells that begin with one of = + - @."""
    assert [file for file in sorted(ROOT.rglob("*.py")) if uses(file.read_text(encoding="utf-8"), WRITERS)] == []
    assert uses("import csv\ncsv.writer(f).writerow(row)", WRITERS) and uses("frame.to_csv(path)", WRITERS)


def test_E12_no_archive_is_unpacked() -> None:
    assert [file for file in sorted(ROOT.rglob("*.py")) if uses(file.read_text(encoding="utf-8"), ARCHIVES)] == []
    assert uses("from shutil import unpack_archive", ARCHIVES) and uses("import tarfile", ARCHIVES)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "def f():\n    from pickle import loads",
        "import joblib.numpy_pickle as x",
        "from torch import load",
        "from evaluate import load as run",
        "torch.load(file, weights_only=True)",
        "f(weights_only=False)",
        "eval(text)",
        "exec(text)",
        "yaml.load(text)",
        "subprocess.run(text, shell=True)",
        "subprocess.run(text, shell=given)",
        "AutoModel.from_pretrained(name, trust_remote_code=consent)",
        "requests.get(url, verify=False)",
        "tempfile.mktemp()",
        "np.load(file)",
        "np.load(file, allow_pickle=True)",
        "os.system(text)",
    ],
)
def test_E2_the_scan_sees_each_of_them(source: str) -> None:
    """Negative control."""
    assert findings(source)


def test_E2_the_scan_leaves_their_harmless_kin_alone() -> None:
    assert not findings(
        "model.eval()\nnp.load(f, allow_pickle=False)\nf(trust_remote_code=False, verify=True)\nre.compile(x)"
    )
