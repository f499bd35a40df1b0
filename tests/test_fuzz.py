"""D42: whatever bytes a file holds, it is read, or refused by an error of the tree; nothing else comes out.

Random bytes say little beyond the first line, so most cases are whole files with a byte changed, a part cut out,
doubled or replaced by what tends to go wrong.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_questions import flat, nested, tiny_paragraphs
from tiny_tags import tiny_tagged

from bert_cli.errors import BertctlError, ErrorGroup
from bert_cli.recipe.load import load_recipe
from bert_cli.recipe.schema import Recipe
from bert_cli.recipe.yaml import read_yaml
from bert_cli.run.check import check_data
from bert_cli.seal import faults

OFTEN = {"csv", "conll", "json"}
"""Suffixes with as many cases for every task; tables of other tasks go through the same reader."""
CASES = settings(
    max_examples=300,
    # Against hanging only.
    deadline=timedelta(seconds=30),
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

ODD = (
    *(b"\x00", b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\r", b"\n", b"\n\n", b"\t", b" ", b",", b'"', b'""', b"'"),
    *(b"{", b"}", b"[", b"]", b"[[", b":", b"#", b"-", b"- ", b"&a", b"*a", b"!!int", b"|", b">", b"%", b"---\n", b"~"),
    *(b"null", b"true", b"NaN", b"-1", b"1e999", b"1.5", b"0", b"9" * 30, b"9" * 5000, b"[]", b"{}", b'"x"', b"[null]"),
    *(b"\\ud800", b"\\u0000", b"\xc3\xa9", b"\xe2\x80\xae", b"\xf0\x9f\x99\x82", b"\xc2\x85", b"\x1b[31m", b"a" * 300),
)


def sentences_as_columns() -> bytes:
    return "\n\n".join(
        "\n".join(f"{token} {tag}" for token, tag in zip(tokens, tags, strict=True))
        for tokens, tags in tiny_tagged(6, longest=8)
    ).encode()


def words_as_conllu() -> bytes:
    rows = ["# sent_id = 1", "1-2\tdont\t_\t_\t_\t_\t_\t_\t_\t_"]
    rows += [f"{i}\tfilm{i}\tfilm\t{tag}\t_\t_\t0\troot\t_\t_" for i, tag in enumerate(("NOUN", "VERB", "NOUN"), 1)]
    return ("\n".join(rows) + "\n\n" + "\n".join(rows) + "\n").encode()


def lines(rows: list[dict[str, object]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


TEXTS: list[dict[str, object]] = [{"text": f"a film, {i}", "label": ("bad", "good")[i % 2]} for i in range(6)]
PARAGRAPHS = tiny_paragraphs(2)
FILES = {
    ("text-classification", "csv"): b'text,label\n"a film, 1",bad\na film 2,good\n"a ""film"" 3",bad\na film 4,good\n',
    (
        "text-classification",
        "tsv",
    ): b'text\tlabel\na film 1\tbad\na film 2\tgood\n"a ""film"" 3"\tbad\na film 4\tgood\n',
    ("text-classification", "jsonl"): lines(TEXTS),
    ("text-classification", "json"): json.dumps(TEXTS, indent=1).encode(),
    ("multi-label-classification", "jsonl"): lines(
        [{"text": f"film {i}", "labels": ["a", "b"][: i % 3]} for i in range(6)]
    ),
    ("text-regression", "csv"): b"text,score\na film,0.5\na plot,1.5\na cast,-2\na scene,1e2\n",
    ("token-classification", "conll"): sentences_as_columns(),
    ("token-classification", "conllu"): words_as_conllu(),
    ("token-classification", "jsonl"): lines([{"tokens": a, "ner_tags": b} for a, b in tiny_tagged(6, longest=8)]),
    ("question-answering", "json"): json.dumps(nested(PARAGRAPHS)).encode(),
    ("question-answering", "jsonl"): lines(flat(PARAGRAPHS)),
    ("multiple-choice", "jsonl"): lines(
        [{"question": f"film {i}?", "choices": ["good", "bad"], "label": i % 2} for i in range(6)]
    ),
    ("sentence-similarity", "tsv"): b"text\ttext_pair\tscore\na film\ta plot\t1\na cast\ta scene\t0\na film\tb\t0.5\n",
}
"""A file of each reader that is read without a complaint, by task and suffix."""

RECIPE = b"""\
# A comment.
extends: finetune/sst2
task: text-classification
model: {name: "google-bert/bert-base-uncased", dropout: 0.1}
data:
  source: data
  labels: [bad, 'good']
  columns: {text: sentence}
  max_length: 128
train:
  epochs: 3
  lr: 2e-5
  precision: fp32
eval: {every: 0.5, metrics: [f1]}
run:
  save_every: 500 steps
"""


@st.composite
def near(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with up to three mistakes in it."""
    content = bytearray(whole)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(content)))
        to = min(len(content), at + draw(st.sampled_from((0, 1, 1, 1, 2, 7, 40))))
        change = draw(st.sampled_from(("byte", "odd", "cut", "double", "end")))
        if change == "byte":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif change == "odd":
            content[at:to] = draw(st.sampled_from(ODD))
        elif change == "cut":
            del content[at:to]
        elif change == "double":
            content[at:at] = content[at:to]
        else:
            del content[at:]
    return bytes(content)


def contents(whole: bytes) -> st.SearchStrategy[bytes]:
    return st.one_of(near(whole), near(whole), near(whole), st.binary(max_size=200))


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    place = Path(tempfile.mkdtemp(prefix="fuzz-"))
    yield place
    shutil.rmtree(place)


def refused(read: Callable[[], object]) -> str | None:
    """The code of the error by which `read` refused, None where it did not."""
    try:
        read()
    except BertctlError as error:
        for one in error.errors if isinstance(error, ErrorGroup) else (error,):
            assert len(one.render().splitlines()) <= 6 and one.exit_code in (2, 3), one.render()
            json.dumps(one.as_dict())
        return error.code
    return None


def recipe_for(task: str, data: Path) -> Recipe:
    return Recipe.model_validate({"task": task, "data": {"source": str(data), "validation": "50%"}})


@pytest.mark.parametrize(("task", "suffix"), FILES, ids=lambda name: name)
def test_D42_a_data_file_of_any_bytes_is_read_or_refused(task: str, suffix: str, folder: Path) -> None:
    data = folder / task
    data.mkdir(exist_ok=True)
    file, recipe = data / f"train.{suffix}", recipe_for(task, data)

    @settings(CASES, max_examples=300 if suffix in OFTEN or task == "text-classification" else 100)
    @given(contents(FILES[task, suffix]))
    def holds(content: bytes) -> None:
        file.write_bytes(content)
        refused(lambda: check_data(recipe))

    file.write_bytes(FILES[task, suffix])
    assert not [found for found in check_data(recipe).findings if found.severity == "error"]
    holds()
    file.unlink()


@CASES
@given(contents(RECIPE))
def test_D42_a_recipe_of_any_bytes_is_read_or_refused(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "my.yaml"
        file.write_bytes(content)
        if refused(lambda: read_yaml(file)) is not None:
            assert refused(lambda: load_recipe(str(file))) is not None
        refused(lambda: load_recipe(str(file)))


def test_D42_the_recipe_that_is_changed_is_sound(tmp_path: Path) -> None:
    """Negative control."""
    (tmp_path / "my.yaml").write_bytes(RECIPE)
    assert refused(lambda: load_recipe(str(tmp_path / "my.yaml"))) is None


@CASES
@given(contents(json.dumps({"version": 1, "files": {"a.json": {"sha256": "0" * 64, "bytes": 2}}}, indent=1).encode()))
def test_D42_a_manifest_of_any_bytes_is_a_fault_or_is_read(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as place:
        (Path(place) / "MANIFEST.json").write_bytes(content)
        assert all(str(fault) for fault in faults(Path(place)))
