"""The YAML reader: what it reads, what it refuses, and that nothing else ever comes out of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from bert_cli.errors import BertctlError, ErrorGroup, UsageError
from bert_cli.recipe import yaml
from bert_cli.recipe.scalars import flow
from bert_cli.recipe.yaml import Document, parse_text, parse_value, read_document, read_yaml


def refusals(text: str) -> list[BertctlError]:
    try:
        return list(parse_text(text, name="r.yaml").problems)
    except UsageError as error:
        return [error]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2e-5", 2e-5),
        ("1e-5", 1e-5),
        (".5", 0.5),
        ("1.", 1.0),
        ("-1_000", "-1_000"),
        ("+3", 3),
        ("0x1F", 31),
        ("0o17", 15),
        ("012", "012"),
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("2020-01-01", "2020-01-01"),
        ("1:30", "1:30"),
        ("'3'", "3"),
        ("!!str 3", "3"),
        ("!!float 3", 3.0),
        ("10%", "10%"),
        ("[a, 1, {b: c}]", ["a", 1, {"b": "c"}]),
    ],
)
def test_scalars_follow_yaml_1_2(text: str, value: object) -> None:
    document = parse_text(f"key: {text}\n", name="r.yaml")
    assert document.problems == ()
    assert document.value == {"key": value}
    assert type(document.value["key"]) is type(value)


@pytest.mark.parametrize("text", ["", "\n", "# only a comment\n", "---\n", "~\n", "{}\n", "\ufeff"])
def test_a_file_without_any_key_is_refused_with_the_command_that_fills_it(text: str, tmp_path: Path) -> None:
    file = tmp_path / "an empty one.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_yaml(file)
    assert (caught.value.code, caught.value.where) == ("R016", str(file))
    assert caught.value.help == f"bertctl recipe cp sst2 '{file}' --force"


def test_a_file_whose_only_key_is_refused_is_not_called_empty() -> None:
    assert [error.code for error in refusals("a: .inf\n")] == ["R013"]


def test_every_key_and_item_has_its_line_and_column() -> None:
    document = parse_text("a:\n  b: 1\n  c:\n    - x\n    - y\nd: {e: 2}\n", name="r.yaml")
    assert document.places == {"a": (1, 1), "a.b": (2, 3), "a.c": (3, 3), "a.c.0": (4, 7), "a.c.1": (5, 7)} | {
        "d": (6, 1),
        "d.e": (6, 5),
    }


@pytest.mark.parametrize(
    ("text", "code", "where"),
    [
        ("a: 1\na: 2\n", "R006", "r.yaml:2"),
        ("a: !!python/object/apply:os.system [echo]\n", "R007", "r.yaml:1"),
        ("a: !local x\n", "R007", "r.yaml:1"),
        ("%YAML 1.1\n---\na: no\n", "R007", "r.yaml:2"),
        ("a: &x 1\n", "R008", "r.yaml:1"),
        ("a: 1\nb: *x\n", "R008", "r.yaml:2"),
        ("a: 1\n1.5: 2\n", "R009", "r.yaml:2"),
        ("true: 2\n", "R009", "r.yaml:1"),
        ("? [a, b]\n: 2\n", "R009", "r.yaml:1"),
        ("a: 1\n---\nb: 2\n", "R011", "r.yaml:2"),
        ("- a\n", "R012", "r.yaml:1"),
        ("text\n", "R012", "r.yaml:1"),
        ("a: 1\nb: .nan\n", "R013", "r.yaml:2"),
        ("a: -.inf\n", "R013", "r.yaml:1"),
        ("a: 1e999\n", "R013", "r.yaml:1"),
        (f"a: {'9' * 5000}\n", "R013", "r.yaml:1"),
        ("a: !!int x\n", "R013", "r.yaml:1"),
        ('a: "\\0"\n', "R014", "r.yaml:1"),
        ('a: "\\ud800"\n', "R014", "r.yaml:1"),
        ("a: 1\nb: [1,\nc: 2\n", "R005", "r.yaml:4:1"),
        ("a: 1\n\tb: 2\n", "R005", "r.yaml:2:1"),
        ("a: 1\nb: \x07\n", "R005", "r.yaml:2:4"),
        ('a: "\\UFFFFFFFF"\n', "R005", "r.yaml:1"),
    ],
)
def test_E6_what_can_surprise_is_refused_with_its_place(text: str, code: str, where: str) -> None:
    (error,) = refusals(text)
    assert (error.code, error.where, error.exit_code) == (code, where, 2)


def test_mistakes_that_do_not_stop_the_reading_are_raised_together(tmp_path: Path) -> None:
    file = tmp_path / "r.yaml"
    file.write_text("a: 1\na: 2\nb: .inf\n3.5: 4\nc: !x y\n")
    with pytest.raises(ErrorGroup) as caught:
        read_yaml(file, name="r.yaml")
    assert [error.code for error in caught.value.errors] == ["R006", "R013", "R009", "R007"]
    assert caught.value.errors[0].render().splitlines() == [
        "error[R006]: the key 'a' is given twice",
        "  --> r.yaml:2 (a)",
        "  found: a, first on line 1",
        "  help: keep one of the two",
    ]


def _bomb() -> str:
    levels = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    return "\n".join(levels + [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)])


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (_bomb(), "R008"),
        ("a: " + "[" * 10_000, "R010"),
        ("a: " + "{b: " * 10_000, "R010"),
        ("a:\n" + "- " * 10_000, "R010"),
        ("".join(" " * i + "a:\n" for i in range(1_000)), "R010"),
        ("a: [" + "b," * 400_000 + "]", "R015"),
    ],
    ids=["aliases", "lists", "mappings", "dashes", "indentation", "values"],
)
def test_E6_texts_made_to_exhaust_memory_are_refused_soon(
    text: str, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = 0

    class Counting(YAML):
        def parse(self, stream: object) -> Iterator[object]:
            nonlocal drawn
            for event in super().parse(stream):
                drawn += 1
                yield event

    monkeypatch.setattr(yaml, "YAML", Counting)
    (error,) = refusals(text)
    assert error.code == code
    assert drawn <= yaml.MAX_VALUES + 100


def test_E6_a_file_of_50_mb_is_refused_without_being_read(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    with file.open("wb") as stream:
        stream.truncate(50_000_000)
    start = time.process_time()
    with pytest.raises(UsageError) as caught:
        read_document(file)
    assert caught.value.code == "R003"
    assert time.process_time() - start < 1.0


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes("a: 1\nb: schön\n".encode("latin-1"))
    (tmp_path / "folder.yaml").mkdir()
    for name, code, where in [("latin.yaml", "R004", "x:2"), ("folder.yaml", "R002", "x"), ("a\0b", "R002", "x")]:
        with pytest.raises(UsageError) as caught:
            read_document(tmp_path / name, name="x")
        assert (caught.value.code, caught.value.where) == (code, where)


def test_a_missing_file_suggests_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("")
    with pytest.raises(UsageError) as caught:
        read_document(tmp_path / "reciep.yaml")
    assert caught.value.code == "R001"
    assert caught.value.suggestion() == str(tmp_path / "recipe.yaml")


@pytest.mark.parametrize("text", ["a: b", "- a", "x # y", "# y", "--- a", "|\n a", "{a: 1} # y", "a\nb"])
def test_a_command_line_value_is_never_read_in_part(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_value(text, name=f"k={text}", key="k")
    assert caught.value.code == "R035"
    assert "quote" in (caught.value.help or "")


@pytest.mark.parametrize("text", ["", " ", "~", "null"])
def test_an_empty_command_line_value_is_null(text: str) -> None:
    assert parse_value(text, name="k=", key="k").value is None


YAMLISH = st.text(alphabet=st.sampled_from(list("ab01.:-#[]{}!&*'\"\\|>%@?,~ \n\t")), max_size=40)


@given(st.one_of(st.text(max_size=60), YAMLISH))
@settings(max_examples=300, deadline=None)
def test_D42_any_text_is_read_or_refused_with_a_usage_error(text: str) -> None:
    readers: list[Callable[[], Document]] = [
        lambda: parse_text(text, name="r"),
        lambda: parse_value(text, name="r", key="k"),
    ]
    for read in readers:
        try:
            document = read()
        except UsageError as error:
            assert error.render()
        else:
            assert all(isinstance(problem, UsageError) for problem in document.problems)


@given(st.binary(max_size=80))
@settings(max_examples=100, deadline=None)
def test_D42_any_bytes_are_read_or_refused_with_a_usage_error(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / f"bytes-{os.getpid()}.yaml"
    file.write_bytes(data)
    try:
        read_document(file)
    except UsageError as error:
        assert error.exit_code == 2


TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.floats(allow_nan=False, allow_infinity=False), TEXT
)


@given(st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4), max_leaves=8))
@settings(max_examples=300, deadline=None)
def test_a_value_that_is_written_is_read_back_the_same(value: object) -> None:
    document = parse_text(f"key: {flow(value)}\n", name="r.yaml")
    assert document.problems == ()
    assert repr(document.value) == repr({"key": value})
