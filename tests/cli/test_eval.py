"""`bertctl eval`: a recorded score is repeated exactly, and labels are matched by name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from command import SMALL, Cli
from tiny import tiny_data

FILE = ("finetune", "--task", "text-classification", "--out", "run", "--json", *SMALL)
GENERIC = ("finetune", "--task", "text-classification", "--data", "d", "--out", "run", "--json", *SMALL)


def recorded(run: Path) -> dict[str, float]:
    scores: dict[str, float] = json.loads((run / "status.json").read_text())["result"]["scores"]["validation"]
    return scores


def permuted(best: Path, folder: Path, names: list[str]) -> None:
    """A copy of a model whose outputs come in the order of `names`."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(best, folder)
    config = json.loads((folder / "config.json").read_text())
    old = [config["id2label"][str(i)] for i in range(len(names))]
    order = [old.index(name) for name in names]
    config["id2label"] = {str(i): name for i, name in enumerate(names)}
    config["label2id"] = {name: i for i, name in enumerate(names)}
    (folder / "config.json").write_text(json.dumps(config))
    weights = load_file(folder / "model.safetensors")
    for name in ("classifier.weight", "classifier.bias"):
        weights[name] = weights[name][order].contiguous()
    save_file(weights, folder / "model.safetensors", {"format": "pt"})


def unnamed(best: Path, folder: Path) -> None:
    """A copy of a model as others publish them: LABEL_0, LABEL_1, and no file of bertctl."""
    shutil.copytree(best, folder)
    (folder / "bertctl.json").unlink()
    config = json.loads((folder / "config.json").read_text())
    config["id2label"] = {key: f"LABEL_{key}" for key in config["id2label"]}
    config["label2id"] = {name: int(key) for key, name in config["id2label"].items()}
    (folder / "config.json").write_text(json.dumps(config))


def test_the_recorded_score_is_repeated_exactly(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    for words in ((sst_run,), (sst_run / "best",), (sst_run, "--data", sst_like), (sst_run, "eval.batch_tokens=8192")):
        assert cli("eval", *words, "--json").json["scores"] == recorded(sst_run)
    # Away from its run folder the model still knows task, columns, length and precision.
    shutil.copytree(sst_run / "best", "elsewhere")
    assert cli("eval", "elsewhere", "--data", sst_like, "--json").json["scores"] == recorded(sst_run)


def test_the_result_names_everything_that_shaped_it(cli: Cli, sst_run: Path) -> None:
    found = cli("eval", sst_run, "--json").json
    facts = {key: found[key] for key in ("task", "split", "origin", "n", "labels", "precision", "threshold")}
    assert facts == {
        "task": "sst2",
        "split": "validation",
        "origin": "validation.tsv",
        "n": 24,
        "labels": ["negative", "positive"],
        "precision": "fp32",
        "threshold": None,
    }
    matrix = found["report"]["confusion_matrix"]
    assert sum(map(sum, matrix)) == 24
    assert (matrix[0][0] + matrix[1][1]) / 24 == pytest.approx(found["scores"]["accuracy"])
    shown = cli("eval", sst_run)
    assert "scored on validation: validation.tsv, 24 rows\n" in shown.out
    assert f"accuracy  {found['scores']['accuracy']:.4f}" in shown.out and "rows: gold" in shown.out


def test_another_split_and_other_metrics_can_be_scored(cli: Cli, sst_run: Path) -> None:
    shutil.copytree(sst_run, "run")
    found = cli("eval", "run", "eval.metrics=[f1_macro,roc_auc]", "--split", "train", "--json").json
    assert found["n"] == 64 and set(found["scores"]) == {"loss", "accuracy", "f1_macro", "roc_auc"}
    assert found["predictions"] == "run/predictions/train.jsonl"


def test_predictions_are_written_where_asked(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    assert cli("eval", sst_run, "--predictions", "here/p.jsonl").code == 0
    assert Path("here/p.jsonl").read_bytes() == (sst_run / "predictions/validation.jsonl").read_bytes()
    shutil.copytree(sst_run / "best", "bare")
    written = cli("eval", "bare", "--data", sst_like, "--json").json["predictions"]
    assert written == "predictions-sst2-bare-validation.jsonl"


def test_other_settings_leave_the_predictions_of_the_recorded_score_alone(cli: Cli, sst_run: Path) -> None:
    shutil.copytree(sst_run, "run")
    kept = Path("run", "predictions", "validation.jsonl")
    before = kept.read_bytes()
    for words, name in (
        (("--max-length", "8"), "length-8-validation.jsonl"),
        (("--precision", "bf16"), "precision-bf16-validation.jsonl"),
    ):
        assert cli("eval", "run", *words, "--json").json["predictions"] == str(kept.with_name(name))
    assert kept.read_bytes() == before
    assert cli("eval", "run", "--json").json["predictions"] == str(kept)


def test_files_of_one_name_keep_their_predictions_apart(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    shutil.copytree(sst_run, "run")
    written = set()
    for folder in ("a", "b"):
        Path(folder).mkdir()
        shutil.copy(sst_like / "validation.tsv", Path(folder, "new.tsv"))
        written.add(cli("eval", "run", "--data", f"{folder}/new.tsv", "--json").json["predictions"])
    assert len(written) == 2 and all(Path(name).is_file() for name in written)


def test_scores_on_the_training_file_come_with_a_word_of_doubt(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    doubt = "is the file that the run was trained on"
    assert doubt in cli("eval", sst_run, "--data", sst_like / "train.tsv", "--predictions", "p.jsonl").err
    assert doubt not in cli("eval", sst_run, "--predictions", "q.jsonl").err


def test_a_folder_of_seeds_names_its_runs(cli: Cli, sst_run: Path) -> None:
    shutil.copytree(sst_run, "all/seed-42")
    shutil.copy(sst_run / "recipe.yaml", "all/recipe.yaml")
    done = cli("eval", "all")
    assert done.code == 4 and "error[L012]" in done.err and "help: name one of them: all/seed-42" in done.err


@pytest.mark.parametrize("gate", ["accuracy=90", "validation/f1_macro=1.5"])
def test_a_gate_that_no_model_can_pass_is_refused(cli: Cli, sst_run: Path, gate: str) -> None:
    done = cli("eval", sst_run, "--fail-under", gate)
    assert done.code == 2 and "is never above 1" in done.err


def test_a_run_of_many_gpus_is_scored_on_what_is_here(cli: Cli, sst_run: Path) -> None:
    shutil.copytree(sst_run, "run")
    recipe = Path("run", "recipe.yaml")
    text = recipe.read_text()
    recipe.write_text(text.replace("device: auto", "device: cuda").replace("processes: 1", "processes: 8"))
    assert recipe.read_text() != text
    assert cli("eval", "run", "--json").json["scores"] == recorded(Path("run"))


def test_gates_that_are_met_end_with_0(cli: Cli, sst_run: Path) -> None:
    assert cli("eval", sst_run, "--fail-under", "accuracy=0", "--fail-under", "loss=100").code == 0


def test_a_model_with_its_labels_in_another_order_scores_the_same(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    words = ("finetune", "--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", "run", "--lr", "5e-3")
    assert cli(*words, *SMALL, "--epochs", 4).code == 0
    permuted(Path("run/best"), Path("swapped"), ["positive", "negative"])
    found = cli("eval", "swapped", "--data", sst_like, "--json").json
    assert found["labels"] == ["positive", "negative"]
    assert found["scores"] == pytest.approx(recorded(Path("run")), abs=1e-6)


def test_three_classes_in_any_order_score_the_same(cli: Cli, tiny_bert: Path) -> None:
    Path("d").mkdir()
    for split in ("train", "validation"):
        rows = "".join(f"a {word} film,{label}\n" * 6 for word, label in (("good", "2"), ("bad", "0"), ("dim", "1")))
        Path(f"d/{split}.csv").write_text("text,label\n" + rows)
    done = cli(*GENERIC, "--model", tiny_bert, "--lr", "1e-2")
    permuted(Path("run/best"), Path("rotated"), ["1", "2", "0"])
    found = cli("eval", "rotated", "--data", "d", "--json").json
    # Names that are numbers mean classes, not positions.
    assert found["scores"] == pytest.approx(done.json["scores"]["validation"], abs=1e-6)


def test_outputs_without_names_need_labels(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    unnamed(sst_run / "best", Path("model"))
    words = ("eval", "model", "--task", "sst2", "--data", sst_like, "--json", "data.max_length=32")
    done = cli(*words)
    assert done.code == 4 and "error[L042]" in done.err and "help: --labels negative,positive" in done.err
    found = cli(*words, "--labels", "negative,positive", "--precision", "fp32").json
    assert found["scores"] == pytest.approx(recorded(sst_run), abs=1e-6)
    swapped = cli(*words, "--labels", "positive,negative").json["scores"]
    assert swapped["accuracy"] == pytest.approx(1 - found["scores"]["accuracy"])


def test_a_head_without_names_is_not_trained_on_unless_reset(cli: Cli, sst_run: Path) -> None:
    unnamed(sst_run / "best", Path("model"))
    tiny_data(Path("d"))
    done = cli(*GENERIC, "--model", "model")
    assert done.code == 4 and "error[L030]" in done.err and "model.reset_head=true" in done.err
    assert cli(*GENERIC, "--model", "model", "model.reset_head=true").code == 0


def own_file(cli: Cli, model: Path, *words: str) -> Path:
    """A run on one file of 64 rows, which holds some of them out; the file."""
    data = tiny_data(Path("d"))
    file = data / "train.tsv"
    assert cli(*FILE, "--model", model, "--data", file, *words).code == 0
    return file


def test_the_limit_of_a_run_cuts_its_own_data_and_no_others(cli: Cli, tiny_bert: Path) -> None:
    own_file(cli, tiny_bert, "--limit", "20")
    assert cli("eval", "run", "--json").json["scores"] == recorded(Path("run"))
    assert cli("eval", "run", "--data", "d/validation.tsv", "--json").json["n"] == 24
    assert cli("eval", "run", "data.source=d/validation.tsv", "--json").json["n"] == 24
    assert cli("eval", "run", "--data", "d/validation.tsv", "--limit", "5", "--json").json["n"] == 5


def test_rows_that_were_held_out_of_the_training_file_are_called_so(cli: Cli, tiny_bert: Path) -> None:
    own_file(cli, tiny_bert, "data.validation=25%")
    done = cli("eval", "run")
    assert "scored on validation: 25 % held out of train.tsv, 16 rows\n" in done.out
    assert cli("eval", "run", "--json").json["held_out"] == 0.25
    other = cli("eval", "run", "--data", "d/validation.tsv")
    assert "scored on validation: validation.tsv, 24 rows\n" in other.out


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (("--limit", "10"), "--limit"),
        (("data.validation=50%",), "data.validation"),
        (("train.seed=7",), "train.seed"),
        (("--data", "d"), "--limit"),
    ],
)
def test_rows_that_the_run_was_trained_on_are_not_scored_as_if_held_out(
    cli: Cli, tiny_bert: Path, words: tuple[str, ...], key: str
) -> None:
    own_file(cli, tiny_bert, "--limit", "40")
    Path("d/validation.tsv").unlink()
    done = cli("eval", "run", *words)
    assert done.code == 2 and "error[U055]" in done.err and f"d/train.tsv ({key})" in done.err
    assert cli("eval", "run").code == 0


@pytest.mark.parametrize(
    ("change", "file", "then"),
    [("bytes", "validation", "validation"), ("gone", "train", "validation"), ("new", "validation", "train")],
)
def test_data_that_changed_since_the_run_are_not_scored_as_if_they_were_the_same(
    cli: Cli, tiny_bert: Path, change: str, file: str, then: str
) -> None:
    tiny_data(Path("d"))
    held = Path("d/validation.tsv")
    if change == "new":
        held.unlink()
    assert cli(*GENERIC, "--model", tiny_bert).code == 0
    if change == "gone":
        held.unlink()
    else:
        held.write_text("text\tlabel\na good film\tgood\n")
    done = cli("eval", "run")
    assert done.code == 3 and "error[D091]" in done.err and f"d/{file}.tsv (data.source)" in done.err
    assert f"found: {file} " in done.err and f"allowed: {then} " in done.err and "--data FILE" in done.err
    if change == "bytes":
        assert cli("eval", "run", "--split", "train").code == 0
        assert cli("eval", "run", "--data", held, "--json").json["n"] == 1


def test_only_the_file_of_the_scored_split_must_be_the_old_one(cli: Cli, tiny_bert: Path) -> None:
    train = tiny_data(Path("d")) / "train.tsv"
    assert cli(*GENERIC, "--model", tiny_bert).code == 0
    train.write_text(train.read_text() + "a fine plot\tgood\n")
    assert cli("eval", "run", "--json").json["scores"] == recorded(Path("run"))
    assert cli("eval", "run", "--split", "train").code == 3


def test_a_corpus_that_changed_is_not_scored_as_if_it_were_the_same(cli: Cli, tiny_bert: Path) -> None:
    text = "the film was good\n\nthe plot was dull\n\nthe cast was warm\n"
    Path("c.txt").write_text(text)
    assert cli("pretrain", "--model", tiny_bert, "--data", "c.txt", "--out", "run", *SMALL).code == 0
    done = cli("eval", "run")
    assert done.code == 0 and "scored on validation: 33.3 % held out of c.txt, 1 block\n" in done.out
    Path("c.txt").write_text(text + "\nthe scene was cold\n")
    done = cli("eval", "run")
    assert done.code == 3 and "error[D091]" in done.err and "c.txt (data.source)" in done.err


def test_a_gate_on_no_score_is_refused_before_data_are_read(cli: Cli, sst_run: Path) -> None:
    for gate, help in (
        ("acuracy=0.5", "help: --fail-under accuracy=0.5"),
        ("f1_macro=0.5", "help: eval.metrics=[f1_macro] adds it to the scores"),
        ("pearson=0.5", "help: name one of these scores"),
    ):
        done = cli("eval", sst_run, "--data", "no/such/folder", "--fail-under", gate)
        assert done.code == 2 and "error[U053]" in done.err and "allowed: loss, accuracy" in done.err
        assert help in done.err
    both = cli("eval", sst_run, "--fail-under", "f1=0", "--fail-under", "mcc=0")
    assert both.code == 2 and len(both.mistakes) == 2
    assert cli("eval", sst_run, "eval.metrics=[f1_macro]", "--fail-under", "f1_macro=0").code == 0


def test_an_unknown_split_names_the_flag_and_the_way_to_another_file(cli: Cli, sst_run: Path) -> None:
    (mistake,) = cli("eval", sst_run, "--split", "tset").mistakes
    assert "--> --split" in mistake and "allowed: train, validation" in mistake and "--data FILE" in mistake


def test_names_of_the_model_itself_stand_whatever_order_is_given(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    unnamed(sst_run / "best", Path("model"))
    config = json.loads(Path("model/config.json").read_text())
    config["id2label"] = {"0": "negative", "1": "positive"}
    Path("model/config.json").write_text(json.dumps(config))
    words = ("eval", "model", "--task", "sst2", "--data", sst_like, "--precision", "fp32", "data.max_length=32")
    for target in ((*words, "--labels", "positive,negative"), ("eval", sst_run, "--labels", "Positive,NEGATIVE")):
        found = cli(*target, "--json").json
        assert found["labels"] == ["negative", "positive"]
        assert found["scores"] == pytest.approx(recorded(sst_run), abs=1e-6)
    (mistake,) = cli(*words, "--labels", "bad,good").mistakes
    assert "error[U056]" in mistake and "found: bad, good" in mistake and "allowed: negative, positive" in mistake
    assert "leave --labels out" in mistake and "reset_head" not in mistake


def test_a_head_of_another_kind_than_the_task_is_refused(cli: Cli, sst_run: Path) -> None:
    tiny_data(Path("d"), kind="regression")
    done = cli("eval", sst_run, "--task", "text-regression", "--data", "d")
    assert done.code == 4 and "error[L044]" in done.err and "--task text-classification" in done.err
    assert "reset_head" not in done.err


def test_lengths_beyond_the_positions_are_refused_before_data_are_read(cli: Cli, sst_run: Path) -> None:
    for words in (("--max-length", "9999"), ("data.max_length=9999",)):
        done = cli("eval", sst_run, "--data", "no/such/folder", *words)
        assert done.code == 2 and "error[R032]" in done.err and "help: --max-length 64" in done.err


def test_texts_that_are_cut_are_counted(cli: Cli, sst_run: Path) -> None:
    apart = ("--predictions", "p.jsonl", "--overwrite")
    done = cli("eval", sst_run, "--max-length", "4", *apart)
    (told,) = re.findall(r"24 of 24 texts are longer than 4 tokens and were cut there, (\d+) % of all tokens", done.err)
    lost = cli("eval", sst_run, "--max-length", "4", "--json", *apart).json["lost"]
    assert 0.5 < lost < 1 and float(told) == pytest.approx(100 * lost, abs=0.5)
    assert cli("eval", sst_run, "--max-length", "4", "--quiet", *apart).err == ""
    assert "no text was cut at 32 tokens\n" in cli("eval", sst_run).err
    assert cli("eval", sst_run, "--json").json["truncated"] == 0


def test_what_a_flag_asks_for_is_done(cli: Cli, sst_run: Path, sst_like: Path, tiny_bert: Path) -> None:
    shutil.copytree(sst_run, "run")
    few = cli("eval", "run", "--limit", "6", "--device", "cpu", "--json").json
    assert few["n"] == 6 and few["predictions"] == "run/predictions/validation-first-6.jsonl"
    ones = cli("eval", "run", "--batch-size", "1", "--precision", "fp32", "--json").json
    assert ones["scores"] == pytest.approx(recorded(sst_run), abs=1e-6)
    tiny_data(Path("d"), kind="multi-label")
    words = ("finetune", "--task", "multi-label-classification", "--data", "d", "--model", tiny_bert, "--out", "multi")
    assert cli(*words, *SMALL).code == 0
    assert cli("eval", "multi", "--threshold", "0.25", "--json").json["threshold"] == 0.25


@pytest.mark.parametrize(
    ("words", "code", "flag"),
    [
        (("--threshold", "0.4"), "U054", "--threshold"),
        (("eval.threshold=0.4",), "U054", "--threshold"),
        (("--device", "gpu"), "U076", "--device"),
        (("--precision", "fp16"), "U076", "--precision"),
    ],
)
def test_a_flag_that_means_nothing_here_is_refused(
    cli: Cli, sst_run: Path, words: tuple[str, ...], code: str, flag: str
) -> None:
    done = cli("eval", sst_run, *words)
    assert done.code == 2 and f"error[{code}]" in done.err and f"--> {flag}" in done.err


def test_labels_mean_nothing_where_there_are_no_classes(cli: Cli, tiny_bert: Path) -> None:
    tiny_data(Path("d"), kind="regression", n_train=16, n_validation=6)
    words = ("finetune", "--task", "text-regression", "--data", "d", "--model", tiny_bert, "--out", "run")
    assert cli(*words, *SMALL).code == 0
    done = cli("eval", "run", "--labels", "low,high")
    assert done.code == 2 and "error[U057]" in done.err


def test_a_file_of_ones_own_is_no_place_for_predictions_unless_overwritten(cli: Cli, sst_run: Path) -> None:
    Path("mine").write_text("x")
    done = cli("eval", sst_run, "--predictions", "mine")
    assert done.code == 2 and "error[U073]" in done.err and "--> --predictions" in done.err
    assert Path("mine").read_text() == "x"
    assert cli("eval", sst_run, "--predictions", "mine", "--overwrite").code == 0
    assert len(Path("mine").read_text().splitlines()) == 24


def test_a_run_that_is_not_there_is_not_looked_for_on_the_hub(cli: Cli, sst_run: Path) -> None:
    shutil.copytree(sst_run, "runs/mine")
    for verb in ("eval", "predict"):
        done = cli(verb, "runs/mnie")
        assert done.code == 4 and "error[L003]" in done.err and "did you mean runs/mine?" in done.err
