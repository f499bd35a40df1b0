"""A prepared corpus: tokens of whole documents in memory-mapped shards, made once and independent of any training.

    corpus.json             version, counts, settings, sources with fingerprints, digest of the tokenizer
    tokenizer/              the tokenizer's files
    shards/00000/           tokens.npy, words.npy, sentences.npy, documents.npy, shard.json

`corpus.json` is written last: a folder without it is unfinished and never read. Opening maps the files and compares
their sizes; it reads no token, so resident memory does not grow with the corpus.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bert_cli.errors import DataError

VERSION = 1
MARKER, DRAFT = "corpus.json", "preparing.json"
_SLICE = 1 << 22


@dataclass(frozen=True)
class Shard:
    """Some documents, one after the other, without special tokens around them.

    Attributes:
        tokens: token ids. Shape: `[T]` uint16, or uint32 for vocabularies above 65,536.
        words: True where a whole word begins. Shape: `[T]` bool.
        sentences: end of each sentence in `tokens`; none is empty. Shape: `[S]` int64.
        documents: end of each document in `sentences`; none is empty. Shape: `[D]` int64.
    """

    tokens: npt.NDArray[np.uint16] | npt.NDArray[np.uint32]
    words: npt.NDArray[np.bool_]
    sentences: npt.NDArray[np.int64]
    documents: npt.NDArray[np.int64]

    @property
    def document_ends(self) -> npt.NDArray[np.int64]:
        """End of each document in `tokens`. Shape: `[D]` int64."""
        ends: npt.NDArray[np.int64] = self.sentences[self.documents - 1]
        return ends

    def part(self, begin: int, end: int) -> Shard:
        """The documents from `begin` up to `end`."""
        first_sentence, last_sentence = (_begin(self.documents, at) for at in (begin, end))
        first_token, last_token = (_begin(self.sentences, at) for at in (first_sentence, last_sentence))
        return Shard(
            self.tokens[first_token:last_token],
            self.words[first_token:last_token],
            self.sentences[first_sentence:last_sentence] - first_token,
            self.documents[begin:end] - first_sentence,
        )


def _begin(ends: npt.NDArray[np.int64], item: int) -> int:
    """Where an item begins, whose end and those of all before it are given."""
    return int(ends[item - 1]) if item else 0


ARRAYS = tuple(field.name for field in fields(Shard))


@dataclass(frozen=True)
class Corpus:
    """A prepared corpus, mapped into memory.

    Attributes:
        facts: what `corpus.json` says: `vocab_size`, `tokenizer` (SHA-256), `settings`, `sources`, counts, `shards`.
    """

    folder: Path
    facts: Mapping[str, Any]
    shards: tuple[Shard, ...]

    @classmethod
    def open(cls, folder: Path) -> Corpus:
        """Map a prepared corpus.

        Raises:
            DataError: no finished corpus (D060), of another version (D061), or damaged (D062).
        """
        facts = _facts(folder)
        shards = tuple(
            _open_shard(shard_folder(folder, number), said, vocab_size=facts["vocab_size"])
            for number, said in enumerate(facts["shards"])
        )
        return cls(folder, facts, shards)

    @property
    def n_documents(self) -> int:
        return sum(len(shard.documents) for shard in self.shards)

    @property
    def n_tokens(self) -> int:
        return sum(len(shard.tokens) for shard in self.shards)

    @property
    def n_bytes(self) -> int:
        """Bytes of all shards on disk."""
        return sum(size for shard in self.facts["shards"] for size in shard["bytes"].values())

    @property
    def tokenizer_folder(self) -> Path:
        """The tokenizer that made the tokens."""
        return self.folder / "tokenizer"

    def require_tokenizer(self, digest: str) -> None:
        """Refuse tokens that mean other words to the tokenizer at hand.

        Args:
            digest: SHA-256 of that tokenizer's files.

        Raises:
            DataError: they were made by another one (D063).
        """
        made_by = self.facts["tokenizer"]
        if digest != made_by:
            raise DataError(
                "D063",
                "this corpus was prepared with another tokenizer",
                where=str(self.folder),
                key="data.source",
                found=f"tokens of {made_by[:12]}, the run's tokenizer is {digest[:12]}",
                allowed="the tokenizer that made the tokens, or the text itself",
                help=f"model.tokenizer={self.tokenizer_folder}, or prepare the text anew for this tokenizer",
            )


def is_prepared(folder: Path) -> bool:
    """Whether a folder is a prepared corpus, finished or not (`Corpus.open` says which)."""
    return (folder / MARKER).is_file() or (folder / DRAFT).is_file()


def repeated(corpus: Corpus, times: float) -> Corpus:
    """The corpus so many times over, the last time its first documents alone; no token is copied.

    Args:
        times: at least 1.
    """
    rest = round(times % 1 * corpus.n_documents)
    shards = list(corpus.shards) * int(times)
    for shard in corpus.shards:
        if rest:
            shards.append(shard.part(0, min(rest, len(shard.documents))))
            rest -= len(shards[-1].documents)
    return replace(corpus, facts={**corpus.facts, "times": times}, shards=tuple(shards))


def token_slices(corpus: Corpus) -> Iterator[npt.NDArray[Any]]:
    """All tokens in order, as views of bounded length."""
    for shard in corpus.shards:
        for start in range(0, len(shard.tokens), _SLICE):
            yield shard.tokens[start : start + _SLICE]


def shard_folder(folder: Path, number: int) -> Path:
    """The place of a shard in a corpus folder."""
    return folder / "shards" / f"{number:05d}"


def token_type(vocab_size: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest type that holds every token id."""
    return np.uint16 if vocab_size <= 1 << 16 else np.uint32


def write_shard(folder: Path, shard: Shard) -> dict[str, Any]:
    """Write the arrays of a shard to an empty folder; what `corpus.json` says of it."""
    said: dict[str, Any] = {
        "documents": len(shard.documents),
        "sentences": len(shard.sentences),
        "tokens": len(shard.tokens),
        "bytes": {},
    }
    for name in ARRAYS:
        file = folder / f"{name}.npy"
        array = np.ascontiguousarray(getattr(shard, name))
        with file.open("wb") as stream:
            np.lib.format.write_array_header_1_0(stream, np.lib.format.header_data_from_array_1_0(array))
            # `numpy.save` hides why the system refused to write.
            stream.write(array.data.cast("B"))
        said["bytes"][file.name] = file.stat().st_size
    return said


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts: Any = json.loads((folder / MARKER).read_text(encoding="utf-8"))
    except FileNotFoundError:
        unfinished = (folder / DRAFT).is_file()
        raise DataError(
            "D060",
            "preparing this corpus has not been finished" if unfinished else "this folder holds no prepared corpus",
            where=str(folder),
            key="data.source",
            found=f"no {MARKER}",
            allowed="a folder that bertctl data prepare has finished",
            help="give the command that began it once more: it goes on" if unfinished else "bertctl data prepare",
        ) from None
    except ValueError as error:
        raise _damaged(folder / MARKER, f"no JSON: {error}") from None
    version = facts.get("version") if isinstance(facts, dict) else None
    if version != VERSION:
        raise DataError(
            "D061",
            "this corpus was prepared by another version of bertctl",
            where=str(folder / MARKER),
            key="data.source",
            found=f"format {version}",
            allowed=f"format {VERSION}",
            help="prepare it again into another folder",
        )
    missing = sorted({"vocab_size", "tokenizer", "shards", "settings", "sources", "special_ids"} - set(facts))
    if missing or not isinstance(facts["shards"], list):
        raise _damaged(folder / MARKER, f"without {', '.join(missing) or 'a list of shards'}")
    found: dict[str, Any] = facts
    return found


def _open_shard(folder: Path, said: Mapping[str, Any], *, vocab_size: int) -> Shard:
    arrays = {}
    for name in ARRAYS:
        file = folder / f"{name}.npy"
        try:
            size = file.stat().st_size
            if size != said["bytes"][file.name]:
                raise _damaged(file, f"{size} bytes instead of {said['bytes'][file.name]}")
            # As a plain array: slicing the subclass for memory maps costs several times as much.
            arrays[name] = np.asarray(np.load(file, mmap_mode="r", allow_pickle=False))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise _damaged(file, str(error)) from None
    shard = Shard(**arrays)
    _check(shard, folder, said, vocab_size=vocab_size)
    return shard


_UNITS = {"tokens": "tokens", "words": "tokens", "sentences": "sentences", "documents": "documents"}


def _check(shard: Shard, folder: Path, said: Mapping[str, Any], *, vocab_size: int) -> None:
    """Refuse arrays that do not fit together; reads the last entry of two of them."""
    types = {"tokens": token_type(vocab_size), "words": np.bool_, "sentences": np.int64, "documents": np.int64}
    for name, kind in types.items():
        array = getattr(shard, name)
        if array.dtype != kind or array.shape != (said[_UNITS[name]],):
            raise _damaged(folder / f"{name}.npy", f"{array.dtype} of shape {array.shape}")
    if not len(shard.documents) or shard.documents[-1] != len(shard.sentences):
        raise _damaged(folder / "documents.npy", "its documents do not end with the last sentence")
    if shard.sentences[-1] != len(shard.tokens):
        raise _damaged(folder / "sentences.npy", "its sentences do not end with the last token")


def _damaged(file: Path, reason: str) -> DataError:
    return DataError(
        "D062",
        "this prepared corpus is damaged",
        where=str(file),
        key="data.source",
        found=reason,
        allowed="the files as they were written",
        help="copy them again, or delete the folder and prepare it again",
    )
