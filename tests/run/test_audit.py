"""The audit of a run tells rows that were cut and the share of tokens that this cost."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from bert_cli.data.store import EncodedChunk, SplitStore
from bert_cli.run.audit import Cut, audit, cut_of


def split(lengths: list[int], truncated: int, lost: int, **facts: object) -> SplitStore:
    return SplitStore.of([EncodedChunk([[7] * n for n in lengths], None, {}, truncated, lost)], facts)


def test_the_share_is_of_all_tokens_that_were_there() -> None:
    assert cut_of(split([4, 4, 2], 2, 10)) == Cut(2, 3, 0.5)
    assert cut_of(split([4, 4, 2], 1, 10, examples=2)) == Cut(1, 2, 0.5), "of windows, examples are counted"
    assert cut_of(split([4], 0, 0)) == Cut(0, 1, 0.0)


def test_texts_of_a_search_are_counted_and_not_its_queries() -> None:
    sizes = pa.array([[3], [2, 2], [4]], pa.list_(pa.int32()))
    chunk = EncodedChunk([[7] * 3, [7] * 4, [7] * 4], None, {"sizes": sizes}, 2, 11)
    assert cut_of(SplitStore.of([chunk], {"examples": 1})) == Cut(2, 3, 0.5)


def test_every_split_that_was_cut_is_named() -> None:
    splits = {"train": split([8] * 3, 2, 1), "validation": split([8], 0, 0), "validation_b": split([8], 1, 24)}
    assert audit(splits, 8) == (
        "cut at 8 tokens (data.max_length): 2 of 3 rows of train, 4 % of its tokens; "
        "1 of 1 rows of validation_b, 75 % of its tokens"
    )
    assert audit({"train": splits["validation"]}, 8) == "no row is cut at 8 tokens"
    assert np.isclose(cut_of(splits["train"]).tokens, 1 / 25)
