"""`bertctl predict`: every format, the order of the input, and the numbers of the plain model."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from command import SMALL, Cli
from tiny import tiny_data, tiny_texts

from bert_cli.cli.app import run as run_command

TEXTS = [text for text, _ in tiny_texts(40, seed=7, longest=30)] + ["", "film", 'a "quoted", film', "ein schöner 电影"]


def parse(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def write_parquet(path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"n": range(len(TEXTS)), "sentence": TEXTS}), path)


def naive(best: Path, texts: list[str]) -> list[list[float]]:
    """Probabilities from the plain model, one text at a time."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    model = AutoModelForSequenceClassification.from_pretrained(best).eval()
    tokenizer = AutoTokenizer.from_pretrained(best)
    with torch.inference_mode():
        inputs = (tokenizer(text, truncation=True, max_length=32, return_tensors="pt") for text in texts)
        return [model(**one).logits.softmax(-1)[0].tolist() for one in inputs]


@pytest.fixture(scope="module")
def expected(sst_run: Path) -> list[list[float]]:
    return naive(sst_run / "best", TEXTS)


@pytest.mark.parametrize("name", ["t.csv", "t.tsv", "t.jsonl", "t.json", "t.parquet", "t.txt", "t.csv.gz", "stdin"])
def test_every_format_gives_the_numbers_of_the_plain_model_in_order(
    name: str, cli: Cli, sst_run: Path, expected: list[list[float]]
) -> None:
    csv = "n,sentence\n" + "".join(f"{i},{cell(text)}\n" for i, text in enumerate(TEXTS))
    rows = [json.dumps({"sentence": text, "n": i}) for i, text in enumerate(TEXTS)]
    written = {
        "t.csv": csv,
        "t.tsv": "n\tsentence\n" + "".join(f"{i}\t{cell(text)}\n" for i, text in enumerate(TEXTS)),
        "t.jsonl": "\n".join(rows),
        "t.json": f"[{','.join(rows)}]",
        "t.txt": "\n".join(TEXTS) + "\n",
    }
    if name == "t.parquet":
        write_parquet(Path(name))
    elif name == "t.csv.gz":
        Path(name).write_bytes(gzip.compress(csv.encode()))
    elif name != "stdin":
        Path(name).write_text(written[name])
    done = cli("predict", sst_run, stdin=written["t.txt"]) if name == "stdin" else cli("predict", sst_run, name)
    assert done.code == 0, done.err
    found = parse(done.out)
    assert [line["text"] for line in found] == TEXTS
    for line, numbers in zip(found, expected, strict=True):
        assert list(line["probabilities"]) == ["negative", "positive"]
        assert list(line["probabilities"].values()) == pytest.approx(numbers, abs=1e-5)
        assert line["label"] == max(line["probabilities"], key=line["probabilities"].get)


def test_standard_input_may_have_a_format(cli: Cli, sst_run: Path) -> None:
    done = cli("predict", sst_run, "-", "--format", "jsonl", "--text", "body", stdin='{"body": "fine film"}\n')
    assert [line["text"] for line in parse(done.out)] == ["fine film"]


def test_more_texts_than_a_window_keep_their_order(cli: Cli, sst_run: Path) -> None:
    texts = [f"{text} {i}" for i, (text, _) in enumerate(tiny_texts(100, seed=3))]
    Path("t.txt").write_text("\n".join(texts))
    assert [line["text"] for line in parse(cli("predict", sst_run, "t.txt").out)] == texts


def test_a_file_appears_only_when_everything_went_well(cli: Cli, sst_run: Path) -> None:
    Path("t.csv").write_text("sentence\na film\na, plot\n")
    assert cli("predict", sst_run, "t.csv", "--out", "p.jsonl").code == 3
    assert sorted(path.name for path in Path().iterdir()) == ["t.csv"]
    Path("t.csv").write_text("sentence\na film\n")
    done = cli("predict", sst_run, "t.csv", "--out", "p/p.jsonl")
    assert (done.code, done.out) == (0, "") and len(parse(Path("p/p.jsonl").read_text())) == 1


def test_predictions_equal_those_of_the_run(cli: Cli, sst_run: Path, sst_like: Path) -> None:
    found = parse(cli("predict", sst_run, sst_like / "validation.tsv").out)
    for line, kept in zip(found, parse((sst_run / "predictions/validation.jsonl").read_text()), strict=True):
        assert (line["text"], line["label"]) == (kept["text"], kept["label"])
        assert line["probabilities"] == pytest.approx(kept["probabilities"], abs=1e-5)


def test_pairs_multi_label_and_regression_need_nothing_but_the_run(cli: Cli, tiny_bert: Path) -> None:
    for kind, task in (("multi-label", "multi-label-classification"), ("regression", "text-regression")):
        tiny_data(Path(kind), n_train=16, n_validation=6, kind=kind, pairs=kind == "regression")
        words = ("--task", task, "--model", tiny_bert, "--data", kind, "--out", f"runs/{kind}")
        assert cli("finetune", *words, *SMALL).code == 0
        kept = parse(Path(f"runs/{kind}/predictions/validation.jsonl").read_text())
        found = parse(cli("predict", f"runs/{kind}", f"{kind}/validation.tsv").out)
        for line, old in zip(found, kept, strict=True):
            if kind == "regression":
                assert line["text_pair"] == old["text_pair"]
                assert line["score"] == pytest.approx(old["score"], abs=1e-5)
            else:
                assert line["labels"] == old["labels"]
    none = parse(cli("predict", "runs/multi-label", "multi-label/validation.tsv", "--threshold", "1").out)
    assert all(line["labels"] == [] for line in none)


def test_predictions_do_not_go_to_a_folder_and_leave_nothing_there(cli: Cli, sst_run: Path) -> None:
    Path("texts.txt").write_text("a fine film\n")
    Path("folder").mkdir()
    done = cli("predict", sst_run, "texts.txt", "--out", "folder")
    assert done.code == 2 and "error[U071]" in done.err
    assert sorted(path.name for path in Path().iterdir()) == ["folder", "texts.txt"]


def test_predictions_never_replace_their_own_input(cli: Cli, sst_run: Path) -> None:
    Path("texts.txt").write_text("a fine film\n")
    done = cli("predict", sst_run, "texts.txt", "--out", "./texts.txt")
    assert done.code == 2 and "error[U072]" in done.err
    assert Path("texts.txt").read_text() == "a fine film\n"


def test_a_place_that_cannot_be_written_is_no_bug(cli: Cli, sst_run: Path) -> None:
    Path("texts.txt").write_text("a fine film\n")
    done = cli("predict", sst_run, "texts.txt", "--out", "/proc/none/p.jsonl")
    assert done.code == 7 and "error[P030]" in done.err and "Traceback" not in done.err


def test_a_file_that_exists_is_not_replaced_unless_asked(cli: Cli, sst_run: Path) -> None:
    Path("texts.txt").write_text("a fine film\n")
    Path("mine.txt").write_text("my notes\n")
    done = cli("predict", sst_run, "texts.txt", "--out", "mine.txt")
    assert done.code == 2 and "error[U073]" in done.err and "help: --overwrite replaces it" in done.err
    assert Path("mine.txt").read_text() == "my notes\n"
    assert cli("predict", sst_run, "texts.txt", "--out", "mine.txt", "--overwrite").code == 0
    assert parse(Path("mine.txt").read_text())[0]["text"] == "a fine film"
    assert cli("predict", sst_run, "texts.txt", "--out", "texts.txt", "--overwrite").code == 2


def test_a_pipe_is_written_to_and_not_replaced(cli: Cli, sst_run: Path) -> None:
    Path("texts.txt").write_text("a fine film\n")
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    assert cli("predict", sst_run, "texts.txt", "--out", "pipe").code == 0
    reader.join(timeout=10)
    assert parse(read[0])[0]["text"] == "a fine film" and Path("pipe").is_fifo()


def test_texts_that_are_cut_are_counted_at_the_end(cli: Cli, sst_run: Path) -> None:
    Path("t.txt").write_text("a film\n" + "good film and " * 20 + "\n")
    done = cli("predict", sst_run, "t.txt")
    # 4 and 62 tokens, of which 32 are read.
    assert done.err == "1 of 2 texts is longer than 32 tokens and was cut there, 45 % of all tokens (--max-length)\n"
    assert cli("predict", sst_run, "t.txt", "--quiet").err == ""
    assert cli("predict", sst_run, "t.txt", "--max-length", "64").err == ""


def test_a_file_of_predictions_is_announced_with_its_rows(cli: Cli, sst_run: Path) -> None:
    Path("t.txt").write_text("a film\na plot\n")
    assert cli("predict", sst_run, "t.txt", "--out", "p.jsonl").err == "predictions: p.jsonl, 2 rows\n"
    quiet = cli("predict", sst_run, "t.txt", "--out", "q.jsonl", "-q")
    assert (quiet.out, quiet.err) == ("", "") and Path("q.jsonl").read_text() == Path("p.jsonl").read_text()


def test_progress_is_shown_on_a_terminal_only(cli: Cli, sst_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("t.txt").write_text("a film\na plot\n")
    assert "texts" not in cli("predict", sst_run, "t.txt", "--out", "1.jsonl").err
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert "texts" in cli("predict", sst_run, "t.txt", "--out", "2.jsonl").err
    assert "texts" not in cli("predict", sst_run, "t.txt", "--out", "3.jsonl", "--quiet").err


def test_a_column_that_is_not_there_is_the_mistake_and_those_of_the_file_are_allowed(cli: Cli, sst_run: Path) -> None:
    Path("t.csv").write_text("body,verdict\na film,good\n")
    (mistake,) = cli("predict", sst_run, "t.csv", "--text", "boddy").mistakes
    assert "error[D096]" in mistake and "t.csv:2 (--text)" in mistake and "found: boddy" in mistake
    assert "allowed: body, verdict (did you mean 'body'?)" in mistake and "help: --text body" in mistake


def test_a_separator_that_is_no_comma_is_named(cli: Cli, sst_run: Path) -> None:
    Path("semicolons.csv").write_text("body;verdict\na film;good\n")
    Path("tabs.csv").write_text("body\tverdict\na film\tgood\n")
    for name, help in (("semicolons.csv", "commas between the columns"), ("tabs.csv", "--format tsv")):
        done = cli("predict", sst_run, name, "--text", "body")
        assert done.code == 3 and "error[D017]" in done.err and help in done.err
    assert cli("predict", sst_run, "tabs.csv", "--format", "tsv", "--text", "body").code == 0


@pytest.fixture(scope="module")
def pair_run(tmp_path_factory: pytest.TempPathFactory, tiny_bert: Path) -> Path:
    """A finished run on pairs of texts."""
    folder = tmp_path_factory.mktemp("pairs")
    tiny_data(folder / "d", n_train=16, n_validation=6, pairs=True)
    words = ("finetune", "--task", "text-classification", "--model", tiny_bert, "--data", folder / "d")
    assert run_command([str(word) for word in (*words, "--out", folder / "run", *SMALL)]) == 0
    return folder / "run"


def test_plain_lines_do_not_make_pairs(cli: Cli, pair_run: Path) -> None:
    Path("t.txt").write_text("a film\n")
    (mistake,) = cli("predict", pair_run, "t.txt").mistakes
    assert "error[U074]" in mistake and "reads pairs" in mistake and "t.txt (--format)" in mistake
    assert "--format csv (or jsonl) --text COLUMN --text-pair COLUMN" in mistake
    rows = '{"a": "a film", "b": "a plot"}\n'
    done = cli("predict", pair_run, "-", "--format", "jsonl", "--text", "a", "--text-pair", "b", stdin=rows)
    assert [(line["text"], line["text_pair"]) for line in parse(done.out)] == [("a film", "a plot")]


def test_a_model_of_others_reads_pairs_where_a_second_column_is_named(cli: Cli, pair_run: Path) -> None:
    shutil.copytree(pair_run / "best", "theirs")
    Path("theirs/bertctl.json").unlink()
    Path("t.csv").write_text("a,b\na good film,a dull plot\n")
    words = ("t.csv", "--text", "a", "--text-pair", "b", "--precision", "fp32")
    ours, theirs = (parse(cli("predict", model, *words).out)[0] for model in (pair_run, "theirs"))
    assert theirs["text_pair"] == "a dull plot"
    assert theirs["probabilities"] == pytest.approx(ours["probabilities"], abs=1e-6)


@pytest.mark.parametrize(
    ("words", "code", "flag"),
    [
        (("t.txt", "--format", "xml"), "U076", "--format"),
        (("t.txt", "--device", "gpu"), "U076", "--device"),
        (("t.txt", "--precision", "fp16"), "U076", "--precision"),
        (("t.txt", "--text", "body"), "U074", "--text"),
        (("t.txt", "--text-pair", "body"), "U074", "--text-pair"),
        (("t.csv", "--text-pair", "verdict"), "U075", "(--text-pair)"),
        (("t.csv", "--threshold", "0.4"), "U054", "--threshold"),
        (("t.csv", "--max-length", "9999"), "R032", "--max-length"),
    ],
)
def test_a_flag_that_means_nothing_here_is_refused_before_data_are_read(
    cli: Cli, sst_run: Path, words: tuple[str, ...], code: str, flag: str
) -> None:
    Path("t.txt").write_text("a film\n")
    Path("t.csv").write_bytes(b"\xff\xfe this is no text")
    done = cli("predict", sst_run, *words)
    assert done.code == 2 and f"error[{code}]" in done.err and flag in done.err, done.err


def test_formats_are_known_in_any_case_and_compressed(cli: Cli, sst_run: Path) -> None:
    Path("t").write_bytes(gzip.compress(b"sentence\na film\n"))
    assert [line["text"] for line in parse(cli("predict", sst_run, "t", "--format", ".CSV.gz").out)] == ["a film"]
    assert cli("predict", sst_run, "t").code == 3


def test_the_first_rows_in_batches_of_any_size_give_the_same_numbers(
    cli: Cli, sst_run: Path, expected: list[list[float]]
) -> None:
    Path("t.txt").write_text("\n".join(TEXTS))
    found = parse(cli("predict", sst_run, "t.txt", "--limit", "5", "--batch-size", "1", "--device", "cpu").out)
    assert [line["text"] for line in found] == TEXTS[:5]
    for line, numbers in zip(found, expected, strict=False):
        assert list(line["probabilities"].values()) == pytest.approx(numbers, abs=1e-5)


def test_files_in_another_encoding_or_with_bare_quotes_can_be_read(cli: Cli, sst_run: Path) -> None:
    Path("latin.csv").write_bytes("text\nun caf\u00e9\n".encode("latin-1"))
    done = cli("predict", sst_run, "latin.csv")
    assert done.code == 3 and "predict --encoding latin-1" in done.err
    assert json.loads(cli("predict", sst_run, "latin.csv", "--encoding", "latin-1").out)["text"] == "un caf\u00e9"
    Path("raw.tsv").write_text('text\n"a film\n')
    assert json.loads(cli("predict", sst_run, "raw.tsv", "--quoting", "none").out)["text"] == '"a film'
    assert cli("predict", sst_run, "raw.tsv", "--quoting", "some").code == 2
