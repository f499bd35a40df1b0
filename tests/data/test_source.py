"""Where splits are found."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bert_cli.data.source import find_sources
from bert_cli.errors import DataError, HubError, UsageError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Hub, Task

ROWS = "text,label\na,0\nb,1\n"


def make_task(**changes: object) -> Task:
    fields: dict[str, object] = {
        "name": "toy_task",
        "objective": "text-classification",
        "summary": "a toy",
        "splits": {"train": ("train",), "validation": ("validation", "dev"), "test": ("test", "test_unlabelled")},
        "columns": {"text": ("text",), "label": ("label",)},
        "labels": ("negative", "positive"),
        "metrics": ("accuracy",),
        "primary": "accuracy",
    }
    return Task(**{**fields, **changes})  # type: ignore[arg-type]


def fill(folder: Path, *names: str) -> DataSection:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(ROWS.replace(",", "\t") if name.endswith("tsv") else ROWS)
    return DataSection(source=str(folder))


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BERTCTL_DATA", "HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.delenv(name, raising=False)


def test_split_files_are_found_directly_in_the_folder(tmp_path: Path) -> None:
    data = fill(tmp_path, "train.csv", "dev.tsv", "test.csv", "notes.csv")
    sources = find_sources(make_task(), data)
    assert {split: source.origin for split, source in sources.items()} == {
        "train": "train.csv",
        "validation": "dev.tsv",
        "test": "test.csv",
    }
    assert next(sources["validation"].records(data)).values == {"text": "a", "label": "0"}


@pytest.mark.parametrize("alias", ["validation", "valid", "val", "dev", "eval", "VALID"])
def test_usual_names_of_a_split_are_known(tmp_path: Path, alias: str) -> None:
    sources = find_sources(make_task(splits={"validation": ()}), fill(tmp_path, f"{alias}.csv"))
    assert sources["validation"].stem == alias


@pytest.mark.parametrize("folder", ["toy_task", "toy-task", "ToyTask", "TOY"])
def test_a_mirror_of_many_tasks_is_searched_by_the_names_of_the_task(tmp_path: Path, folder: str) -> None:
    data = fill(tmp_path, f"{folder}/train.csv", "other/train.csv")
    assert find_sources(make_task(folders=("toy",)), data)["train"].origin == f"{folder}/train.csv"


def test_a_task_may_lie_two_folders_deep(tmp_path: Path) -> None:
    data = fill(tmp_path, "glue/SST-2/train.csv")
    assert find_sources(make_task(folders=("glue/sst2",)), data)["train"].origin == "glue/SST-2/train.csv"


@pytest.mark.parametrize("names", [("train.csv", "train.tsv"), ("train.csv", "train.csv.gz")])
def test_two_files_for_one_split_are_refused_naming_both(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(DataError) as caught:
        find_sources(make_task(), fill(tmp_path, *names))
    assert caught.value.code == "D022" and all(name in caught.value.message for name in names)


def test_two_usual_names_of_one_split_are_refused_too(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="D022"):
        find_sources(make_task(), fill(tmp_path, "validation.csv", "dev.csv"))


def test_a_later_stem_of_the_task_serves_only_where_an_earlier_one_is_absent(tmp_path: Path) -> None:
    data = fill(tmp_path, "test_unlabelled.csv")
    assert find_sources(make_task(), data)["test"].stem == "test_unlabelled"
    fill(tmp_path, "test.csv")
    assert find_sources(make_task(), data)["test"].stem == "test"


def test_a_folder_without_splits_is_refused_listing_what_is_there(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        find_sources(make_task(), fill(tmp_path, "corpus.csv", "notes.md"))
    assert caught.value.code == "D021"
    assert caught.value.found == "corpus.csv, notes.md" and "train.*" in str(caught.value.allowed)
    assert len(caught.value.render().splitlines()) <= 6


def test_a_missing_folder_is_refused_with_its_nearest_sibling(tmp_path: Path) -> None:
    fill(tmp_path, "reviews/train.csv")
    with pytest.raises(DataError) as caught:
        find_sources(make_task(), DataSection(source=str(tmp_path / "review")))
    assert (caught.value.code, caught.value.suggestion()) == ("D020", "reviews")


def test_a_single_file_is_the_split_that_the_caller_asks_for(tmp_path: Path) -> None:
    fill(tmp_path, "mine.csv")
    data = DataSection(source=str(tmp_path / "mine.csv"))
    assert list(find_sources(make_task(), data)) == ["train"]
    assert find_sources(make_task(), data, file_split="validation")["validation"].origin == "mine.csv"


def test_the_recipe_comes_before_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "env", "train.csv")
    data = fill(tmp_path / "recipe", "train.tsv")
    monkeypatch.setenv("BERTCTL_DATA", str(tmp_path / "env"))
    assert find_sources(make_task(), data)["train"].origin == "train.tsv"
    assert find_sources(make_task(), DataSection())["train"].origin == "train.csv"


def test_a_validation_file_that_is_named_as_the_task_knows_it_is_one_split(tmp_path: Path) -> None:
    data = fill(tmp_path, "train.csv", "dev.csv").model_copy(update={"validation": "dev"})
    assert list(find_sources(make_task(), data)) == ["train", "validation"]


def test_a_hub_split_that_is_named_as_the_task_knows_it_is_one_split(monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_task(hub=Hub(path="acme/toy", splits={"train": "train", "validation": "dev"}))
    monkeypatch.setattr("bert_cli.data.source.load", lambda *args, **options: ["train", "dev", "extra"])
    for given in (None, "hub:acme/toy"):
        for name, wanted in (("dev", []), ("extra", ["extra"])):
            data = DataSection(source=given, validation=name)
            assert list(find_sources(task, data)) == ["train", "validation", *wanted]


def test_a_named_data_set_has_beside_it_what_its_task_says(monkeypatch: pytest.MonkeyPatch) -> None:
    beside = {"corpus": ("corpus", "corpus")}
    task = make_task(hub=Hub(path="acme/toy", beside=beside))
    monkeypatch.setattr("bert_cli.data.source.load", lambda *args, **options: ["train"])
    for given in (None, "hub:acme/toy", "hub:other/copy"):
        corpus = find_sources(task, DataSection(source=given))["train"].beside["corpus"]
        assert corpus.origin == f"{'other/copy' if given and 'copy' in given else 'acme/toy'}:corpus:corpus"


def test_a_validation_file_of_another_name_is_found(tmp_path: Path) -> None:
    data = fill(tmp_path, "train.csv", "holdout.csv").model_copy(update={"validation": "holdout"})
    assert find_sources(make_task(), data)["holdout"].origin == "holdout.csv"


def test_the_limit_is_kept_and_the_fingerprint_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = fill(tmp_path, "train.csv", "test.csv").model_copy(update={"limit": 1})
    sources = find_sources(make_task(), data)
    assert len(list(sources["train"].records(data))) == 1
    assert sources["train"].fingerprint() == sources["test"].fingerprint()
    (tmp_path / "test.csv").write_text(ROWS + "c,1\n")
    assert sources["train"].fingerprint() != sources["test"].fingerprint()


def test_a_generic_task_needs_data() -> None:
    with pytest.raises(UsageError, match="U061"):
        find_sources(make_task(), DataSection())


@pytest.mark.parametrize("name", ["hub:", "hub:a/b/c", "hub:../x", "hub:/x"])
def test_a_hub_name_has_an_owner_and_a_name(name: str) -> None:
    with pytest.raises(UsageError, match="U062"):
        find_sources(make_task(), DataSection(source=name))


def test_a_split_may_lie_in_another_repository() -> None:
    splits = {"train": "other/set:small:all", "test": "test_all"}
    found = find_sources(make_task(hub=Hub(path="acme/none", config="c", splits=splits)), DataSection())
    assert {name: source.origin for name, source in found.items()} == {
        "train": "other/set:small:all",
        "test": "acme/none:c:test_all",
    }


def test_only_the_splits_that_the_hub_has_are_looked_for_there() -> None:
    task = make_task(hub=Hub(path="acme/none", config="c", splits={"train": "train", "test": "test_all"}))
    sources = find_sources(task, DataSection())
    assert [source.origin for source in sources.values()] == ["acme/none:c:train", "acme/none:c:test_all"]


def test_offline_without_a_cached_copy_fails_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path))
    begin = time.monotonic()
    for source in (None, "hub:acme/absent"):
        with pytest.raises(HubError) as caught:
            find_sources(make_task(hub=Hub(path="acme/absent")), DataSection(source=source), offline=True)
        assert caught.value.code == "E020" and "acme/absent" in caught.value.message
        assert "--data DIR" in str(caught.value.help)
    assert time.monotonic() - begin < 1


SCRIPT = """
import json, sys
from bert_cli.data.source import find_sources
from bert_cli.errors import BertctlError
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Hub, Task
hub = Hub(path="acme/Toy") if sys.argv[1] == "task" else None
data = DataSection(source=None if hub else "hub:acme/Toy")
task = Task(name="toy", objective="text-classification", summary="", splits={"train": ("train",)}, hub=hub,
            columns={"text": ("text",), "label": ("label",)}, metrics=(), primary="")
try:
    train = find_sources(task, data)["train"]
    rows = [record.values for record in train.records(data)]
    print(json.dumps([rows, train.fingerprint()]))
except BertctlError as error:
    print(error.render())
    sys.exit(error.exit_code)
"""


def in_a_process(kind: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [sys.executable, "-c", SCRIPT, kind], env={**clean, **environment}, capture_output=True, text=True, timeout=60
    )


def test_an_unreachable_hub_ends_soon_and_says_how_to_go_on(tmp_path: Path) -> None:
    begin = time.monotonic()
    done = in_a_process("task", HF_ENDPOINT="http://127.0.0.1:9", HF_HOME=str(tmp_path))
    assert done.returncode == 5, done.stderr
    assert "acme/Toy" in done.stdout and "--data DIR" in done.stdout
    assert time.monotonic() - begin < 15


def cached_copy(home: Path) -> str:
    """A data set in the cache of `datasets`, as a download leaves it; returns its commit."""
    import datasets
    from datasets.arrow_writer import ArrowWriter

    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = home / "datasets" / "acme___toy" / "default" / "0.0.0" / commit
    folder.mkdir(parents=True)
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])}
    )
    with ArrowWriter(path=str(folder / "toy-train.arrow"), features=features) as writer:
        for text, label in (("a", 1), ("b", 0), ("c", -1)):
            writer.write({"text": text, "label": label})
        writer.finalize()
    splits = datasets.splits.SplitDict({"train": datasets.SplitInfo("train", num_bytes=1, num_examples=3)})
    info = datasets.DatasetInfo(
        features=features, splits=splits, dataset_name="toy", config_name="default", version="0.0.0"
    )
    info.write_to_directory(str(folder))
    return commit


@pytest.mark.parametrize("kind", ["task", "hub"])
@pytest.mark.parametrize("state", ["offline", "unreachable"])
def test_a_cached_copy_serves_without_a_network_and_class_ids_become_names(
    tmp_path: Path, kind: str, state: str
) -> None:
    commit = cached_copy(tmp_path)
    network = {"HF_HUB_OFFLINE": "1"} if state == "offline" else {"HF_ENDPOINT": "http://127.0.0.1:9"}
    done = in_a_process(kind, HF_HOME=str(tmp_path), **network)
    assert done.returncode == 0, done.stdout + done.stderr
    rows, fingerprint = json.loads(done.stdout)
    assert [row["label"] for row in rows] == ["good", "bad", "-1"]
    assert fingerprint == f"acme/Toy@{commit}:default:train"


def test_a_repository_with_only_a_loading_script_is_read_from_the_hubs_converted_copy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import datasets  # type: ignore[import-untyped, unused-ignore]

    from bert_cli.data import hub

    asked: list[str | None] = []

    def load_dataset(name: str, config: str | None, *, revision: str | None) -> str:
        asked.append(revision)
        if revision is None:
            raise RuntimeError("Dataset scripts are no longer supported, but found banking77.py")
        return f"{name} at {revision}"

    monkeypatch.setattr(hub, "_answers", lambda _: True)
    monkeypatch.setattr(datasets, "load_dataset", load_dataset)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert hub.load("owner/scripted", None) == "hf://datasets/owner/scripted at refs/convert/parquet"
    assert asked == [None, "refs/convert/parquet"]
