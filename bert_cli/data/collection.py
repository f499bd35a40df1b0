"""Texts that are searched, queries, and judgements which texts are relevant to which query.

Every id is looked up before anything is searched, so a judgement about nothing is refused with its line. Ids are
strings, whatever the file writes; a whole collection is read once for all splits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from bert_cli.data.labels import whole_number
from bert_cli.data.source import Source
from bert_cli.data.stream import Record
from bert_cli.errors import DataError, closest, listing
from bert_cli.recipe.schema import DataSection

ID = ("_id", "id", "doc_id", "docid", "query_id", "qid")
TEXT, TITLE = ("text", "contents", "body", "query"), ("title",)
QUERY = ("query-id", "query_id", "qid")
DOCUMENT = ("corpus-id", "corpus_id", "doc_id", "docid", "doc-id", "pid")
GRADE = ("score", "relevance", "grade", "label")


@dataclass(frozen=True, eq=False)
class Collection:
    """Texts with ids that differ."""

    ids: list[str]
    texts: list[str]
    origin: str

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def places(self) -> dict[str, int]:
        """Place of each id."""
        return {name: place for place, name in enumerate(self.ids)}


@dataclass(frozen=True)
class Judgements:
    """What is known about queries: of each by its id the line of its first judgement, and place of a text -> grade."""

    lines: dict[str, int]
    grades: dict[str, dict[int, int]]


def read_collection(source: Source, data: DataSection) -> Collection:
    """All texts of a source, a title before its text.

    Raises:
        DataError: no column for the id or the text (D151), an id twice (D152), a text that is no string (D153), and
            what reading raises, for an empty file too (D005, D006).
    """
    ids: list[str] = []
    texts: list[str] = []
    lines: dict[str, int] = {}
    for record in source.records(data.model_copy(update={"limit": None}), columns=(*ID, *TITLE, *TEXT)):
        name = _id(record, _column(record, ID, "id", source), source)
        if name in lines:
            raise DataError(
                "D152",
                f"two rows have the id '{name}'",
                where=f"{source.origin}:{record.line}",
                found=f"the id of line {lines[name]}",
                allowed="an id of its own for each row",
                help="delete one of the two rows, or give it another id",
            )
        lines[name] = record.line
        ids.append(name)
        title = next((record.values[column] for column in TITLE if column in record.values), None)
        parts = [_text(record, title or "", source), _text(record, _cell(record, TEXT, "text", source), source)]
        texts.append(" ".join(filter(None, parts)))
    return Collection(ids, texts, source.origin)


def read_judgements(source: Source, data: DataSection, *, queries: Collection, texts: Collection) -> Judgements:
    """The judgements of one split.

    Raises:
        DataError: no column for query, text or grade (D151), an id that is not known (D154), a grade that is no whole
            number (D155), two grades of one text (D156), and what reading raises.
    """
    found = Judgements({}, {})
    for record in source.records(data.model_copy(update={"limit": None}), columns=(*QUERY, *DOCUMENT, *GRADE)):
        where = f"{source.origin}:{record.line}"
        query = _id(record, _column(record, QUERY, "query", source), source)
        text = _id(record, _column(record, DOCUMENT, "document", source), source)
        for name, known in ((query, queries), (text, texts)):
            if name not in known.places:
                raise _unknown(name, known, where)
        cell = _cell(record, GRADE, "grade", source)
        grade = whole_number(cell)
        if grade is None:
            raise DataError(
                "D155",
                "a judgement is a whole number",
                where=where,
                found=repr(cell),
                allowed="0 (not relevant), 1, 2 …",
                help="correct the row, or delete it",
            )
        grades = found.grades.setdefault(query, {})
        found.lines.setdefault(query, record.line)
        if grades.setdefault(texts.places[text], grade) != grade:
            raise DataError(
                "D156",
                f"the text '{text}' is judged twice for the query '{query}'",
                where=where,
                found=f"{grade}, and {grades[texts.places[text]]} before",
                allowed="one judgement of each text for a query",
                help="delete one of the two rows",
            )
    return found


def _column(record: Record, names: Sequence[str], role: str, source: Source) -> str:
    column = next((name for name in names if name in record.values), None)
    if column is None:
        raise DataError(
            "D151",
            f"there is no column for the {role}",
            where=source.header(record.line),
            found=listing(record.values),
            allowed=f"a column {listing(names)}",
            help=f"rename the column to {names[0]}",
        )
    return column


def _cell(record: Record, names: Sequence[str], role: str, source: Source) -> object:
    return record.values[_column(record, names, role, source)]


def _id(record: Record, column: str, source: Source) -> str:
    value = record.values[column]
    if isinstance(value, str) and value.strip() or isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise DataError(
        "D153",
        f"the column '{column}' of this row holds no id",
        where=f"{source.origin}:{record.line}",
        found="null" if value is None else repr(value),
        allowed="a string or a whole number",
        help="correct the row, or delete it",
    )


def _text(record: Record, value: object, source: Source) -> str:
    if isinstance(value, str):
        return value.strip()
    raise DataError(
        "D153",
        "the text of this row is not a string",
        where=f"{source.origin}:{record.line}",
        found="null" if value is None else repr(value),
        allowed="a string (it may be empty)",
        help="write the value in quotes, or delete the row",
    )


def _unknown(name: str, known: Collection, where: str) -> DataError:
    near = closest(name, known.ids[:5000])
    return DataError(
        "D154",
        f"a judgement is about '{name}', which {known.origin} does not have",
        where=where,
        found=name,
        allowed=f"an id of {known.origin}" + (f" (did you mean '{near}'?)" if near else ""),
        help="delete the row, or add the text",
    )


def relevant(grades: Mapping[int, int]) -> list[int]:
    """Places of the texts that are relevant, in the order of the file: those of grade 1 and more."""
    return [place for place, grade in grades.items() if grade > 0]
