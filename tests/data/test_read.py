"""Reading files strictly: what is written comes out, and nothing else does."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bert_cli.data.read import Record, iter_records
from bert_cli.errors import BertctlError, DataError, UsageError

HOSTILE = [
    "None",
    "NA",
    "null",
    "",
    "123",
    "1e5",
    "a, b",
    '"q"',
    "tab\there",
    "two\nlines",
    "\x00",
    "🙂",
    "אבג",
    "x" * 200_000,
]


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(path: Path | io.BytesIO, **options: str) -> list[dict[str, object]]:
    return [record.values for record in iter_records(path, **options)]


def refusal(path: Path | io.BytesIO, **options: str) -> BertctlError:
    with pytest.raises((DataError, UsageError)) as caught:
        list(iter_records(path, **options))
    assert len(caught.value.render().splitlines()) <= 6
    return caught.value


@pytest.mark.parametrize(("name", "delimiter"), [("t.csv", ","), ("t.tsv", "\t")])
def test_D43_hostile_texts_come_back_exactly_from_csv_and_tsv(tmp_path: Path, name: str, delimiter: str) -> None:
    with (tmp_path / name).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter=delimiter)
        writer.writerows([["text", "label"], *([text, "0"] for text in HOSTILE)])
    assert [row["text"] for row in rows(tmp_path / name)] == HOSTILE


@pytest.mark.parametrize("name", ["t.jsonl", "t.ndjson", "t.json", "t.jsonl.gz"])
def test_D43_hostile_texts_come_back_exactly_from_json_lines(tmp_path: Path, name: str) -> None:
    content = "".join(json.dumps({"text": text}) + "\n" for text in HOSTILE).encode()
    path = write(tmp_path, name, gzip.compress(content, mtime=0) if name.endswith(".gz") else content)
    assert [row["text"] for row in rows(path)] == HOSTILE


def test_D43_hostile_texts_come_back_exactly_from_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": HOSTILE, "label": list(range(len(HOSTILE)))}), tmp_path / "t.parquet")
    read = list(iter_records(tmp_path / "t.parquet"))
    assert [record.values["text"] for record in read] == HOSTILE
    assert [record.line for record in read] == list(range(1, len(HOSTILE) + 1))


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"])), min_size=1, max_size=5))
def test_any_text_written_by_the_csv_module_comes_back(texts: list[str]) -> None:
    buffer = io.StringIO(newline="")
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([["text", "label"], *([text, "1"] for text in texts)])
    assert [row["text"] for row in rows(io.BytesIO(buffer.getvalue().encode()), format="csv")] == texts


@settings(max_examples=150)
@given(
    st.binary(max_size=200) | st.text('{}[]",:\t\r\n\\ua0d8e-.5N', max_size=60).map(str.encode),
    st.sampled_from(["csv", "tsv", "jsonl", "json", "txt", "jsonl.gz", "parquet"]),
    st.sampled_from(["minimal", "none"]),
    st.sampled_from(["utf-8", "latin-1", "utf-16"]),
)
def test_D42_random_bytes_are_read_or_refused_by_our_errors(
    content: bytes, format: str, quoting: str, encoding: str
) -> None:
    try:
        for record in iter_records(io.BytesIO(content), format=format, quoting=quoting, encoding=encoding):
            assert isinstance(record, Record) and record.line >= 1
    except (DataError, UsageError) as error:
        assert len(error.render().splitlines()) <= 6


def test_a_record_knows_the_line_on_which_it_begins(tmp_path: Path) -> None:
    path = write(tmp_path, "t.csv", 'text,label\n"one\ntwo",1\nthree,0\n')
    assert [record.line for record in iter_records(path)] == [2, 4]
    path = write(tmp_path, "t.json", '[\n {"text": "a"},\n\n {"text": "b"}\n]\n')
    assert [record.line for record in iter_records(path)] == [2, 4]


def test_an_unquoted_comma_is_refused_with_file_and_line(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "t.csv", "text,label\ngood,1\nbad, very bad,0\n"))
    assert (error.code, error.where) == ("D012", "t.csv:3")
    assert "3 fields" in str(error.found) and "unquoted comma" in str(error.help)


def test_a_short_row_is_refused(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "t.tsv", "text\tlabel\nonly text\n")).where == "t.tsv:2"


def test_blank_lines_at_the_end_are_ignored_and_between_rows_refused(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "t.csv", "text,label\r\na,1\r\n\r\n\r\n")) == [{"text": "a", "label": "1"}]
    assert refusal(write(tmp_path, "t.csv", "text,label\na,1\n\nb,0\n")).where == "t.csv:3"
    assert len(rows(write(tmp_path, "t.jsonl", '{"text": "a"}\n\n  \n{"text": "b"}\n\n'))) == 2


@pytest.mark.parametrize("body", ['"open,1\nnext,0\n', '"a" b,1\n', "a\rb,1\n"])
def test_stray_and_unclosed_quotes_are_refused_where_the_record_begins(tmp_path: Path, body: str) -> None:
    error = refusal(write(tmp_path, "t.csv", "text,label\nfine,1\n" + body))
    assert (error.code, error.where) == ("D013", "t.csv:3")
    assert "data.quoting=none" in str(error.help)


def test_rows_that_bare_quotes_would_swallow_are_refused(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "t.tsv", 'text\tlabel\n"a\t1\nb"\t0\nthe "c" word\t1\n'))
    assert (error.code, error.where) == ("D013", "t.tsv:2")


def test_quotes_are_plain_text_without_quoting(tmp_path: Path) -> None:
    path = write(tmp_path, "t.tsv", 'text\tlabel\n"a\t1\nb"\t0\nsay "c"\r\t1\r\n')
    assert [row["text"] for row in rows(path, quoting="none")] == ['"a', 'b"', 'say "c"\r']


@pytest.mark.parametrize(
    ("name", "header", "help"),
    [
        ("t.csv", "text;label", "write the file again with commas between the columns"),
        ("t.csv", "text|label", "write the file again with commas between the columns"),
        ("t.csv", "text\tlabel", "call it .tsv, or --format tsv"),
        ("t.tsv", "text,label", "call it .csv, or --format csv"),
    ],
)
def test_another_separator_is_named_with_what_to_do(tmp_path: Path, name: str, header: str, help: str) -> None:
    error = refusal(write(tmp_path, name, f"{header}\ngood film; bad score\n"))
    assert (error.code, error.found, error.help) == ("D017", header, help)
    assert error.where is not None and error.where.endswith(f"{name}:1")


@pytest.mark.parametrize(
    ("header", "code"), [("text,text", "D010"), ("text,", "D011"), ("text, ", "D011"), ("", "D011")]
)
def test_columns_need_names_of_their_own(tmp_path: Path, header: str, code: str) -> None:
    assert refusal(write(tmp_path, "t.csv", header + "\na,b\n")).code == code


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("t.csv", b"", "D005"),
        ("t.jsonl", b"", "D005"),
        ("t.csv", b"text,label\n", "D006"),
        ("t.csv", codecs.BOM_UTF8, "D006"),
        ("t.jsonl", b"\n\n", "D006"),
        ("t.json", b"[]", "D006"),
        ("t.xlsx", b"x", "D001"),
        ("t", b"x", "D001"),
        ("t.csv.gz", b"no gzip", "D009"),
        ("t.jsonl.gz", gzip.compress(b'{"text": "a"}\n' * 99, mtime=0)[:-9], "D009"),
        ("t.parquet", b"PAR1 no parquet", "D018"),
        ("t.parquet.gz", gzip.compress(b"no parquet", mtime=0), "D018"),
    ],
)
def test_files_without_rows_or_of_no_known_form_are_refused(
    tmp_path: Path, name: str, content: bytes, code: str
) -> None:
    assert refusal(write(tmp_path, name, content)).code == code


def test_a_missing_file_is_refused_with_the_nearest_name(tmp_path: Path) -> None:
    write(tmp_path, "train.csv", "a\nb\n")
    error = refusal(tmp_path / "trian.csv")
    assert (error.code, error.suggestion()) == ("D002", "train.csv")
    assert refusal(tmp_path).code == "D003"


def test_bytes_that_are_not_utf8_are_refused_with_line_offset_and_likely_encoding(tmp_path: Path) -> None:
    error = refusal(write(tmp_path, "t.csv", "text,label\nok,1\ncafé au lait,0\n".encode("latin-1")))
    assert (error.code, error.where) == ("D007", "t.csv:3")
    assert "0xe9 at offset 19" in str(error.found) and "data.encoding=latin-1" in str(error.help)
    error = refusal(write(tmp_path, "t.csv", "text,label\n这个宾馆比较陈旧了,0\n".encode("gb18030")))
    assert "data.encoding=gb18030" in str(error.help)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "utf-16-le"])
def test_utf16_and_utf32_are_named_and_then_read(tmp_path: Path, encoding: str) -> None:
    mark = codecs.BOM_UTF16_LE if encoding == "utf-16-le" else b""
    path = write(tmp_path, "t.csv", mark + "text,label\nfoo\u010abar,1\n".encode(encoding))
    named = encoding.removesuffix("-le")
    error = refusal(path)
    assert (error.code, error.found) == ("D008", named)
    assert rows(path, encoding=named) == [{"text": "foo\u010abar", "label": "1"}]


def test_a_utf8_byte_order_mark_is_not_part_of_the_first_column(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "t.csv", codecs.BOM_UTF8 + b"text\na\n")) == [{"text": "a"}]
    assert rows(write(tmp_path, "t.jsonl", codecs.BOM_UTF8 + b'{"text": "a"}\n')) == [{"text": "a"}]


def test_an_unknown_encoding_is_a_usage_error(tmp_path: Path) -> None:
    assert refusal(write(tmp_path, "t.csv", "a\nb\n"), encoding="utf8000").code == "U060"


@pytest.mark.parametrize(
    ("line", "code", "fragment"),
    [
        ('{"text": "a" "label": 1}', "D014", ":2:14"),
        ('{"text": "a"', "D014", ":2:"),
        ('{"text": NaN}', "D014", ":2:10"),
        ('{"score": -Infinity}', "D014", ":2:11"),
        ('{"text": "a", "text": "b"}', "D014", ":2:2"),
        ("[" * 100_000, "D014", ":2"),
        ('["a"]', "D015", ":2"),
        ("3", "D015", ":2"),
        (r'{"text": "\ud83d"}', "D016", ":2"),
    ],
)
def test_a_bad_json_line_is_refused_with_line_and_column(tmp_path: Path, line: str, code: str, fragment: str) -> None:
    error = refusal(write(tmp_path, "t.jsonl", '{"text": "fine"}\n' + line + "\n"))
    assert error.code == code
    assert str(error.where).startswith("t.jsonl" + fragment)


def test_a_json_list_is_read_and_its_mistakes_have_lines(tmp_path: Path) -> None:
    assert rows(write(tmp_path, "t.json", '\n[{"a": 1}, {"a": [1, null]}]')) == [{"a": 1}, {"a": [1, None]}]
    assert refusal(write(tmp_path, "t.json", '[{"a": 1}\n,\n oops]')).where == "t.json:3:2"
    assert refusal(write(tmp_path, "t.json", '[{"a": 1}] x')).code == "D014"
    assert refusal(write(tmp_path, "t.json", '[{"a": 1},\n 3]')).where == "t.json:2"


def test_each_line_of_plain_text_is_a_record(tmp_path: Path) -> None:
    path = write(tmp_path, "t.txt", "one\r\n\nthree\u2028still three\n")
    assert [row["text"] for row in rows(path)] == ["one", "", "three\u2028still three"]


def test_a_stream_is_read_in_the_given_format() -> None:
    assert rows(io.BytesIO(b"text\na\n"), format="csv") == [{"text": "a"}]
    assert refusal(io.BytesIO(b"text\na\n")).code == "D001"
    assert refusal(io.BytesIO(b""), format="csv", name="input").where == "input"


def test_columns_of_parquet_that_nobody_needs_are_not_read(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    ids = pa.array([b"0" * 16], pa.uuid())
    pq.write_table(pa.table({"vector": [[1.0, 2.0]], "text": ["a"], "id": ids}), tmp_path / "t.parquet")
    (record,) = iter_records(tmp_path / "t.parquet", columns=("text", "label"))
    assert list(record.values.items()) == [("vector", None), ("text", "a"), ("id", None)]
    with pytest.raises(DataError) as caught:
        list(iter_records(tmp_path / "t.parquet", columns=("label",)))
    assert caught.value.code == "D019"


def test_parquet_with_extension_types_is_refused(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    column = pa.ExtensionArray.from_storage(pa.json_(pa.string()), pa.array(['{"a": 1}']))
    pq.write_table(pa.table({"text": ["a"], "meta": column}), tmp_path / "t.parquet")
    assert refusal(tmp_path / "t.parquet").code == "D019"


def test_the_first_record_does_not_wait_for_the_last() -> None:
    class Endless(io.RawIOBase):
        def __iter__(self) -> Endless:
            return self

        def __next__(self) -> bytes:
            return b'{"text": "again"}\n'

    assert next(iter_records(cast(BinaryIO, Endless()), format="jsonl")).values == {"text": "again"}


def test_a_mistake_in_a_list_is_looked_for_in_its_own_record() -> None:
    for record, wanted in (
        ('{"text": NaN}', ":3:10"),
        ('{"a": 1, "a": 2}', ":3:2"),
        ('{"b": {"a": 1, "a": 2}}', ":3:8"),
    ):
        text = f'[{{"text": "NaN", "a": "a"}},\n{{"a": 1}},\n{record}]'
        with pytest.raises(DataError) as caught:
            list(iter_records(io.BytesIO(text.encode()), format="json"))
        assert str(caught.value.where).endswith(wanted)
