"""Corpora as blocks: no token lost or doubled, no block across documents unasked, sentences whole, on disk once."""

from __future__ import annotations

import itertools
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_corpus import Sizes, corpus_of, documents_of

from bert_cli.data.blocks import Blocks, BlockStore, By, cut_blocks, held_out
from bert_cli.data.shards import Corpus
from bert_cli.errors import ResourceError

SENTENCES = st.lists(st.integers(1, 30), min_size=1, max_size=9)
SHARDS = st.lists(st.lists(SENTENCES, min_size=1, max_size=6), min_size=1, max_size=3)
ROOMS = st.integers(4, 40)
CUTS: list[tuple[By, bool]] = [("tokens", False), ("tokens", True), ("sentences", False)]


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "blocks"


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A cache for properties, whose examples have no folder of their own."""
    with TemporaryDirectory() as name:
        yield Path(name)


def store_of(corpus: Corpus, room: int, cache: Path, by: By, cross: bool, mask: np.ndarray | None = None) -> BlockStore:
    return BlockStore([[cut_blocks(corpus, room, cache=cache, by=by, cross=cross, held_out=mask)]], special=0)


def content(store: BlockStore) -> list[list[int]]:
    """The tokens of each row."""
    return [store.content(np.array([row])).ids.tolist() for row in range(len(store))]


def test_a_cache_that_may_only_be_read_is_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of([[[5, 6], [7]]])
    written = content(store_of(corpus, 8, cache, "tokens", False))
    monkeypatch.setattr("bert_cli.data.blocks.only_writer", _nothing_is_written)
    assert content(store_of(corpus, 8, cache, "tokens", False)) == written
    with pytest.raises(PermissionError):
        store_of(corpus, 9, cache, "tokens", False)


def _nothing_is_written(lock: Path) -> None:
    raise PermissionError(13, "read-only", str(lock))


def mask_of(corpus: Corpus, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(corpus.n_documents) < 0.4


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS, st.sampled_from(CUTS), st.integers(0, 99))
def test_no_token_is_lost_or_doubled(shared: Path, sizes: Sizes, room: int, cut: tuple[By, bool], seed: int) -> None:
    corpus = corpus_of(sizes)
    mask = mask_of(corpus, seed)
    documents = documents_of(corpus)
    for which in (False, True):
        blocks = cut_blocks(corpus, room, cache=shared, by=cut[0], cross=cut[1], held_out=mask, which=which)
        rows = content(BlockStore([[blocks]], special=0))
        wanted = [document for document, held in zip(documents, mask, strict=True) if held == which]
        assert list(itertools.chain(*rows)) == list(itertools.chain(*wanted))
        assert all(1 <= len(row) <= room for row in rows)
        assert blocks.n_tokens == sum(map(len, wanted)) and len(blocks) == len(rows)
        assert blocks.lengths.tolist() == list(map(len, rows)) and blocks.lengths.dtype == np.int32


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS, st.sampled_from([cut for cut in CUTS if not cut[1]]))
def test_a_block_lies_in_one_document_and_says_which(
    shared: Path, sizes: Sizes, room: int, cut: tuple[By, bool]
) -> None:
    corpus = corpus_of(sizes)
    store, documents = store_of(corpus, room, shared, *cut), documents_of(corpus)
    for row, ids in enumerate(content(store)):
        assert set(ids) <= set(documents[store.document(row)])


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS)
def test_blocks_by_tokens_are_full_but_for_the_last_of_a_document(shared: Path, sizes: Sizes, room: int) -> None:
    corpus = corpus_of(sizes)
    naive = [ids[at : at + room] for ids in documents_of(corpus) for at in range(0, len(ids), room)]
    assert content(store_of(corpus, room, shared, "tokens", False)) == naive


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS, st.integers(0, 99))
def test_blocks_across_documents_are_full_but_for_the_last_of_a_shard(
    shared: Path, sizes: Sizes, room: int, seed: int
) -> None:
    """Also where documents that are held out lie between them."""
    corpus = corpus_of(sizes)
    mask, documents = mask_of(corpus, seed), documents_of(corpus)
    naive, owners, number = [], [], 0
    for shard in corpus.shards:
        stream = []
        for _ in shard.documents:
            stream += [] if mask[number] else [(token, number) for token in documents[number]]
            number += 1
        parts = [stream[at : at + room] for at in range(0, len(stream), room)]
        naive += [[token for token, _ in part] for part in parts]
        owners += [part[0][1] for part in parts]
    store = store_of(corpus, room, shared, "tokens", True, mask)
    assert content(store) == naive
    assert [store.document(row) for row in range(len(store))] == owners


# Sentences


def pieces_of(corpus: Corpus, room: int) -> list[list[list[int]]]:
    """Each document's sentences, long ones cut into pieces of even length that fit twice into a block."""
    found = []
    for shard in corpus.shards:
        tokens = np.split(shard.tokens, shard.sentences[:-1])
        for first, last in itertools.pairwise([0, *shard.documents.tolist()]):
            pieces = []
            for sentence in tokens[first:last]:
                pieces += [p.tolist() for p in np.array_split(sentence, -(-len(sentence) // (room // 2)))]
            found.append(pieces)
    return found


def rows_by_document(store: BlockStore, n: int) -> list[list[list[int]]]:
    """For each document, the lengths of the sentences of each of its rows."""
    found: list[list[list[int]]] = [[] for _ in range(n)]
    for row in range(len(store)):
        ends = store.sentence_ends(row)
        assert ends[-1] == store.lengths[row] and ends.dtype == np.int64
        found[store.document(row)].append(np.diff(ends, prepend=0).tolist())
    return found


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS)
def test_sentences_are_whole_or_cut_into_even_pieces(shared: Path, sizes: Sizes, room: int) -> None:
    corpus = corpus_of(sizes)
    found = rows_by_document(store_of(corpus, room, shared, "sentences", False), corpus.n_documents)
    for rows, pieces in zip(found, pieces_of(corpus, room), strict=True):
        told = list(itertools.chain(*rows))
        assert len(told) == len(pieces) and sum(told) == sum(map(len, pieces))
        assert max(told) <= room // 2
    lengths = [size for rows in found for size in itertools.chain(*rows)]
    for shard in corpus.shards:
        for sentence in _sizes(shard).tolist():
            parts = [lengths.pop(0) for _ in range(-(-sentence // (room // 2)))]
            assert sum(parts) == sentence and max(parts) - min(parts) <= 1


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS)
def test_short_sentences_keep_their_ends(shared: Path, sizes: Sizes, room: int) -> None:
    corpus = corpus_of([[[min(size, room // 2) for size in document] for document in shard] for shard in sizes])
    found = rows_by_document(store_of(corpus, room, shared, "sentences", False), corpus.n_documents)
    flat = [document for shard in corpus.shards for document in np.split(_sizes(shard), shard.documents[:-1])]
    assert [list(itertools.chain(*rows)) for rows in found] == [document.tolist() for document in flat]


def _sizes(shard: object) -> np.ndarray:
    return np.diff(shard.sentences, prepend=0)  # type: ignore[attr-defined]


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS)
def test_a_block_has_two_sentences_wherever_its_document_has_them(shared: Path, sizes: Sizes, room: int) -> None:
    """One piece stands alone only in a document of one, or of an odd number that cannot all lie in pairs."""
    corpus = corpus_of(sizes)
    for rows in rows_by_document(store_of(corpus, room, shared, "sentences", False), corpus.n_documents):
        single = [i for i, row in enumerate(rows) if len(row) == 1]
        assert len(single) <= 1
        if single and len(rows) > 1:
            assert single[0] >= len(rows) - 2
            last = rows[-2] + rows[-1]
            assert len(last) == 3 and sum(last) > room, "three pieces that do not fit into one block"
            assert rows[single[0]][0] == max(last[0], last[2]), "the longer one can still be cut"


@settings(deadline=None, max_examples=40)
@given(SHARDS, ROOMS)
def test_blocks_of_sentences_are_filled_but_for_the_last_two_of_a_document(
    shared: Path, sizes: Sizes, room: int
) -> None:
    corpus = corpus_of(sizes)
    for rows in rows_by_document(store_of(corpus, room, shared, "sentences", False), corpus.n_documents):
        for row, following in itertools.pairwise(rows[:-1]):
            assert sum(row) + following[0] > room


def test_a_last_sentence_that_would_stand_alone_is_given_company(cache: Path) -> None:
    store = store_of(corpus_of([[[5, 5, 5, 5, 3]]]), 20, cache, "sentences", False)
    assert [store.sentence_ends(row).tolist() for row in range(len(store))] == [[5, 10], [5, 10, 13]]


# Reading


def test_content_is_given_in_the_order_of_the_rows_with_words_and_lengths(cache: Path) -> None:
    one, other = corpus_of([[[7, 6], [9]], [[4, 4]]]), corpus_of([[[10], [5]]], first=1000)
    phases = [[cut_blocks(corpus, room, cache=cache) for corpus in (one, other)] for room in (5, 8)]
    store = BlockStore(phases, special=2, facts={"origin": "x"})
    every = [list(range(len(store))), list(range(len(store)))[::-1], [3, 3, len(store) - 1, 0]]
    alone = {row: store.content(np.array([row])) for row in range(len(store))}
    for rows in every:
        found = store.content(np.array(rows))
        assert found.ids.tolist() == [token for row in rows for token in alone[row].ids.tolist()]
        assert found.lengths.tolist() == [len(alone[row].ids) for row in rows]
        assert found.words.tolist() == [token % 3 == 0 for token in found.ids.tolist()]
        assert [str(each.dtype) for each in (found.ids, found.words, found.lengths)] == ["int64", "bool", "int64"]
    assert store.lengths.tolist() == [len(alone[row].ids) + 2 for row in range(len(store))]
    assert (store.targets, store.value("line", 0), store.facts["origin"]) == (None, None, "x")


def test_rows_know_their_phase_and_corpus_and_documents_are_told_apart(cache: Path) -> None:
    one, other = corpus_of([[[7, 6], [9]], [[4, 4]]]), corpus_of([[[10], [5]]], first=1000)
    phases = [[cut_blocks(corpus, room, cache=cache) for corpus in (one, other)] for room in (5, 8)]
    store = BlockStore(phases, special=0)
    assert [len(each) for phase in store.ranges for each in phase] == [len(b) for phase in phases for b in phase]
    assert list(itertools.chain(*(each for phase in store.ranges for each in phase))) == list(range(len(store)))
    named: dict[int, set[int]] = {}
    for ranges in store.ranges:
        for each in ranges:
            for row in each:
                assert store.neighbours(row) == (each.start, each.stop)
                named.setdefault(store.document(row), set()).update(store.content(np.array([row])).ids.tolist())
    assert sorted(map(sorted, named.values())) == sorted(documents_of(one) + documents_of(other))


# On disk


def test_an_index_is_written_once_and_named_by_what_shaped_it(cache: Path) -> None:
    corpus = corpus_of([[[7, 6], [9]]])
    mask = np.array([True, False])
    cut_blocks(corpus, 5, cache=cache)
    (folder,) = cache.iterdir()
    # The marker's time says when the index was last used.
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.npy")}
    cut_blocks(corpus_of([[[7, 6], [9]]]), 5, cache=cache)
    assert {file: file.stat().st_mtime_ns for file in folder.glob("*.npy")} == before and before
    cut_blocks(corpus, 6, cache=cache)
    cut_blocks(corpus, 5, cache=cache, by="sentences")
    cut_blocks(corpus, 5, cache=cache, cross=True)
    cut_blocks(corpus, 5, cache=cache, held_out=mask)
    cut_blocks(corpus, 5, cache=cache, held_out=mask, which=True)
    cut_blocks(corpus, 5, cache=cache, held_out=~mask)
    cut_blocks(corpus_of([[[7, 6], [8]]]), 5, cache=cache)
    assert len(list(cache.iterdir())) == 8 and not list(cache.glob(".*"))


def test_a_half_written_index_is_never_read(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus = corpus_of([[[7, 6], [9]]])

    def fails(*_: object, **__: object) -> None:
        raise OSError("disk full")

    with monkeypatch.context() as patch:
        patch.setattr("bert_cli.data.blocks.by_tokens", fails)
        with pytest.raises(OSError, match="disk full"):
            cut_blocks(corpus, 5, cache=cache)
    assert not list(cache.iterdir())
    assert isinstance(cut_blocks(corpus, 5, cache=cache), Blocks)


@pytest.mark.parametrize(("by", "cross"), [("tokens", False), ("tokens", True), ("sentences", False)])
def test_a_full_disk_is_told_and_nothing_stays(
    cache: Path, by: By, cross: bool, small_disk: Callable[[int], None]
) -> None:
    corpus = corpus_of([[[7, 6, 9] * 40, [9]] for _ in range(5)])
    small_disk(1_000)
    with pytest.raises(ResourceError) as error:
        cut_blocks(corpus, 5, cache=cache, by=by, cross=cross)
    small_disk(resource.RLIM_INFINITY)
    assert (error.value.code, error.value.exit_code) == ("P021", 7)
    assert error.value.where is not None and Path(error.value.where).parent == cache
    assert "BERTCTL_CACHE" in str(error.value.help) and not list(cache.iterdir())
    assert len(cut_blocks(corpus, 5, cache=cache, by=by, cross=cross))


def test_another_cache_is_read_and_never_written(cache: Path, tmp_path: Path) -> None:
    one, other = corpus_of([[[7, 6], [9]]]), corpus_of([[[7, 6], [8]]])
    there = cut_blocks(one, 5, cache=cache)
    before = sorted(cache.rglob("*"))
    assert cut_blocks(one, 5, cache=tmp_path / "own", also=cache).folder == there.folder
    assert not (tmp_path / "own").exists()
    assert cut_blocks(other, 5, cache=tmp_path / "own", also=cache).folder.parent == tmp_path / "own"
    assert sorted(cache.rglob("*")) == before


def test_the_index_is_mapped_and_not_read_into_memory(cache: Path) -> None:
    blocks = cut_blocks(corpus_of([[[7, 6], [9]]]), 5, cache=cache, by="sentences")
    for array in (blocks.index, blocks.lengths, blocks.offsets, blocks.parts):
        assert array is not None and isinstance(array.base, np.memmap)


def test_documents_are_held_out_the_same_every_time_and_some_stay() -> None:
    mask = held_out(100, 0.1, 7)
    assert mask.dtype == bool and mask.sum() == 10
    np.testing.assert_array_equal(mask, held_out(100, 0.1, 7))
    assert not np.array_equal(mask, held_out(100, 0.1, 8))
    assert [int(held_out(2, share, 1).sum()) for share in (0.001, 0.999)] == [1, 1]
