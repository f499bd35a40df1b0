"""Every mistake a user can make ends with its exit code and a message that says what to do, and leaves nothing."""

from __future__ import annotations

import codecs
import json
import os
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from command import SMALL, Cli, Done

ROWS = b"text,label\nfine film,good\ndull film,bad\nwarm film,good\nweak film,bad\n"
TRAIN = "finetune --task text-classification --model {bert} --data d --out run --max-length 32"
SST2 = "finetune --task sst2 --model {bert} --data {sst} --out run --max-length 32"


@dataclass(frozen=True)
class Case:
    """A command that is refused.

    Attributes:
        says: what the first error holds.
        files: name -> bytes, written before the command.
        silent: parts of a message that this one may lack, since there is nothing to say.
    """

    name: str
    command: str
    code: int
    error: str
    says: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    silent: tuple[str, ...] = ()


def train_csv(text: bytes, **others: bytes) -> dict[str, bytes]:
    return {"d/train.csv": text} | {f"d/{name}.csv": other for name, other in others.items()}


RECIPES = [
    Case("unknown task", "finetune --task sst3 --model {bert}", 2, "U010", ("--task", "sst3", "did you mean 'sst2'")),
    Case("no task", "finetune --model {bert} --data d", 2, "U011", ("task", "--task sst2"), silent=("found",)),
    Case(
        "unknown recipe key",
        "finetune my.yaml",
        2,
        "R020",
        ("my.yaml:3", "train.epoch", "did you mean 'epochs'"),
        {"my.yaml": b"task: sst2\ntrain:\n  epoch: 3\n"},
    ),
    Case("unknown override key", SST2 + " train.epoch=3", 2, "R020", ("train.epoch=3", "did you mean 'epochs'")),
    Case("another tool's key", SST2 + " train.learning_rate=1e-4", 2, "R020", ("a recipe calls it train.lr",)),
    Case("another tool's key, mistyped", SST2 + " train.learning_rte=1e-4", 2, "R020", ("train.lr may be meant",)),
    Case(
        "wrong type",
        "finetune my.yaml",
        2,
        "R021",
        ("my.yaml:2 (train.lr)", "'fast'", "a number > 0"),
        {"my.yaml": b"task: sst2\ntrain: {lr: fast}\n"},
    ),
    Case("wrong type as override", SST2 + " train.batch_size=many", 2, "R021", ("train.batch_size", "a whole number")),
    Case("override without a sign", "finetune sst2 train.lr", 2, "R030", ("train.lr", "train.lr=VALUE")),
    Case("two recipes", "finetune sst2 mnli", 2, "U001", ("RECIPE", "sst2 mnli", "extends")),
    Case(
        "a recipe of another task",
        "finetune sst2 --task rte --model {bert}",
        2,
        "U003",
        ("--> --task", "rte, and the recipe's task sst2", "help: bertctl finetune --task rte,"),
    ),
    Case(
        "a recipe file of another task",
        "finetune my.yaml --task text-classification",
        2,
        "U003",
        ("'my.yaml'", "help: bertctl finetune --task text-classification,"),
        {"my.yaml": b"extends: sst2\n"},
    ),
    Case(
        "the sizes of a new model beside a model",
        SST2 + " model.config.hidden_size=64",
        2,
        "U004",
        ("model.config.hidden_size=64 (model.config.hidden_size)", "tiny-bert, and", "model.config= goes on"),
    ),
    Case(
        "a model beside the sizes of a recipe",
        "pretrain demo-tiny --model {bert} --data c.txt",
        2,
        "U004",
        ("pretrain/demo-tiny:", "model.size bert-tiny", "model.config= model.size= goes on"),
    ),
    Case(
        "a word where a list is wanted",
        SST2 + " eval.metrics=f1_macro",
        2,
        "R023",
        ("eval.metrics=f1_macro (eval.metrics)", "found: 'f1_macro'", "allowed: a list, as [f1_macro]"),
        silent=("help",),
    ),
    Case(
        "a share that is none",
        SST2 + " data.validation=1.5",
        2,
        "R023",
        ("(data.validation)", "found: 1.5", "'10%' or 0.1"),
        silent=("help",),
    ),
    Case(
        "a warm-up of one and a half steps",
        SST2 + " train.warmup=1.5",
        2,
        "R023",
        ("(train.warmup)", "found: 1.5", "a share of all steps below 1, or a whole number of steps"),
        silent=("help",),
    ),
    Case("no such recipe", "finetune sts2", 2, "R001", ("sts2", "did you mean 'stsb'")),
    Case("recipe show", "recipe show ssst2", 2, "R001", ("ssst2", "did you mean 'sst2'", "bertctl recipe ls")),
    Case(
        "recipe cp nowhere",
        "recipe cp sst2 no/x.yaml",
        2,
        "R051",
        ("no/x.yaml", "mkdir -p no"),
        silent=("found", "allowed"),
    ),
    Case(
        "recipe cp over a file",
        "recipe cp sst2 x.yaml",
        2,
        "R050",
        ("x.yaml", "--force"),
        {"x.yaml": b"x"},
        ("found", "allowed"),
    ),
    Case("recipe diff", "recipe diff sst2 nope", 2, "R001", ("nope",)),
    Case("recipe validate", "recipe validate my.yaml", 2, "R020", ("my.yaml:1", "tasc"), {"my.yaml": b"tasc: sst2\n"}),
    Case("task show", "task show sst3", 2, "U010", ("sst3", "bertctl task ls")),
    Case("unknown metric", SST2 + " eval.metric=acuracy", 2, "M001", ("eval.metric\n", "'accuracy'")),
    Case("metric of another kind", SST2 + " eval.metric=pearson", 2, "M002", ("eval.metric\n", "pearson", "accuracy")),
    Case("unknown tracker", SST2 + " run.trackers=[tensorbord]", 2, "U040", ("run.trackers", "'tensorboard'")),
    Case("max_length beyond positions", SST2 + " --max-length 65", 2, "R032", ("data.max_length", "65", "at most 64")),
    Case("no corpus", "pretrain --model {bert}", 2, "U013", ("data.source", "--data corpus.txt"), silent=("found",)),
]

DATA = [
    Case("missing folder", TRAIN, 3, "D020", ("d (data.source)", "found: d")),
    Case(
        "missing column",
        TRAIN,
        3,
        "D040",
        ("train.csv:1 (data.columns.text)", "none of text, sentence", "txt, label", "data.columns.text=txt"),
        train_csv(b"txt,label\na,b\n"),
    ),
    Case("empty file", TRAIN, 3, "D005", ("train.csv", "0 bytes"), train_csv(b"")),
    Case("header only", TRAIN, 3, "D006", ("train.csv", "a header only"), train_csv(b"text,label\n")),
    Case("validation of no rows", TRAIN, 3, "D006", ("validation.csv",), train_csv(ROWS, validation=b"text,label\n")),
    Case("blank lines", TRAIN, 3, "D006", ("train.jsonl",), {"d/train.jsonl": b"\n\n"}),
    Case(
        "latin-1",
        TRAIN,
        3,
        "D007",
        ("train.csv:2 (data.encoding)", "byte 0xe9 at offset 14", "data.encoding=latin-1"),
        train_csv("text,label\ncafé,good\n".encode("latin-1")),
    ),
    Case(
        "utf-16",
        TRAIN,
        3,
        "D008",
        ("train.csv:1 (data.encoding)", "data.encoding=utf-16"),
        train_csv(ROWS.decode().encode("utf-16")),
    ),
    Case(
        "ragged row",
        TRAIN,
        3,
        "D012",
        ("train.csv:3", "1 fields", "2 fields: text, label"),
        train_csv(b"text,label\na,b\nc\n"),
    ),
    Case(
        "unquoted comma",
        TRAIN,
        3,
        "D012",
        ("train.csv:2", "unquoted comma"),
        train_csv(b"text,label\na, indeed,good\n"),
    ),
    Case(
        "bad JSON",
        TRAIN,
        3,
        "D014",
        ("train.jsonl:2:14", "mend line 2"),
        {"d/train.jsonl": b'{"text": "a", "label": "b"}\n{"text": "b" "label": "c"}\n'},
    ),
    Case(
        "text that is a number",
        TRAIN,
        3,
        "D042",
        ("train.jsonl:1 (data.columns.text)", "found: 3"),
        {"d/train.jsonl": b'{"text": 3, "label": "b"}\n'},
    ),
    Case(
        "label out of range",
        SST2.replace("{sst}", "d"),
        3,
        "D032",
        ("train.csv:3", "found: 2", "0 to 1, or negative, positive"),
        train_csv(b"sentence,label\na,0\nb,2\n"),
    ),
    Case(
        "no labels",
        TRAIN,
        3,
        "D044",
        ("train.csv (data.columns.label)", "all are -1"),
        train_csv(b"text,label\na,-1\nb,-1\n"),
    ),
    Case("some labels missing", TRAIN, 3, "D030", ("train.csv:3", "line 3"), train_csv(b"text,label\na,x\nb,\nc,y\n")),
    Case(
        "unseen label",
        TRAIN,
        3,
        "D033",
        ("validation.csv:2", "found: other", "bad, good"),
        train_csv(ROWS, validation=b"text,label\na,other\n"),
    ),
    Case(
        "mixed label types", TRAIN, 3, "D034", ("train.csv:3", "'1'", "'yes'"), train_csv(b"text,label\na,1\nb,yes\n")
    ),
    Case("one class", TRAIN, 3, "D037", ("train.csv", "good"), train_csv(b"text,label\na,good\nb,good\n")),
    Case(
        "a column of ids for labels",
        TRAIN + " data.columns.label=id",
        3,
        "D049",
        (
            "train.csv (data.columns.label)",
            "60 classes in 60 rows of the column 'id'",
            "text, label, id",
            "--task text-r",
        ),
        train_csv(b"text,label,id\n" + b"".join(b"film %d,good,%d\n" % (i, i) for i in range(60))),
    ),
    Case(
        "a role that is a label by another name",
        TRAIN + " data.columns.labels=mood",
        2,
        "U063",
        ("data.columns.labels", "did you mean 'label'", "help: data.columns.label=mood"),
        train_csv(ROWS),
    ),
    Case(
        "a metric in a folder that is not here",
        SST2 + " eval.metrics=['evaluate:mine/hits'] eval.allow_code=true",
        2,
        "M008",
        ("here/mine/hits (eval.metrics)", "is no folder here", "absolute path"),
    ),
    Case(
        "two files for a split",
        TRAIN,
        3,
        "D022",
        ("d (data.source)", "train.csv, train.tsv"),
        {"d/train.csv": ROWS, "d/train.tsv": ROWS},
    ),
    Case("folder without a split", TRAIN, 3, "D021", ("d (data.source)", "notes.md"), {"d/notes.md": b"x"}),
    Case("a file without a format", TRAIN, 3, "D001", ("d\n", ".csv"), {"d": b"x"}, ("found",)),
    Case(
        "a file in the way of --data",
        TRAIN.replace("--data d", "--data d/train.csv/x"),
        3,
        "D020",
        ("d/train.csv/x (data.source)",),
        train_csv(ROWS),
    ),
    Case(
        "missing corpus",
        "pretrain --model {bert} --data no.txt",
        3,
        "D080",
        ("data.source", "no.txt"),
        silent=("found",),
    ),
    Case(
        "corpus in another script",
        "pretrain --model {bert} --data c.txt --max-length 32",
        3,
        "D085",
        ("model.tokenizer", "2 documents, as"),
        {"c.txt": "电影\n\n音乐\n".encode()},
    ),
    Case(
        "corpus of one document",
        "pretrain --model {bert} --data c.txt --max-length 32",
        3,
        "D084",
        ("c.txt", "blank line"),
        {"c.txt": b"a film\na plot\n"},
    ),
    Case(
        "predict without the column",
        "predict {run} d/train.csv",
        3,
        "D096",
        ("d/train.csv:2 (--text)", "found: body", "--text COLUMN"),
        train_csv(b"body\na film\n"),
    ),
    Case("predict without the file", "predict {run} no.csv", 3, "D002", ("no.csv",), {"here.csv": ROWS}),
    Case(
        "eval on labels that the model lacks",
        "eval {run} --task text-classification --data d",
        3,
        "D033",
        ("validation.csv:2", "found: good", "negative, positive"),
        {"d/validation.csv": ROWS},
    ),
    Case(
        "eval of a split without labels",
        "eval {run} --data d --split test",
        3,
        "D044",
        ("test.csv", "split 'test' has no labels"),
        {"d/test.csv": b"sentence,label\na,-1\nb,-1\n"},
    ),
    Case("eval of an unknown split", "eval {run} --split dev", 3, "D043", ("found: dev", "train, validation")),
]

MODELS = [
    Case(
        "wrong path",
        TRAIN.replace("{bert}", "./model"),
        4,
        "L003",
        ("model.name", "found: model", "did you mean models"),
        {"models/x": b"", **train_csv(ROWS)},
    ),
    Case(
        "file for a model",
        TRAIN.replace("{bert}", "m.bin"),
        4,
        "L002",
        ("m.bin (model.name)",),
        {"m.bin": b"", **train_csv(ROWS)},
    ),
    Case("folder without a model", TRAIN.replace("{bert}", "d"), 4, "L004", ("d\n", "no config.json"), train_csv(ROWS)),
    Case(
        "eval without a head",
        "eval {bert} --task sst2 --data {sst}",
        4,
        "L041",
        ("BertModel", "bertctl finetune --task sst2"),
    ),
    Case(
        "predict without a head",
        "predict {bert} x.txt",
        4,
        "L043",
        ("BertModel", "bertctl finetune"),
        {"x.txt": b"a film\n"},
    ),
    Case(
        "a head with other labels",
        "finetune --task mnli --model {run} --data d --out run",
        4,
        "L030",
        ("model.reset_head", "negative, positive", "model.reset_head=true"),
        train_csv(ROWS),
    ),
    Case(
        "offline without the model",
        SST2.replace("{bert}", "org/none") + " --offline",
        5,
        "E003",
        ("model.name", "org/none", "offline mode", "hf download org/none"),
    ),
    Case(
        "offline without the data",
        "finetune --task sst2 --model {bert} --offline",
        5,
        "E020",
        ("hub:nyu-mll/glue", "--data DIR"),
    ),
]

RUNS = [
    Case("--out holds something", SST2, 2, "U020", ("run (run.out)", "found: mine", "--overwrite"), {"run/mine": b"x"}),
    Case(
        "--overwrite of what is no run",
        SST2 + " --overwrite",
        2,
        "U022",
        ("run (--overwrite)", "no recipe.yaml"),
        {"run/mine": b"x"},
    ),
    Case("--out is a file", SST2, 2, "U021", ("run.out", "found: run"), {"run": b"x"}),
    Case(
        "--out below a file",
        SST2.replace("--out run", "--out run/inner"),
        2,
        "U021",
        ("run.out", "'run' is a file"),
        {"run": b"x"},
    ),
    Case(
        "--resume of no checkpoint", SST2 + " --resume no/such", 4, "C010", ("run.resume", "no/such", "--resume auto")
    ),
    Case("missed gate", "eval {run} --fail-under loss=0", 6, "Q001", ("--fail-under", "at most 0")),
    Case("malformed gate", "eval {run} --fail-under accuracy", 2, "U052", ("--fail-under", "METRIC=NUMBER")),
    Case(
        "gate that is no number", "eval {run} --fail-under accuracy=high", 2, "U052", ("--fail-under", "METRIC=NUMBER")
    ),
    Case(
        "gate on no score", "eval {run} --fail-under acuracy=1", 2, "U053", ("--fail-under", "did you mean 'accuracy'")
    ),
    Case("too many names", "eval {run} --labels a,b,c", 2, "U051", ("--labels", "3 names", "2: negative, positive")),
]

CASES = [*RECIPES, *DATA, *MODELS, *RUNS]


def check(done: Done, case: Case) -> None:
    assert done.code == case.code, done.err
    (mistake,) = done.mistakes
    assert mistake.startswith(f"error[{case.error}]"), mistake
    for text in case.says:
        assert text in mistake, f"{text!r} is not in\n{mistake}"
    well_formed(mistake, silent=case.silent)
    assert "Traceback" not in done.err


def well_formed(mistake: str, *, silent: tuple[str, ...] = ()) -> None:
    lines = mistake.splitlines()
    assert len(lines) <= 6, mistake
    starts = [line.split()[0] for line in lines[1:]]
    assert starts.count("-->") == 1 and starts.count("help:") == ("help" not in silent), mistake
    missing = {"found", "allowed"} - {start.rstrip(":") for start in starts} - set(silent)
    assert not missing, f"{missing} missing in\n{mistake}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name.replace(" ", "-"))
def test_a_mistake_is_named_and_leaves_nothing_behind(
    case: Case, cli: Cli, tiny_bert: Path, sst_like: Path, sst_run: Path
) -> None:
    for name, text in case.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text)
    before = sorted(Path().rglob("*"))
    check(cli(case.command.format(bert=tiny_bert, sst=sst_like, run=sst_run)), case)
    after = [path for path in sorted(Path().rglob("*")) if not path.name.startswith("predictions")]
    assert after == before


def test_all_missing_columns_are_reported_at_once(cli: Cli, tiny_bert: Path) -> None:
    Path("d").mkdir()
    Path("d/train.csv").write_text("a,b\n1,2\n")
    done = cli(TRAIN.format(bert=tiny_bert))
    assert done.code == 3 and not Path("run").exists()
    assert [mistake.splitlines()[1].strip() for mistake in done.mistakes] == [
        "--> train.csv:1 (data.columns.text)",
        "--> train.csv:1 (data.columns.label)",
    ]
    for mistake in done.mistakes:
        well_formed(mistake)


def test_all_mistakes_of_a_recipe_are_reported_at_once(cli: Cli) -> None:
    text = "task: sts2\ntrain:\n  lr: fast\n  epochs: 0\n  epoch: 1\ndata:\n  max_length: long\n"
    Path("five.yaml").write_text(text)
    for command in ("finetune five.yaml", "recipe validate five.yaml"):
        done = cli(command)
        assert done.code == 2
        places = [mistake.splitlines()[1].strip() for mistake in done.mistakes]
        assert places == [
            "--> five.yaml:1 (task)",
            "--> five.yaml:3 (train.lr)",
            "--> five.yaml:4 (train.epochs)",
            "--> five.yaml:5 (train.epoch)",
            "--> five.yaml:7 (data.max_length)",
        ]
        for mistake in done.mistakes:
            well_formed(mistake)


def test_an_exponent_is_a_number_in_a_recipe_and_as_override(cli: Cli) -> None:
    Path("my.yaml").write_text("task: sst2\ntrain: {lr: 2e-5}\n")
    for command in ("finetune my.yaml", "finetune --task sst2 train.lr=2e-5"):
        assert cli(f"{command} --print-config --json").json["train.lr"]["value"] == 2e-5


def test_flags_that_do_not_exist_are_refused_in_few_lines(cli: Cli) -> None:
    for command in ("finetune --bogus", "finetune --epochs many", "bogus"):
        done = cli(command)
        assert done.code == 2 and 0 < len(done.err.splitlines()) <= 6 and "-h" in done.err


def test_a_byte_order_mark_and_windows_line_ends_are_accepted(cli: Cli, tiny_bert: Path) -> None:
    Path("d").mkdir()
    Path("d/train.csv").write_bytes(codecs.BOM_UTF8 + ROWS.replace(b"\n", b"\r\n"))
    plan = cli(TRAIN.format(bert=tiny_bert) + " --dry-run --json").json
    assert plan["labels"] == ["bad", "good"] and plan["columns"] == {"text": "text", "label": "label"}


def test_texts_that_look_like_nothing_stay_as_they_are(cli: Cli, tiny_bert: Path) -> None:
    texts = ["None", "NA", "", "123", "null", "1e5", "true", ' "quoted" ']
    cells = ['"' + text.replace('"', '""') + '"' for text in texts]
    quoted = "".join(f"{cell},{'good' if i % 2 else 'bad'}\n" for i, cell in enumerate(cells))
    Path("d").mkdir()
    Path("d/train.csv").write_bytes(ROWS)
    Path("d/validation.csv").write_text("text,label\n" + quoted)
    assert cli(TRAIN.format(bert=tiny_bert) + " --epochs 1 -q").code == 0
    lines = Path("run/predictions/validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["text"] for line in lines] == texts
    assert cli("predict run d/validation.csv --out p.jsonl").code == 0
    assert [json.loads(line)["text"] for line in Path("p.jsonl").read_text().splitlines()] == texts


def test_pickled_weights_are_refused_unless_allowed(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    import torch
    from safetensors.torch import load_file

    shutil.copytree(tiny_bert, "pickled")
    torch.save(load_file("pickled/model.safetensors"), "pickled/pytorch_model.bin")
    Path("pickled/model.safetensors").unlink()
    command = f"finetune --task sst2 --model pickled --data {sst_like} --out run {shlex.join(SMALL)} --limit 8"
    check(cli(command), Case("", "", 4, "L008", ("pickled/pytorch_model.bin", "--allow-bin")))
    assert not Path("run").exists()
    assert cli(command + " --allow-bin").code == 0
    assert not list(Path("run").rglob("*.bin"))


def test_a_tokenizer_without_padding_is_refused(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    shutil.copytree(tiny_bert, "model")
    file = Path("model/tokenizer_config.json")
    settings = json.loads(file.read_text())
    del settings["pad_token"]
    file.write_text(json.dumps(settings))
    command = f"finetune --task sst2 --model model --data {sst_like} --out run --max-length 32"
    check(cli(command), Case("", "", 4, "L021", ("model\n", "no padding token")))
    assert not Path("run").exists()


def test_a_run_may_be_overwritten_or_resumed_but_not_by_mistake(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
    command = ("finetune", "--task", "sst2", "--model", tiny_bert, "--data", sst_like, "--out", "run", *SMALL)
    assert cli(*command).code == 0
    Path("run/mine").write_text("x")
    done = cli(*command)
    assert done.code == 2 and "error[U020]" in done.err
    done = cli(*command, "--resume", "auto")
    assert done.code == 0 and Path("run/mine").exists()
    check(
        cli(*command, "--resume", "auto", "--lr", "1"),
        Case("", "", 2, "U023", ("run/recipe.yaml", "train.lr", "→ 1.0")),
    )
    assert cli(*command, "--overwrite").code == 0
    assert not Path("run/mine").exists() and Path("run/best").is_dir()


@pytest.mark.parametrize("missing", ["model", "data"])
def test_a_hub_that_does_not_answer_ends_with_5_within_15_seconds(
    missing: str, tiny_bert: Path, sst_like: Path
) -> None:
    plain = {name: value for name, value in os.environ.items() if "PROXY" not in name.upper() and "OFFLINE" not in name}
    environment = {**plain, "HF_ENDPOINT": "http://127.0.0.1:9", "HF_HOME": str(Path("hub").absolute())}
    words = ["--data", sst_like, "--model", "org/none"] if missing == "model" else ["--model", tiny_bert]
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-m", "bert_cli", "finetune", "--task", "sst2", "--out", "run", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**environment, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert time.monotonic() - began < 15
    code, places = ("E003", ("org/none",)) if missing == "model" else ("E020", ("hub:nyu-mll/glue", "--data DIR"))
    check(Done(done.returncode, done.stdout, done.stderr), Case("", "", 5, code, places))
    assert not Path("run").exists()
