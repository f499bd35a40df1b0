"""`bertctl predict`: every format, the order of the input, and the numbers of the plain model."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from command import SMALL, Cli
from tiny import tiny_data, tiny_texts

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
