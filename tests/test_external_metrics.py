"""Metrics of the evaluate library: run only with consent, pinned, and never by accident."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bert_cli.errors import BertctlError, ErrorGroup, HubError, UsageError
from bert_cli.metrics import Predictions, Scorer, load_external, parse_spec
from bert_cli.metrics.external import short_names
from bert_cli.metrics.names import MULTI, REGRESSION, SINGLE

COMMIT = "0123456789abcdef0123456789abcdef01234567"

SCRIPT = '''"""A metric."""
import datasets
import evaluate
{imports}

class Mine(evaluate.Metric):
    def _info(self):
        kind = datasets.Value("{dtype}")
        many = datasets.Sequence(kind) if self.config_name == "multilabel" else kind
        features = datasets.Features({{"predictions": many, "references": many}})
        return evaluate.MetricInfo(description="d", citation="c", inputs_description="i", features=features)

    def _compute(self, predictions, references):
        {body}
'''
HITS = 'return {"hits": sum(p == r for p, r in zip(map(str, predictions), map(str, references)))}'


def write_metric(parent: Path, name: str, *, body: str = HITS, dtype: str = "int64", imports: str = "") -> Path:
    folder = parent / name
    folder.mkdir(parents=True)
    (folder / f"{name}.py").write_text(SCRIPT.format(body=body, dtype=dtype, imports=imports), encoding="utf-8")
    return folder


@pytest.fixture(autouse=True)
def modules_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cache of its own for each test, because evaluate copies scripts into it and imports them from there."""
    from evaluate import config, loading  # type: ignore[import-untyped, unused-ignore]

    monkeypatch.setattr(config, "HF_MODULES_CACHE", tmp_path / "modules")
    monkeypatch.setattr(loading.config, "HF_MODULES_CACHE", tmp_path / "modules")
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    for name in [name for name in sys.modules if name.startswith("evaluate_modules")]:
        del sys.modules[name]


def single(labels: list[int]) -> Predictions:
    return Predictions(SINGLE, np.eye(3, dtype=np.float32)[labels])


def test_a_metric_in_a_folder_scores_decisions_under_its_own_name(tmp_path: Path) -> None:
    folder = write_metric(tmp_path, "mine")
    scorer = Scorer([f"evaluate:{folder}", "accuracy"], SINGLE, allow_code=True)
    scores = scorer.score(single([0, 1, 2, 2]), np.array([0, 1, 1, 2]))
    assert scores == {"evaluate:mine/hits": 3.0, "accuracy": 0.75}
    assert list(scores) == ["evaluate:mine/hits", "accuracy"]


def test_a_scorer_can_be_used_again_and_again(tmp_path: Path) -> None:
    scorer = Scorer([f"evaluate:{write_metric(tmp_path, 'again')}"], SINGLE, allow_code=True)
    for labels in ([0, 1], [2, 2], [1, 0]):
        assert scorer.score(single(labels), np.array(labels)) == {"evaluate:again/hits": 2.0}


def test_a_relative_folder_is_found_from_the_working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_metric(tmp_path, "near")
    monkeypatch.chdir(tmp_path)
    run = load_external("evaluate:./near", allow_code=True)
    monkeypatch.chdir("/")
    assert run(np.array([1, 0]), np.array([1, 1])) == {"hits": 1.0}


def test_multi_label_decisions_reach_the_metric_as_rows(tmp_path: Path) -> None:
    predictions = Predictions(MULTI, np.array([[0.9, 0.1], [0.4, 0.6]], np.float32))
    scorer = Scorer([f"evaluate:{write_metric(tmp_path, 'rows')}"], MULTI, allow_code=True)
    assert scorer.score(predictions, np.array([[1, 0], [1, 1]])) == {"evaluate:rows/hits": 1.0}


def test_values_of_a_regression_reach_the_metric_as_numbers(tmp_path: Path) -> None:
    folder = write_metric(tmp_path, "gap", dtype="float64", body='return {"gap": max(predictions) - max(references)}')
    predictions = Predictions(REGRESSION, np.array([1.5, 2.5], np.float32))
    assert Scorer([f"evaluate:{folder}"], REGRESSION, allow_code=True).score(predictions, np.array([1.0, 2.0])) == {
        "evaluate:gap/gap": 0.5
    }


@pytest.mark.parametrize("spec", ["evaluate:{folder}", f"evaluate:accuracy@{COMMIT}"])
def test_without_consent_no_foreign_code_is_touched(tmp_path: Path, spec: str) -> None:
    marker = tmp_path / "ran"
    folder = write_metric(tmp_path, "mine", imports=f"open({str(marker)!r}, 'w').close()")
    with pytest.raises(UsageError) as caught:
        load_external(spec.format(folder=folder), allow_code=False)
    assert caught.value.code == "M007" and "eval.allow_code=true" in caught.value.render()
    assert not marker.exists()


@pytest.mark.parametrize(
    "spec", ["evaluate:accuracy", "evaluate:accuracy@main", "evaluate:owner/name", "evaluate:accuracy@0123"]
)
def test_a_hub_metric_without_a_full_commit_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="M008"):
        parse_spec(spec, allow_code=True)


def test_a_folder_that_is_not_here_says_where_it_was_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_metric(tmp_path / "project", "mine")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    for spec, code in (("evaluate:project/mine", "M008"), ("evaluate:./mine", "M006"), ("evaluate:../mine", "M006")):
        with pytest.raises(UsageError) as caught:
            parse_spec(spec, allow_code=True)
        error = caught.value
        assert error.code == code
        assert error.where == str((tmp_path / "elsewhere" / spec.removeprefix("evaluate:")).resolve())
        assert str(tmp_path / "elsewhere") in str(error.help) and "folder" in error.message
        assert len(error.render().splitlines()) <= 6


@pytest.mark.parametrize("spec", ["evaluate:mine", "evaluate:mine/mine", "evaluate:mine/mine.py"])
def test_a_folder_that_is_here_is_named_where_its_name_or_its_script_was_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    write_metric(tmp_path, "mine")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as caught:
        parse_spec(spec, allow_code=True)
    assert caught.value.code == "M008"
    meant = str(caught.value.help).partition(" ")[0]
    assert parse_spec(meant, allow_code=True).folder == (tmp_path / "mine").resolve()


def test_tables_call_a_score_by_its_last_part_unless_two_end_alike() -> None:
    names = ["loss", "accuracy", "evaluate:mine/hits", "evaluate:accuracy/accuracy"]
    assert short_names(names) == {
        "loss": "loss",
        "accuracy": "accuracy",
        "evaluate:mine/hits": "hits",
        "evaluate:accuracy/accuracy": "evaluate:accuracy/accuracy",
    }


@pytest.mark.parametrize(
    "spec", ["evaluate:", "evaluate:./nowhere", "evaluate:/nowhere/at/all", "evaluate:a b", "evaluate:a/b/c"]
)
def test_what_is_neither_a_folder_nor_a_hub_name_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="M006"):
        parse_spec(spec, allow_code=True)


def test_the_refusal_of_a_folder_without_script_names_the_script(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError) as caught:
        parse_spec(f"evaluate:{tmp_path / 'empty'}", allow_code=True)
    assert "empty/empty.py" in caught.value.render()


@pytest.mark.parametrize(
    "spec", ["evaluate:accuracy", f"evaluate:accuracy@{COMMIT}", f"evaluate:evaluate-metric/accuracy@{COMMIT}"]
)
def test_a_folder_of_the_same_name_in_the_working_directory_never_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    marker = tmp_path / "trapped"
    for parent in (tmp_path, tmp_path / "evaluate-metric", tmp_path / f"accuracy@{COMMIT}"):
        write_metric(parent, "accuracy", imports=f"open({str(marker)!r}, 'w').close()")
    hub = write_metric(tmp_path / "hub", "accuracy", body='return {"accuracy": 0.5}')
    asked: list[Any] = []

    def download(*args: Any, **kwargs: Any) -> str:
        asked.append((args, kwargs))
        return str(hub)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)
    monkeypatch.chdir(tmp_path)
    try:
        scores = load_external(spec, allow_code=True)(np.array([1]), np.array([1]))
    except UsageError as error:
        assert error.code == "M008" and "@" not in spec
    else:
        assert scores == {"accuracy": 0.5}
        (args, kwargs) = asked[0]
        assert args == ("evaluate-metric/accuracy",)
        assert kwargs["repo_type"] == "space" and kwargs["revision"] == COMMIT
    assert not marker.exists()


@pytest.mark.parametrize(
    "failure", [ConnectionError("offline"), FileNotFoundError("no such revision"), RuntimeError("?")]
)
def test_an_unreachable_hub_ends_with_exit_code_five(monkeypatch: pytest.MonkeyPatch, failure: Exception) -> None:
    def fail(*_: Any, **__: Any) -> str:
        raise failure

    monkeypatch.setattr("huggingface_hub.snapshot_download", fail)
    with pytest.raises(HubError, match="M009") as caught:
        load_external(f"evaluate:accuracy@{COMMIT}", allow_code=True)
    assert caught.value.exit_code == 5


def test_a_repository_without_the_script_is_a_hub_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", lambda *_, **__: str(tmp_path))
    with pytest.raises(HubError, match="has no accuracy.py"):
        load_external(f"evaluate:accuracy@{COMMIT}", allow_code=True)


def test_a_script_that_would_fetch_more_code_is_refused(tmp_path: Path) -> None:
    imports = "from .more import thing  # From: https://example.org/more.py"
    folder = write_metric(tmp_path, "fetching", imports=imports)
    with pytest.raises(UsageError, match="fetches more code") as caught:
        load_external(f"evaluate:{folder}", allow_code=True)
    assert caught.value.code == "M010"


def test_a_script_that_cannot_be_imported_names_the_reason(tmp_path: Path) -> None:
    folder = write_metric(tmp_path, "broken", imports="import no_such_package_anywhere")
    with pytest.raises(UsageError, match="no_such_package_anywhere") as caught:
        load_external(f"evaluate:{folder}", allow_code=True)
    assert caught.value.code == "M010" and len(caught.value.render().splitlines()) <= 6


def test_a_metric_that_fails_is_our_error_and_not_a_traceback(tmp_path: Path) -> None:
    run = load_external(f"evaluate:{write_metric(tmp_path, 'failing', body='return 1 / 0')}", allow_code=True)
    with pytest.raises(UsageError, match="ZeroDivisionError") as caught:
        run(np.array([1]), np.array([1]))
    assert caught.value.code == "M011"


@pytest.mark.parametrize(
    "value",
    [
        '{"a": float("nan")}',
        '{"a": [0.1, 0.2]}',
        '{"a": "0.5"}',
        '{"a": None}',
        "{}",
        "0.5",
        "None",
        '{"a": float("inf")}',
    ],
)
def test_only_finite_numbers_by_name_count_as_scores(tmp_path: Path, value: str) -> None:
    run = load_external(f"evaluate:{write_metric(tmp_path, 'odd', body='return ' + value)}", allow_code=True)
    with pytest.raises(UsageError, match="M012"):
        run(np.array([1]), np.array([1]))


def test_numpy_numbers_become_floats(tmp_path: Path) -> None:
    body = 'return {"a": numpy.float32(0.5), "b": numpy.int64(2), "c": numpy.array([1.5]), "d": True}'
    run = load_external(
        f"evaluate:{write_metric(tmp_path, 'kinds', body=body, imports='import numpy')}", allow_code=True
    )
    scores = run(np.array([1]), np.array([1]))
    assert scores == {"a": 0.5, "b": 2.0, "c": 1.5, "d": 1.0} and {type(v) for v in scores.values()} == {float}


def test_two_metrics_of_the_same_name_are_refused(tmp_path: Path) -> None:
    names = [f"evaluate:{write_metric(tmp_path / parent, 'same')}" for parent in ("one", "two")]
    with pytest.raises(UsageError, match="M013"):
        Scorer(names, SINGLE, allow_code=True)


def test_a_scorer_reports_every_bad_name_at_once() -> None:
    with pytest.raises(ErrorGroup) as caught:
        Scorer(["nonsense", "evaluate:accuracy", f"evaluate:f1@{COMMIT}"], SINGLE)
    assert [error.code for error in caught.value.errors] == ["M001", "M008", "M007"]


def test_built_in_metrics_never_import_evaluate() -> None:
    code = (
        "import sys, numpy as n; from bert_cli.metrics import Scorer, Predictions as P\n"
        "Scorer(['accuracy'], 'text-classification').score(P('text-classification', n.eye(2)), n.arange(2))\n"
        "print('evaluate' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_error_of_this_file_has_a_help_line() -> None:
    for spec in ("evaluate:accuracy", "evaluate:./nowhere", f"evaluate:accuracy@{COMMIT}"):
        with pytest.raises(BertctlError) as caught:
            parse_spec(spec, allow_code=False)
        assert caught.value.help or caught.value.allowed
