"""Layers, origins and mistakes of recipes, and the round trip through a file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from bert_cli.errors import BertctlError, ErrorGroup, UsageError
from bert_cli.recipe import files
from bert_cli.recipe.keys import FOREIGN, known_keys
from bert_cli.recipe.load import load_recipe, shipped_recipes
from bert_cli.recipe.schema import Recipe

Write = Callable[[str, str], str]
DEFAULTS = Recipe.model_validate({})


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a recipe below the working folder, which is empty at first."""
    monkeypatch.chdir(tmp_path)

    def _write(name: str, text: str) -> str:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text(text, encoding="utf-8")
        return name

    return _write


@pytest.fixture
def shipped(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shipped recipes of our own."""
    monkeypatch.setattr(files, "recipes_root", lambda: Path("shipped"))
    write("shipped/finetune/sst2.yaml", "# Sentiment.\ntask: sst2\ntrain:\n  lr: 2e-5\n  epochs: 4\n")
    write("shipped/pretrain/tiny.yaml", "# Small.\nmask:\n  rate: 0.3\n")


def mistakes(path: str | None = None, overrides: Sequence[str] = (), **flags: object) -> list[BertctlError]:
    with pytest.raises(BertctlError) as caught:
        load_recipe(path, overrides=overrides, flags={key.replace("__", "."): value for key, value in flags.items()})
    return list(caught.value.errors) if isinstance(caught.value, ErrorGroup) else [caught.value]


def mistake(path: str | None = None, overrides: Sequence[str] = (), **flags: object) -> BertctlError:
    (error,) = mistakes(path, overrides, **flags)
    return error


def test_nothing_given_is_the_default_recipe() -> None:
    loaded = load_recipe()
    assert loaded.recipe == DEFAULTS
    assert {origin.kind for origin in loaded.origins.values()} == {"default"}
    assert [key for key, _, _ in loaded.rows()] == list(known_keys().fields)


def test_later_layers_win_and_every_value_knows_its_layer(write: Write, shipped: None) -> None:
    write("base.yaml", "train:\n  lr: 1e-5\n  seed: 1\n  batch_size: 8\n  warmup: 0\n")
    path = write(
        "mine.yaml", "extends: [finetune/sst2, base.yaml]\ntrain:\n  seed: 2\n  batch_size: 16\n  warmup: 0.5\n"
    )
    loaded = load_recipe(path, overrides=["train.batch_size=64", "train.warmup=1"], flags={"train.warmup": 0.2})
    train = loaded.recipe.train
    assert (train.epochs, train.lr, train.seed, train.batch_size, train.warmup) == (4.0, 1e-5, 2, 64, 0.2)
    origins = {key: origin for key, _, origin in loaded.rows()}
    assert origins["train.epochs"] == "extends finetune/sst2:5"
    assert origins["train.lr"] == "extends base.yaml:2"
    assert origins["train.seed"] == "mine.yaml:3"
    assert origins["train.batch_size"] == "train.batch_size=64"
    assert origins["train.warmup"] == "--warmup"
    assert origins["train.beta1"] == "default"


def test_a_task_brings_its_shipped_recipe_unless_a_file_is_given(write: Write, shipped: None) -> None:
    by_task = load_recipe(task="sst2")
    assert by_task.recipe.train.epochs == 4.0
    assert str(by_task.origins["train.epochs"]) == "shipped finetune/sst2:5"
    both = load_recipe(write("mine.yaml", "task: cola\n"), task="sst2")
    assert (both.recipe.task, both.recipe.train.epochs) == ("sst2", 3.0)
    assert both.origins["task"].kind == "flag"


@pytest.mark.parametrize("name", ["sst2", "finetune/sst2", "tiny", "shipped/finetune/sst2.yaml"])
def test_a_recipe_is_named_by_file_or_by_shipped_name(name: str, shipped: None) -> None:
    assert load_recipe(name).recipe != DEFAULTS


def test_a_file_wins_over_a_shipped_name(write: Write, shipped: None) -> None:
    write("sst2", "train: {epochs: 9}\n")
    assert load_recipe("sst2").recipe.train.epochs == 9.0


@pytest.mark.parametrize(
    ("name", "meant"), [("sst", "sst2"), ("finetune/sst", "finetune/sst2"), ("mnie.yaml", "mine.yaml")]
)
def test_a_missing_recipe_suggests_the_nearest(name: str, meant: str, write: Write, shipped: None) -> None:
    write("mine.yaml", "")
    error = mistake(name)
    assert (error.code, error.suggestion()) == ("R001", meant)


def test_shipped_recipes_are_named_by_folder_and_stem(shipped: None) -> None:
    assert list(shipped_recipes()) == ["finetune/sst2", "pretrain/tiny"]


def test_a_run_folder_stands_for_its_recipe_and_another_folder_for_none(write: Write) -> None:
    write("runs/a/recipe.yaml", "task: rte\n")
    assert load_recipe("runs/a").recipe.task == "rte"
    assert load_recipe(write("mine.yaml", "extends: runs/a\n")).recipe.task == "rte"
    assert (mistake("runs").code, mistake("runs").help) == ("R002", "name a file in it, or a run folder")


def test_a_name_that_no_file_can_have_is_no_recipe() -> None:
    assert mistake("x" * 5000).code == "R001"


def test_mappings_merge_key_by_key_and_lists_are_replaced(write: Write) -> None:
    write(
        "base.yaml", "data:\n  columns: {text: a, label: b}\n  labels: [x, y, z]\nmodel:\n  config: {hidden_size: 8}\n"
    )
    path = write("mine.yaml", "extends: base.yaml\ndata:\n  columns: {label: c}\n  labels: [n, p]\n")
    overrides = ["data.columns.text_pair=d", "model.config={num_hidden_layers: 2}"]
    loaded = load_recipe(path, overrides=overrides)
    assert loaded.recipe.data.columns == {"text": "a", "label": "c", "text_pair": "d"}
    assert loaded.recipe.data.labels == ("n", "p")
    assert loaded.recipe.model.config == {"hidden_size": 8, "num_hidden_layers": 2}
    assert str(loaded.origins["data.columns.label"]) == "mine.yaml:3"
    assert load_recipe(path, overrides=["data.columns="]).recipe.data.columns == {}


def test_an_empty_section_is_no_mistake(write: Write) -> None:
    assert load_recipe(write("r.yaml", "train:\n#  lr: 1\ndata:\n  columns:\n")).recipe == DEFAULTS


@pytest.mark.parametrize(
    ("written", "names"),
    [("[0, 1]", ("0", "1")), ("[00, 01]", ("00", "01")), ("[-1, +1]", ("-1", "+1")), ("[no, true]", ("no", "true"))],
)
def test_label_names_are_the_text_that_was_written(written: str, names: tuple[str, ...], write: Write) -> None:
    assert load_recipe(overrides=[f"data.labels={written}"]).recipe.data.labels == names
    assert load_recipe(write("r.yaml", f"data: {{labels: {written}}}\n")).recipe.data.labels == names
    assert load_recipe(flags={"data.labels": [0, 1]}).recipe.data.labels == ("0", "1")


def test_a_whole_number_serves_where_a_fraction_is_wanted() -> None:
    epochs = load_recipe(overrides=["train.epochs=3"]).recipe.train.epochs
    assert (epochs, type(epochs)) == (3.0, float)


def test_all_mistakes_of_a_recipe_are_reported_at_once_in_reading_order(write: Write) -> None:
    path = write(
        "bad.yaml",
        "task: sst\ntrain:\n  lr: '3e-5'\n  learning_rate: 3e-5\n  precision: fp16\n  batch_size: 0\n  epochs: .nan\n"
        "data:\n  validation: 0%\n  validation: 5%\n",
    )
    found = mistakes(path, ["train.eps=many", "train.warmup"], train__seed=-1)
    assert [(error.code, error.where, error.key) for error in found] == [
        ("U010", "bad.yaml:1", "task"),
        ("R021", "bad.yaml:3", "train.lr"),
        ("R020", "bad.yaml:4", "train.learning_rate"),
        ("R022", "bad.yaml:5", "train.precision"),
        ("R022", "bad.yaml:6", "train.batch_size"),
        ("R013", "bad.yaml:7", "train.epochs"),
        ("R023", "bad.yaml:9", "data.validation"),
        ("R006", "bad.yaml:10", "data.validation"),
        ("R030", "train.warmup", None),
        ("R021", "train.eps=many", "train.eps"),
        ("R022", "--seed", "train.seed"),
    ]
    assert {error.exit_code for error in found} == {2}
    assert all(len(error.render().splitlines()) <= 6 for error in found)


def test_text_where_a_number_is_wanted_names_the_wanted_type(write: Write) -> None:
    assert mistake(write("r.yaml", "train:\n  lr: '3e-5'\n")).render().splitlines() == [
        "error[R021]: train.lr wants a number > 0, not text",
        "  --> r.yaml:2 (train.lr)",
        "  found: '3e-5'",
        "  allowed: a number > 0",
        "  help: remove the quotes: lr: 3e-5",
    ]


@pytest.mark.parametrize(
    ("override", "code", "allowed", "help"),
    [
        ("train.batch_size=32.0", "R021", "a whole number ≥ 1", "write batch_size: 32"),
        ("model.reset_head=yes", "R021", "true or false", "write reset_head: true"),
        ("model.revision=3", "R021", "text or null", 'quote it: revision: "3"'),
        ("train.lr=true", "R021", "a number > 0", "bertctl recipe schema"),
        ("train.class_weights=[1, a]", "R021", "a number > 0", "bertctl recipe schema"),
        ("train.seed=4294967296", "R022", "a whole number ≥ 0 and < 4294967296", "bertctl recipe schema"),
        ("eval.threshold=2", "R022", ["auto", "a number ≥ 0 and ≤ 1"], "bertctl recipe schema"),
        ("model.freeze=all", "R022", ["encoder", "a whole number ≥ 0"], "bertctl recipe schema"),
        ("data.labels=[a, a]", "R023", "at least two different names are needed", None),
        ("data.labels=[a, null]", "R021", "text", "bertctl recipe schema"),
        ("train.lr={a: 1}", "R021", "a number > 0", "bertctl recipe schema"),
        ("train.lr=.inf", "R013", None, "quote text"),
        ("model.config.a=[1]", "R021", "true or false or a whole number or a number or text", "bertctl recipe schema"),
    ],
)
def test_a_wrong_value_is_one_mistake_in_the_users_words(
    override: str, code: str, allowed: object, help: str | None
) -> None:
    error = mistake(None, [override])
    assert (error.code, error.allowed, error.help) == (code, allowed, help)
    assert error.where == override


@pytest.mark.parametrize(
    ("override", "meant"),
    [
        ("train.batchsize=3", "batch_size"),
        ("trian.lr=3", "train.lr"),
        ("train.max_length=3", "data.max_length"),
        ("modle=3", "model"),
    ],
)
def test_an_unknown_key_suggests_the_nearest(override: str, meant: str) -> None:
    error = mistake(None, [override])
    assert (error.code, error.suggestion()) == ("R020", meant)


def test_keys_of_transformers_are_translated() -> None:
    assert mistake(None, ["train.learning_rate=3"]).allowed == ["train.lr"]
    assert mistake(None, ["output_dir=x"]).allowed == ["run.out"]
    assert "not needed" in (mistake(None, ["gradient_accumulation_steps=2"]).help or "")
    assert {meant for meant, _ in FOREIGN.values() if meant} <= set(known_keys().fields)
    assert not set(FOREIGN) & set(known_keys().fields)


def test_a_dotted_key_in_a_file_is_told_to_nest(write: Write) -> None:
    error = mistake(write("r.yaml", "train.lr: 3\n"))
    assert (error.code, error.where, error.help) == ("R020", "r.yaml:1", "train:, and lr: below it")


@pytest.mark.parametrize(
    ("override", "code"), [("train=3", "R031"), ("train.lr.x=3", "R020"), ("=3", "R020"), ("x", "R030")]
)
def test_an_override_names_one_value(override: str, code: str) -> None:
    assert mistake(None, [override]).code == code


def test_a_value_in_the_place_of_a_section_is_refused(write: Write) -> None:
    error = mistake(write("r.yaml", "task: sst2\ntrain: 3\n"))
    assert (error.code, error.where, error.key) == ("R024", "r.yaml:2", "train")


def test_a_rule_between_two_keys_names_both_and_its_place(write: Write) -> None:
    error = mistake(write("r.yaml", "data:\n  labels: [a, b]\ntrain:\n  class_weights: [1, 2, 3]\n"))
    assert (error.code, error.key) == ("R023", "data.labels, train.class_weights")
    assert error.where in ("r.yaml:2", "r.yaml:4")


def test_flags_that_cannot_be_written_to_a_file_are_refused() -> None:
    assert mistake(None, (), train__lr=float("inf")).code == "R013"
    assert mistake(None, (), data__source="\udcff").code == "R014"


def test_recipes_that_extend_each_other_are_refused(write: Write) -> None:
    write("a.yaml", "extends: b.yaml\n")
    write("b.yaml", "task: sst2\nextends: ./a.yaml\n")
    error = mistake("a.yaml")
    assert (error.code, error.where, error.key) == ("R041", "b.yaml:2", "extends")


def test_a_fan_of_extends_is_cut_short(write: Write) -> None:
    for level in range(20):
        write(f"r{level}.yaml", f"extends: [r{level + 1}.yaml, r{level + 1}.yaml]\n")
    write("r20.yaml", "task: sst2\n")
    assert {error.code for error in mistakes("r0.yaml")} == {"R042"}


def test_extends_is_relative_to_its_file_and_must_exist(write: Write, shipped: None) -> None:
    write("deep/base.yaml", "train: {seed: 7}\n")
    assert load_recipe(write("deep/mine.yaml", "extends: base.yaml\n")).recipe.train.seed == 7
    error = mistake(write("r.yaml", "task: sst2\nextends: finetune/sts2\n"))
    assert (error.code, error.where, error.suggestion()) == ("R001", "r.yaml:2", "finetune/sst2")
    assert mistake(write("r.yaml", "extends: {a: b}\n")).code == "R040"
    assert "extends" not in load_recipe(write("r.yaml", "extends: finetune/sst2\n")).origins


def test_every_recipe_that_is_shipped_loads() -> None:
    for name in shipped_recipes():
        assert load_recipe(name).recipe != DEFAULTS


def test_usage_errors_are_what_a_recipe_raises(write: Write) -> None:
    with pytest.raises(UsageError):
        load_recipe(write("r.yaml", "a: &x 1\n"))


def test_a_wrong_value_of_a_mapping_is_named_by_its_key(write: Write) -> None:
    wrong = mistake(write("r.yaml", "data:\n  lengths:\n    64: 0.5\n    128: -1\n"))
    assert (wrong.key, wrong.where) == ("data.lengths.128", "r.yaml:4")
