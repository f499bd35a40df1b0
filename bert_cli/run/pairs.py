"""Minimal pairs from a file to token ids: which rows are scored, and which of their tokens.

Every row is read, so that a limit can take some of every group; nothing is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bert_cli.data.columns import TEXT_ROLES, Columns, read_columns
from bert_cli.data.source import find_sources
from bert_cli.errors import DataError
from bert_cli.objectives.likelihood import Sentence, encode_sentences, shared_places
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks import Task


@dataclass(frozen=True)
class Pairs:
    """The pairs that are scored.

    Attributes:
        origin: the file that was read; of: how many pairs it has.
        cells: role -> its cell in each row, as text; lines: where each row begins.
    """

    origin: str
    of: int
    cells: dict[str, list[str]]
    lines: list[int]

    def __len__(self) -> int:
        return len(self.lines)

    @property
    def groups(self) -> list[str]:
        """Roles by which pairs are scored apart."""
        return [role for role in self.cells if role not in TEXT_ROLES]

    @property
    def limited(self) -> bool:
        """Whether some pairs of the file are left out."""
        return len(self) < self.of


def read_pairs(task: Task, data: DataSection, split: str, *, offline: bool = False) -> Pairs:
    """The pairs of a split; of `data.limit` pairs, each group has its share.

    Raises:
        DataError: no such split (D043), missing columns (D040), and what reading raises.
    """
    sources = find_sources(task, data, offline=offline, file_split=split)
    if split not in sources:
        raise DataError(
            "D043",
            f"there is no split '{split}' in the data",
            key="--split",
            found=split,
            allowed=list(sources),
            help="name one of these, or score a file of your own: --data FILE",
        )
    table: Columns = read_columns(task, data.model_copy(update={"limit": None}), sources[split])
    every = Pairs(
        table.origin,
        len(table.lines),
        {role: [str(cell) for cell in cells] for role, cells in table.cells.items()},
        table.lines,
    )
    if data.limit is None or data.limit >= every.of:
        return every
    rows = spread_rows([every.cells[role] for role in every.groups], data.limit, every.of)
    cells = {role: [column[row] for row in rows] for role, column in every.cells.items()}
    return replace(every, cells=cells, lines=[every.lines[row] for row in rows])


def spread_rows(groups: Sequence[Sequence[object]], limit: int, n: int) -> np.ndarray:
    """`limit` of `n` rows, ascending: the first ones of every group, in proportion to its size.

    Counts follow largest remainders, so each is within one row of its group's exact share; with fewer rows than
    groups, some groups have none.

    Args:
        groups: names of each row's group, in one or several ways; rows that agree in all of them are one group.
    """
    keys = list(zip(*groups, strict=True)) if groups else [()] * n
    sizes: dict[tuple[object, ...], int] = {}
    places = []
    for key in keys:
        places.append(sizes.get(key, 0))
        sizes[key] = places[-1] + 1
    exact = np.array(list(sizes.values())) * (limit / n)
    counts = np.floor(exact).astype(np.int64)
    counts[np.argsort(counts - exact, kind="stable")[: limit - counts.sum()]] += 1
    most = dict(zip(sizes, counts.tolist(), strict=True))
    return np.array([row for row, key in enumerate(keys) if places[row] < most[key]], dtype=np.int64)


def encode_pairs(
    task: Task, pairs: Pairs, tokenizer: Any, *, whole_words: bool = False
) -> list[tuple[Sentence, Sentence]]:
    """Both sentences of each pair, with the tokens that are scored.

    Raises:
        DataError: a sentence without a token (D098).
    """
    sides = [list(encode_sentences(tokenizer, pairs.cells[role], whole_words=whole_words)) for role in TEXT_ROLES]
    encoded = []
    for line, first, second in zip(pairs.lines, *sides, strict=True):
        if not (len(first.places) and len(second.places)):
            raise DataError(
                "D098",
                "a sentence of this pair is empty, and nothing is more likely than nothing",
                where=f"{pairs.origin}:{line}",
                allowed="two sentences a row",
                help="delete the row",
            )
        if task.shared_tokens:
            here, there = shared_places(first.ids, second.ids)
            first, second = first.only(here), second.only(there)
        encoded.append((first, second))
    return encoded


def check_lengths(pairs: Pairs, encoded: Sequence[tuple[Sentence, Sentence]], room: int) -> None:
    """Refuse sentences that a model has no positions for: cut, they would be other sentences.

    Raises:
        DataError: one is longer than `room` tokens (D097).
    """
    for line, pair in zip(pairs.lines, encoded, strict=True):
        longest = max(len(sentence.ids) for sentence in pair)
        if longest > room:
            raise DataError(
                "D097",
                "a sentence of this pair is longer than the model has positions",
                where=f"{pairs.origin}:{line}",
                found=f"{longest} tokens",
                allowed=f"at most {room}, special tokens included",
                help="delete the row, or score a model with more positions",
            )
