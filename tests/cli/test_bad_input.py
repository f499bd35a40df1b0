"""Every mistake a user can make ends with its exit code and a message that says what to do, and leaves nothing.

D1 to D35 are the kinds of bad input that other tools take in silence or answer with a traceback.
"""

from __future__ import annotations

import codecs
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import golden
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
        harm: makes a folder `model` from that of the tiny model.
        silent: parts of a message that this one may lack, since there is nothing to say.
    """

    name: str
    command: str
    code: int
    error: str
    says: tuple[str, ...]
    files: dict[str, bytes] = field(default_factory=dict)
    silent: tuple[str, ...] = ()
    harm: Callable[[Path], None] | None = None


def train_csv(text: bytes, **others: bytes) -> dict[str, bytes]:
    return {"d/train.csv": text} | {f"d/{name}.csv": other for name, other in others.items()}


RECIPES = [
    Case(
        "D34 unknown task", "finetune --task sst3 --model {bert}", 2, "U010", ("--task", "sst3", "did you mean 'sst2'")
    ),
    Case("no task", "finetune --model {bert} --data d", 2, "U011", ("task", "--task sst2"), silent=("found",)),
    Case(
        "D30 unknown recipe key",
        "finetune my.yaml",
        2,
        "R020",
        ("my.yaml:3", "train.epoch", "did you mean 'epochs'"),
        {"my.yaml": b"task: sst2\ntrain:\n  epoch: 3\n"},
    ),
    Case("D30 unknown override key", SST2 + " train.epoch=3", 2, "R020", ("train.epoch=3", "did you mean 'epochs'")),
    Case("D30 another tool's key", SST2 + " train.learning_rate=1e-4", 2, "R020", ("a recipe calls it train.lr",)),
    Case("D30 another tool's key, mistyped", SST2 + " train.learning_rte=1e-4", 2, "R020", ("train.lr may be meant",)),
    Case(
        "D31 wrong type",
        "finetune my.yaml",
        2,
        "R021",
        ("my.yaml:2 (train.lr)", "'fast'", "a number > 0"),
        {"my.yaml": b"task: sst2\ntrain: {lr: fast}\n"},
    ),
    Case(
        "D31 wrong type as override", SST2 + " train.batch_size=many", 2, "R021", ("train.batch_size", "a whole number")
    ),
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
    Case(
        "D30 recipe validate", "recipe validate my.yaml", 2, "R020", ("my.yaml:1", "tasc"), {"my.yaml": b"tasc: sst2\n"}
    ),
    Case("D34 task show", "task show sst3", 2, "U010", ("sst3", "bertctl task ls")),
    Case("unknown metric", SST2 + " eval.metric=acuracy", 2, "M001", ("eval.metric\n", "'accuracy'")),
    Case("metric of another kind", SST2 + " eval.metric=pearson", 2, "M002", ("eval.metric\n", "pearson", "accuracy")),
    Case("unknown tracker", SST2 + " run.trackers=[tensorbord]", 2, "U040", ("run.trackers", "'tensorboard'")),
    Case(
        "D23 max_length beyond positions", SST2 + " --max-length 65", 2, "R032", ("data.max_length", "65", "at most 64")
    ),
    Case("no corpus", "pretrain --model {bert}", 2, "U013", ("data.source", "--data corpus.txt"), silent=("found",)),
]

DATA = [
    Case("D27 missing folder", TRAIN, 3, "D020", ("d (data.source)", "found: d")),
    Case(
        "D8 missing column",
        TRAIN,
        3,
        "D040",
        ("train.csv:1 (data.columns.text)", "none of text, sentence", "txt, label", "data.columns.text=txt"),
        train_csv(b"txt,label\na,b\n"),
    ),
    Case("D10 empty file", TRAIN, 3, "D005", ("train.csv", "0 bytes"), train_csv(b"")),
    Case("D11 header only", TRAIN, 3, "D006", ("train.csv", "a header only"), train_csv(b"text,label\n")),
    Case(
        "D11 validation of no rows", TRAIN, 3, "D006", ("validation.csv",), train_csv(ROWS, validation=b"text,label\n")
    ),
    Case("D11 blank lines", TRAIN, 3, "D006", ("train.jsonl",), {"d/train.jsonl": b"\n\n"}),
    Case(
        "D12 latin-1",
        TRAIN,
        3,
        "D007",
        ("train.csv:2 (data.encoding)", "byte 0xe9 at offset 14", "data.encoding=latin-1"),
        train_csv("text,label\ncafé,good\n".encode("latin-1")),
    ),
    Case(
        "D13 utf-16",
        TRAIN,
        3,
        "D008",
        ("train.csv:1 (data.encoding)", "data.encoding=utf-16"),
        train_csv(ROWS.decode().encode("utf-16")),
    ),
    Case(
        "D18 ragged row",
        TRAIN,
        3,
        "D012",
        ("train.csv:3", "1 fields", "2 fields: text, label"),
        train_csv(b"text,label\na,b\nc\n"),
    ),
    Case(
        "D17 unquoted comma",
        TRAIN,
        3,
        "D012",
        ("train.csv:2", "unquoted comma"),
        train_csv(b"text,label\na, indeed,good\n"),
    ),
    Case(
        "D19 bad JSON",
        TRAIN,
        3,
        "D014",
        ("train.jsonl:2:14", "mend line 2"),
        {"d/train.jsonl": b'{"text": "a", "label": "b"}\n{"text": "b" "label": "c"}\n'},
    ),
    Case(
        "D16 text that is a number",
        TRAIN,
        3,
        "D042",
        ("train.jsonl:1 (data.columns.text)", "found: 3"),
        {"d/train.jsonl": b'{"text": 3, "label": "b"}\n'},
    ),
    Case(
        "D1 label out of range",
        SST2.replace("{sst}", "d"),
        3,
        "D032",
        ("train.csv:3", "found: 2", "0 to 1, or negative, positive"),
        train_csv(b"sentence,label\na,0\nb,2\n"),
    ),
    Case(
        "D2 no labels",
        TRAIN,
        3,
        "D044",
        ("train.csv (data.columns.label)", "all are -1"),
        train_csv(b"text,label\na,-1\nb,-1\n"),
    ),
    Case(
        "D5 some labels missing", TRAIN, 3, "D030", ("train.csv:3", "line 3"), train_csv(b"text,label\na,x\nb,\nc,y\n")
    ),
    Case(
        "D7 unseen label",
        TRAIN,
        3,
        "D033",
        ("validation.csv:2", "found: other", "bad, good"),
        train_csv(ROWS, validation=b"text,label\na,other\n"),
    ),
    Case(
        "D6 mixed label types",
        TRAIN,
        3,
        "D034",
        ("train.csv:3", "'1'", "'yes'"),
        train_csv(b"text,label\na,1\nb,yes\n"),
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
        "D8 predict without the column",
        "predict {run} d/train.csv",
        3,
        "D096",
        ("d/train.csv:2 (--text)", "found: body", "--text COLUMN"),
        train_csv(b"body\na film\n"),
    ),
    Case("predict without the file", "predict {run} no.csv", 3, "D002", ("no.csv",), {"here.csv": ROWS}),
    Case(
        "D7 eval on labels that the model lacks",
        "eval {run} --task text-classification --data d",
        3,
        "D033",
        ("validation.csv:2", "found: good", "negative, positive"),
        {"d/validation.csv": ROWS},
    ),
    Case(
        "D2 eval of a split without labels",
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
        "D27 wrong path",
        TRAIN.replace("{bert}", "./model"),
        4,
        "L003",
        ("model.name", "found: model", "did you mean models"),
        {"models/x": b"", **train_csv(ROWS)},
    ),
    Case(
        "D27 file for a model",
        TRAIN.replace("{bert}", "m.bin"),
        4,
        "L002",
        ("m.bin (model.name)",),
        {"m.bin": b"", **train_csv(ROWS)},
    ),
    Case(
        "D27 folder without a model",
        TRAIN.replace("{bert}", "d"),
        4,
        "L004",
        ("d\n", "no config.json"),
        train_csv(ROWS),
    ),
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
        "D25 a head with other labels",
        "finetune --task mnli --model {run} --data d --out run",
        4,
        "L030",
        ("model.reset_head", "negative, positive", "model.reset_head=true"),
        train_csv(ROWS),
    ),
    Case(
        "D28 offline without the model",
        SST2.replace("{bert}", "org/none") + " --offline",
        5,
        "E003",
        ("model.name", "org/none", "offline mode", "hf download org/none"),
    ),
    Case(
        "D28 offline without the data",
        "finetune --task sst2 --model {bert} --offline",
        5,
        "E020",
        ("hub:nyu-mll/glue", "--data DIR"),
    ),
]

RUNS = [
    Case(
        "D35 --out holds something",
        SST2,
        2,
        "U020",
        ("run (run.out)", "found: mine", "--overwrite"),
        {"run/mine": b"x"},
    ),
    Case(
        "D35 --overwrite of what is no run",
        SST2 + " --overwrite",
        2,
        "U022",
        ("run (--overwrite)", "no recipe.yaml"),
        {"run/mine": b"x"},
    ),
    Case("D35 --out is a file", SST2, 2, "U021", ("run.out", "found: run"), {"run": b"x"}),
    Case(
        "D35 --out below a file",
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


def more_tokens(model: Path) -> None:
    """One token more than there are embeddings, in the tokenizer."""
    file = model / "tokenizer.json"
    settings = json.loads(file.read_text())
    words = settings["model"]["vocab"]
    words["another"] = len(words)
    file.write_text(json.dumps(settings))


def of_another_size(model: Path) -> None:
    file = model / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "intermediate_size": 65}))


LONGER = ROWS + b"a film,good\nthe plot,bad\n"
TAGS = "finetune --task token-classification --model {bert} --data d --out run --max-length 32"
MORE = [
    Case(
        "D3 label -100",
        SST2.replace("{sst}", "d"),
        3,
        "D032",
        ("train.csv:3", "found: -100"),
        train_csv(b"sentence,label\na,0\nb,-100\nc,1\n"),
    ),
    Case(
        "D4 label that is a fraction",
        SST2.replace("{sst}", "d"),
        3,
        "D033",
        ("train.csv:3", "found: 0.5"),
        train_csv(b"sentence,label\na,0\nb,0.5\nc,1\n"),
    ),
    Case(
        "D4 labels that are fractions",
        TRAIN,
        3,
        "D035",
        ("train.csv",),
        train_csv(b"text,label\na,0.25\nb,0.5\nc,0.75\n"),
    ),
    Case(
        "D7 unseen label near another",
        TRAIN,
        3,
        "D033",
        ("validation.csv:2", "found: goood", "did you mean 'good'"),
        train_csv(ROWS, validation=b"text,label\na,goood\n"),
    ),
    Case(
        "D8 misspelt column",
        TRAIN,
        3,
        "D040",
        ("train.csv:1", "did you mean", "data.columns.text=txet"),
        train_csv(ROWS.replace(b"text", b"txet")),
    ),
    Case(
        "D8 column that is not there",
        TRAIN + " data.columns.text=txet",
        3,
        "D040",
        ("train.csv:1", "did you mean 'text'"),
        train_csv(ROWS),
    ),
    Case(
        "D9 columns differ between splits",
        TRAIN,
        3,
        "D040",
        ("validation.csv:1",),
        train_csv(ROWS, validation=b"body,label\na,good\n"),
    ),
    Case("D10 empty JSON lines", TRAIN, 3, "D005", ("train.jsonl", "0 bytes"), {"d/train.jsonl": b""}),
    Case(
        "D18 quote that is never closed",
        TRAIN,
        3,
        "D013",
        ("train.csv:2", "never closed", "data.quoting=none"),
        train_csv(b'text,label\n"a film,good\nb,bad\n'),
    ),
    Case(
        "D19 bad list of JSON",
        TRAIN,
        3,
        "D014",
        ("train.json:2:",),
        {"d/train.json": b'[{"text": "a", "label": "b"},\n{"text": ]'},
    ),
    Case(
        "D20 half of a surrogate pair",
        TRAIN,
        3,
        "D016",
        ("train.jsonl:2", "\\ud800"),
        {"d/train.jsonl": b'{"text": "a", "label": "b"}\n{"text": "\\ud800", "label": "c"}\n'},
    ),
    Case(
        "D21 column named twice",
        TRAIN,
        3,
        "D010",
        ("train.csv:1", "text, text, label"),
        train_csv(b"text,text,label\na,b,good\n"),
        ("allowed",),
    ),
    Case(
        "D21 column without a name",
        TRAIN,
        3,
        "D011",
        ("train.csv:1", "index=False"),
        train_csv(b",text,label\n0,b,good\n"),
        ("allowed",),
    ),
    Case(
        "D22 rows of validation in train",
        "data check --strict --task text-classification --data d",
        3,
        "D170",
        ("warning",),
        train_csv(LONGER, validation=ROWS),
        ("found",),
    ),
    Case(
        "D24 tokenizer with more tokens than embeddings",
        SST2.replace("{bert}", "model"),
        4,
        "L026",
        ("tokens", "at most"),
        harm=more_tokens,
        silent=(),
    ),
    Case(
        "D24 weights of another shape",
        SST2.replace("{bert}", "model"),
        4,
        "L024",
        ("model\n", "intermediate"),
        harm=of_another_size,
        silent=("allowed",),
    ),
    Case(
        "D29 metric of the hub without consent",
        SST2 + " eval.metrics=['evaluate:accuracy@0123456789012345678901234567890123456789']",
        2,
        "M007",
        ("eval.allow_code",),
    ),
    Case(
        "D29 metric of the hub without a network",
        SST2
        + " eval.metrics=['evaluate:accuracy@0123456789012345678901234567890123456789'] eval.allow_code=true --offline",
        5,
        "M009",
        ("accuracy",),
        silent=("found", "allowed"),
    ),
    Case(
        "D32 key given twice",
        "finetune my.yaml",
        2,
        "R006",
        ("my.yaml:3", "first on line 2"),
        {"my.yaml": b"task: sst2\ntrain: {lr: 1}\ntrain: {lr: 2}\n"},
        ("allowed",),
    ),
    Case(
        "D32 key that is a boolean",
        "finetune my.yaml",
        2,
        "R009",
        ("my.yaml:2", "true"),
        {"my.yaml": b"task: sst2\ntrue: 1\n"},
        ("allowed",),
    ),
    Case(
        "D32 time for a number",
        "finetune my.yaml",
        2,
        "R021",
        ("my.yaml:2 (train.batch_size)", "1:30"),
        {"my.yaml": b"task: sst2\ntrain: {batch_size: 1:30}\n"},
    ),
    Case(
        "D32 leading zero",
        "finetune my.yaml",
        2,
        "R021",
        ("my.yaml:2 (train.batch_size)", "012"),
        {"my.yaml": b"task: sst2\ntrain: {batch_size: 012}\n"},
    ),
    Case(
        "D32 yes for true",
        "finetune my.yaml",
        2,
        "R021",
        ("my.yaml:2 (model.reset_head)", "yes"),
        {"my.yaml": b"task: sst2\nmodel: {reset_head: yes}\n"},
    ),
    Case(
        "D33 alias bomb",
        "finetune my.yaml",
        2,
        "R008",
        ("my.yaml:1",),
        {"my.yaml": b"a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n"},
        ("allowed",),
    ),
    Case(
        "D33 values too deep",
        "finetune my.yaml",
        2,
        "R010",
        ("my.yaml:1",),
        {"my.yaml": b"a: " + b"[" * 200},
        ("found", "allowed", "help"),
    ),
    Case(
        "E11 recipe that writes elsewhere",
        "finetune my.yaml --model {bert} --data {sst}",
        2,
        "U125",
        ("my.yaml:2 (run.out)", "--out /tmp/elsewhere"),
        {"my.yaml": b"task: sst2\nrun: {out: /tmp/elsewhere}\n"},
    ),
    Case(
        "E11 recipe that writes above",
        "finetune my.yaml --model {bert} --data {sst}",
        2,
        "U125",
        ("found: runs/../../up", "--out runs/../../up"),
        {"my.yaml": b"extends: base.yaml\n", "base.yaml": b"task: sst2\nrun:\n  out: runs/../../up\n"},
    ),
    Case(
        "D5 tags fewer than tokens",
        TAGS,
        3,
        "D101",
        ("train.jsonl:1", "found: 1 tags"),
        {"d/train.jsonl": b'{"tokens": ["a", "b"], "ner_tags": ["O"]}\n'},
    ),
    Case("D18 columns differ between lines", TAGS, 3, "D115", ("train.conll:2",), {"d/train.conll": b"a O\nb\n"}),
]
"""Rows of the table that none of the above is."""

CASES = [*RECIPES, *DATA, *MODELS, *RUNS, *MORE]
NAMES = [case.name for case in CASES]


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
def test_D45_a_mistake_is_told_as_reviewed_and_leaves_nothing_behind(
    case: Case, cli: Cli, tiny_bert: Path, sst_like: Path, sst_run: Path
) -> None:
    for name, text in case.files.items():
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_bytes(text)
    if case.harm is not None:
        case.harm(Path(shutil.copytree(tiny_bert, "model")))
    before = sorted(Path().rglob("*"))
    done = cli(case.command.format(bert=tiny_bert, sst=sst_like, run=sst_run))
    check(done, case)
    after = [path for path in sorted(Path().rglob("*")) if not path.name.startswith("predictions")]
    assert after == before
    places = {"bert": tiny_bert, "sst": sst_like, "run": sst_run, "here": Path.cwd()}
    said = golden.normal(f"exit {done.code}\n{done.mistakes[0]}", places)
    if golden.WRITES:
        golden.write(case.name, said, NAMES)
    assert said == golden.sections().get(case.name), "run: make golden, and read what has changed"


def test_E11_what_the_command_line_names_and_a_runs_own_recipe_may_be_anywhere(
    cli: Cli, tiny_bert: Path, sst_like: Path, tmp_path: Path
) -> None:
    """Negative control."""
    Path("my.yaml").write_text(f"task: sst2\nrun: {{out: {tmp_path / 'a'}}}\n")
    words = ("--model", tiny_bert, "--data", sst_like, *SMALL)
    assert cli("finetune", "my.yaml", *words).code == 2 and not (tmp_path / "a").exists()
    assert cli("finetune", "my.yaml", *words, "--out", tmp_path / "a").code == 0
    assert cli("finetune", tmp_path / "a", "--resume", "auto", "--quiet").code == 0
    assert cli("finetune", "my.yaml", *words, f"run.out={tmp_path / 'b'}", "--limit", "8").code == 0
    Path("my.yaml").write_text("task: sst2\nrun: {out: inner/run}\n")
    assert cli("finetune", "my.yaml", *words, "--limit", "8").code == 0 and Path("inner/run/best").is_dir()


def test_D26_a_head_keeps_the_order_of_its_classes_whatever_the_data_say(cli: Cli, sst_run: Path) -> None:
    """Classes are compared by name: no order of names, ids or rows permutes them silently."""
    Path("d").mkdir()
    Path("d/train.csv").write_text("text,label\na,positive\nb,negative\nc,positive\nd,negative\n")
    command = f"finetune --task text-classification --model {sst_run} --data d --max-length 32 --dry-run --json"
    for words in ("", " data.labels=[positive,negative]"):
        done = cli(command + words)
        assert done.code == 0, done.err
        assert done.json["labels"] == ["negative", "positive"]


def test_D1_to_D35_each_kind_of_bad_input_has_a_test() -> None:
    said = NAMES + [name.removeprefix("test_").replace("_", " ") for name in globals() if name.startswith("test_D")]
    proven = {word for name in said for word in name.split() if re.fullmatch(r"D\d+", word)}
    assert {f"D{row}" for row in range(1, 36)} <= proven


def test_D45_the_file_has_each_message_once_and_no_other() -> None:
    assert list(golden.sections()) == NAMES and len(set(NAMES)) == len(NAMES)


def test_D41_all_missing_columns_are_reported_at_once(cli: Cli, tiny_bert: Path) -> None:
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


def test_D41_all_mistakes_of_a_recipe_are_reported_at_once(cli: Cli) -> None:
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


HOSTILE = ("None", "NA", "null", "", "123", "1e5", "a, b", '"q"', "🙂", "אבג", "a\0b", " x\u00a0", "word " * 20_000)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "json", "parquet"])
def test_D43_the_tokenizer_gets_exactly_what_the_file_says(
    kind: str, cli: Cli, tiny_bert: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import PreTrainedTokenizerBase

    texts = [text for text in HOSTILE for _ in range(2)]
    rows = [{"text": text, "label": ("bad", "good")[place % 2]} for place, text in enumerate(texts)]
    Path("d").mkdir()
    for split in ("train", "validation"):
        write_rows(Path(f"d/{split}.{kind}"), rows)
    seen: list[str] = []
    tokenize = PreTrainedTokenizerBase.__call__

    def watched(self: PreTrainedTokenizerBase, text: object, *given: object, **named: object) -> object:
        seen.extend([text] if isinstance(text, str) else text)  # type: ignore[arg-type]
        return tokenize(self, text, *given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(PreTrainedTokenizerBase, "__call__", watched)
    done = cli(TRAIN.format(bert=tiny_bert) + " --dry-run --json")
    assert done.code == 0, done.err
    assert sorted(set(seen) & set(texts)) == sorted(set(texts)) and len(seen) >= 2 * len(texts)
    assert not [text for text in seen if text not in texts]


def write_rows(file: Path, rows: list[dict[str, str]]) -> None:
    """Rows as the usual libraries write them."""
    import csv

    if file.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        pq.write_table(pa.Table.from_pylist(rows), file)
    elif file.suffix == ".json":
        file.write_text(json.dumps(rows))
    elif file.suffix == ".jsonl":
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    else:
        with file.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream, delimiter="," if file.suffix == ".csv" else "\t", quoting=csv.QUOTE_ALL)
            writer.writerows([list(rows[0]), *(row.values() for row in rows)])


def test_D31_an_exponent_is_a_number_in_a_recipe_and_as_override(cli: Cli) -> None:
    Path("my.yaml").write_text("task: sst2\ntrain: {lr: 2e-5}\n")
    for command in ("finetune my.yaml", "finetune --task sst2 train.lr=2e-5"):
        assert cli(f"{command} --print-config --json").json["train.lr"]["value"] == 2e-5


def test_flags_that_do_not_exist_are_refused_in_few_lines(cli: Cli) -> None:
    for command in ("finetune --bogus", "finetune --epochs many", "bogus"):
        done = cli(command)
        assert done.code == 2 and 0 < len(done.err.splitlines()) <= 6 and "-h" in done.err


def test_D14_a_byte_order_mark_and_windows_line_ends_are_accepted(cli: Cli, tiny_bert: Path) -> None:
    Path("d").mkdir()
    Path("d/train.csv").write_bytes(codecs.BOM_UTF8 + ROWS.replace(b"\n", b"\r\n"))
    plan = cli(TRAIN.format(bert=tiny_bert) + " --dry-run --json").json
    assert plan["labels"] == ["bad", "good"] and plan["columns"] == {"text": "text", "label": "label"}


def test_D15_D16_texts_that_look_like_nothing_stay_as_they_are(cli: Cli, tiny_bert: Path) -> None:
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


def test_E1_pickled_weights_are_refused_unless_allowed(cli: Cli, tiny_bert: Path, sst_like: Path) -> None:
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


def cached(home: Path, name: str, model: Path) -> None:
    """Put a model into the hub's cache, as a download does."""
    commit = "0123456789" * 4
    place = home / "hub" / f"models--{name.replace('/', '--')}"
    shutil.copytree(model, place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)


def test_D44_a_cached_model_serves_without_a_network(
    cli: Cli, tiny_bert: Path, sst_like: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import socket

    from huggingface_hub import constants

    asked: list[object] = []

    def refuse(*address: object, **_: object) -> None:
        asked.append(address)
        raise OSError("the network is unreachable")

    cached(Path("home").absolute(), "org/cached", tiny_bert)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(Path("home/hub").absolute()))
    for name in ("create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    words = ("--task", "sst2", "--data", sst_like, "--model", "org/cached", "--out", "run", "--limit", "8", *SMALL)
    done = cli("finetune", *words, "--offline")
    assert done.code == 0, done.err
    assert json.loads(Path("run/lock.json").read_text())["model"]["from"] == "org/cached"
    assert asked == []


@pytest.mark.parametrize("missing", ["model", "data"])
def test_D44_a_hub_that_does_not_answer_ends_with_5_within_15_seconds(
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
