"""Splits of tagged sentences: read, checked, and their tags turned into classes.

The classes are settled once, by the model, the recipe, the task or the training split, in this order, and hold for all
splits. Passages that cut a word, which no tags can say, are worth a doubt and stay gold; so are those that overlap in a
published data set, while in one's own they are refused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from bert_cli.data.source import Source
from bert_cli.data.spans import Span, no_character
from bert_cli.data.splits import hold_out, places
from bert_cli.data.tag_classes import TagClasses, given_names, settle
from bert_cli.data.tag_names import TagNames
from bert_cli.data.tag_table import TagTable, check_same_columns, read_table
from bert_cli.data.tagged import TaggedRows, gold_spans
from bert_cli.errors import DataError
from bert_cli.metrics.entities import OUTSIDE
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task


@dataclass(frozen=True)
class TaggedSplits:
    """Splits by name, with what was found out about all of them; see `bert_cli.families.base.Loaded`."""

    splits: dict[str, TaggedRows]
    classes: TagClasses | None
    columns: dict[str, str]
    doubts: tuple[str, ...]


def load_tagged(
    task: Task,
    data: DataSection,
    *,
    sources: Mapping[str, Source],
    seed: int,
    splits: tuple[str, ...] | None,
    labelled: Sequence[str],
    model: tuple[str, ...] | None = None,
) -> TaggedSplits:
    """Read, check and encode the splits asked for.

    Args:
        sources: where the splits are.
        seed: of the rows held out where the validation split is a share of train.
        splits: names to read; None: all but test splits.
        labelled: splits that are no use without tags.
        model: class names of a trained model.

    Raises:
        DataError, UsageError: see `places`, `read_table`, `settle`, `TagClasses` and `hold_out`; overlapping spans
            (D113) in data that are nobody's published set.
    """
    given = given_names(task, data)
    wanted, found = places(data, sources, splits, also_train=given is None and model is None)
    names = TagNames(given or model)
    tables: dict[str, TagTable] = {}
    for name, place in found.items():
        tables[name] = read_table(task, data, sources[place], names=names, need_labels=name in labelled)
        check_same_columns(next(iter(tables.values())), tables[name])
    classes = _classes(task, data, tables, model)
    doubts: list[str] = []
    loaded = {name: _rows(name, table, classes, doubts, strict=not task.folders) for name, table in tables.items()}
    if "validation" in wanted and "validation" not in loaded:
        strata = np.zeros(len(loaded["train"]), dtype=np.float32)
        loaded["train"], loaded["validation"] = hold_out(loaded["train"], strata, data, seed)
    if classes is not None and classes.scheme == "plain" and OUTSIDE in classes.names and given is None:
        other = next(name for name in classes.names if name != OUTSIDE)
        doubts.append(f"tags are read as classes of their own, for there are 'O' and '{other}', but no B- and I-")
    columns = next(iter(tables.values())).columns
    return TaggedSplits({name: loaded[name] for name in wanted}, classes, columns, tuple(doubts))


def _classes(
    task: Task, data: DataSection, tables: Mapping[str, TagTable], model: tuple[str, ...] | None
) -> TagClasses | None:
    """The classes as the training split tells them, or any other where that is not read; None without labels."""
    known = {name: table for name, table in tables.items() if table.labelled}
    if not known:
        return None
    table = known.get("train") or next(iter(known.values()))
    labels = {span.label for spans in table.spans or () for span in spans}
    return settle(task, data, tags=table.tags, labels=sorted(labels), model=model, origin=table.origin)


def _rows(name: str, table: TagTable, classes: TagClasses | None, doubts: list[str], *, strict: bool) -> TaggedRows:
    """The table with its tags as class ids; overlapping spans are refused if `strict`, else added to `doubts`."""
    tags: list[npt.NDArray[np.int32]] | None = None
    spans: list[npt.NDArray[np.int32]] | None = None
    if classes is not None and table.tags is not None:
        tags = [classes.encode(cell, where=partial(table.where, row)) for row, cell in enumerate(table.tags)]
        spans = None if classes.scheme == "plain" else gold_spans(tags, table.words, classes.names)
    elif classes is not None and table.spans is not None:
        tags, spans = _from_spans(table, table.spans, classes, doubts, strict=strict)
    return TaggedRows(
        name=name,
        origin=table.origin,
        lines=np.asarray(table.lines, dtype=np.int64),
        texts=table.texts,
        words=table.words,
        tags=tags,
        spans=spans,
        tokenised=table.tokenised,
    )


def _from_spans(
    table: TagTable, marked: Sequence[Sequence[Span]], classes: TagClasses, doubts: list[str], *, strict: bool
) -> tuple[list[npt.NDArray[np.int32]], list[npt.NDArray[np.int32]]]:
    """Tags that come nearest to the passages, and the passages themselves."""
    tags, gold = [], []
    overlapping: list[tuple[int, str]] = []
    cut: list[tuple[int, str]] = []
    for row, found in enumerate(marked):
        spans, where, words = list(dict.fromkeys(found)), table.where(row, 0), table.words[row]
        kinds = [classes.type_id(span.label, where=where) for span in spans]
        ids = np.full(len(words), classes.outside, dtype=np.int32)
        taken = np.zeros(len(words), dtype=np.bool_)
        # Of two passages that overlap the longer one is taught.
        for place in sorted(range(len(spans)), key=lambda i: (spans[i].start - spans[i].end, spans[i].start)):
            span = spans[place]
            passage = table.lines[row], table.texts[row][span.start : span.end]
            first = int(np.searchsorted(words[:, 1], span.start, side="right"))
            end = int(np.searchsorted(words[:, 0], span.end, side="left"))
            if first >= end:
                raise no_character(span.start, span.end, passage[1], where=where)
            if (words[first, 0], words[end - 1, 1]) != (span.start, span.end):
                cut.append(passage)
            if taken[first:end].any():
                overlapping.append(passage)
                continue
            taken[first:end] = True
            ids[first:end] = classes.span_ids(kinds[place], end - first, where=where)
        tags.append(ids)
        rows = [(span.start, span.end, kind) for span, kind in zip(spans, kinds, strict=True)]
        gold.append(np.array(rows, dtype=np.int32).reshape(-1, 3))
    if overlapping and strict:
        raise _overlap(table, overlapping)
    total = sum(map(len, gold))
    doubts += [
        f"{len(places)} of {total} spans of {table.origin} {what}: '{places[0][1]}' on line {places[0][0]}"
        + (" and others" if len(places) > 1 else "")
        for what, places in (
            ("overlap a longer one and cannot be tagged, so they count as misses", overlapping),
            ("cut a word; the whole word is taught, and they count as misses", cut),
        )
        if places
    ]
    return tags, gold


def _overlap(table: TagTable, passages: Sequence[tuple[int, str]]) -> DataError:
    line, passage = min(passages)
    return DataError(
        "D113",
        "spans overlap, and a word can have one tag only",
        where=f"{table.origin}:{line}",
        key="data.columns.spans",
        found=f"'{passage}' and a span around or beside it" + (f", {len(passages)} in all" if passages[1:] else ""),
        allowed="spans that do not overlap",
        help="keep one of the spans, or train a model for each layer of types",
    )
