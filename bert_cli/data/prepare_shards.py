"""Writes a prepared corpus: one shard after the other, published when it is whole, and `corpus.json` last.

A shard knows how far the text was read, so a killed preparation goes on after its last whole one and ends with the same
bytes. What was begun or finished with other text, settings or another tokenizer is never replaced.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from bert_cli.data.cache import named_shortage, only_writer
from bert_cli.data.corpus import Part, empty_corpus
from bert_cli.data.encode import Encoder
from bert_cli.data.portions import CorpusSettings, Position, Reader, portions
from bert_cli.data.shards import DRAFT, MARKER, VERSION, Corpus, shard_folder, write_shard
from bert_cli.data.words import jieba_segment
from bert_cli.errors import DataError, listing
from bert_cli.files import drafted, publish

SHARD_TOKENS = 1 << 24
RULES = 1
"""Version of the rules that find sentences and words."""
_FULL = "free some space, then give the same command: it goes on after the last whole shard"
_SEGMENTERS = {"tokenizer": (), "jieba": ("jieba",)}

Note = Callable[[str], None]


@dataclass(frozen=True)
class TokenizerFiles:
    """What a tokenizer was read from, and the SHA-256 that names it."""

    files: tuple[Path, ...]
    digest: str


def prepare_corpus_folder(
    folder: Path,
    parts: Sequence[Part],
    tokenizer: Any,
    *,
    made_from: TokenizerFiles,
    settings: CorpusSettings,
    shard_tokens: int = SHARD_TOKENS,
    note: Note = lambda _: None,
) -> Corpus:
    """Tokenise a corpus into `folder`, or open it where that has been done.

    Args:
        parts: see `find_corpus`.
        tokenizer: of transformers, read from the files of `made_from`.
        shard_tokens: a shard ends with the first document that brings it to so many.

    Raises:
        DataError: bad text (see `CorpusPart.documents`), none (D083), none that the tokenizer knows (D085), or a folder
            that holds something else (D064, D065).
        ModelError: a tokenizer of another library (L062).
        ResourceError: the disk is full (P021).
        UsageError: jieba is asked for and not installed (U077).
    """
    segment = jieba_segment() if settings.words == "jieba" else None
    identity = corpus_identity(parts, made_from, settings)
    if (folder / MARKER).is_file():
        # No lock is needed, and a folder that may only be read has no place for one.
        return _same(Corpus.open(folder), identity)
    with named_shortage(folder, help=_FULL):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with only_writer(folder.parent / f".lock-{folder.name}"):
            if (folder / MARKER).is_file():
                return _same(Corpus.open(folder), identity)
            encoder = Encoder(tokenizer, segment=segment)
            done = _begun(folder, {**identity, "shard_tokens": shard_tokens}, note=note)
            _copy(made_from.files, folder / "tokenizer")
            reader = Reader(parts, settings, Position(**done[-1]["position"]) if done else Position())
            note(f"tokenising {listing((part.name for part in parts), 4)}")
            for portion in portions(reader, encoder, size=shard_tokens):
                with drafted(shard_folder(folder, len(done))) as draft:
                    said = {
                        **write_shard(draft, portion.shard),
                        "characters": int(portion.characters.sum()),
                        "position": asdict(portion.position),
                    }
                    (draft / "shard.json").write_text(json.dumps(said), encoding="utf-8")
                done.append(said)
                note(f"shard {len(done)}: {sum(shard['tokens'] for shard in done) / 1e6:.1f}M tokens so far")
            if not done:
                raise _nothing_known(reader)
            publish(folder / MARKER, json.dumps(_facts(identity, encoder, done, reader), ensure_ascii=False, indent=1))
            (folder / DRAFT).unlink()
    return Corpus.open(folder)


def corpus_identity(parts: Sequence[Part], made_from: TokenizerFiles, settings: CorpusSettings) -> dict[str, Any]:
    """Everything that shapes the tokens of a corpus, as JSON has it; reads every file once for its fingerprint."""
    return {
        "version": VERSION,
        "tokenizer": made_from.digest,
        "settings": settings.as_dict(),
        "sources": [{"name": part.name, "fingerprint": part.fingerprint} for part in parts],
        "software": {name: metadata.version(name) for name in ("tokenizers", *_SEGMENTERS[settings.words])},
        "rules": RULES,
    }


def _same(corpus: Corpus, identity: Mapping[str, Any]) -> Corpus:
    """A finished corpus, where it was made from the same things; the software may be newer."""
    other = [name for name in ("tokenizer", "settings", "sources") if corpus.facts[name] != identity[name]]
    if other:
        raise DataError(
            "D064",
            f"this folder holds a corpus with other {' and '.join(other)}",
            where=str(corpus.folder),
            found=listing((source["name"] for source in corpus.facts["sources"]), 4),
            allowed="a new folder, or the same text, settings and tokenizer",
            help="name another folder, or delete this one",
        )
    return corpus


def _begun(folder: Path, identity: Mapping[str, Any], *, note: Note) -> list[dict[str, Any]]:
    """What the whole shards of the same preparation say, in order; everything else of it is deleted.

    Raises:
        DataError: the folder holds something else (D065), or shards of another preparation (D064).
    """
    draft = folder / DRAFT
    if not draft.is_file() and folder.is_dir() and any(folder.iterdir()):
        raise DataError(
            "D065",
            "this folder holds something else than a prepared corpus",
            where=str(folder),
            found=listing(sorted(entry.name for entry in folder.iterdir()), 6),
            allowed="a new or an empty folder",
            help="name another folder",
        )
    text = json.dumps(identity, ensure_ascii=False, indent=1)
    done: list[dict[str, Any]] = []
    if draft.is_file() and draft.read_text(encoding="utf-8") == text:
        while (said := shard_folder(folder, len(done)) / "shard.json").is_file():
            done.append(json.loads(said.read_text(encoding="utf-8")))
        note(f"going on after {len(done)} shards")
    elif draft.is_file():
        raise DataError(
            "D064",
            "a corpus with other text, settings or another tokenizer was begun in this folder",
            where=str(folder),
            found="unfinished shards",
            allowed="a new folder, or the command that began it, which goes on",
            help="name another folder, or delete this one",
        )
    whole = {shard_folder(folder, number).name for number in range(len(done))}
    shards = folder / "shards"
    for entry in shards.iterdir() if shards.is_dir() else ():
        if entry.name not in whole:
            shutil.rmtree(entry)
    folder.mkdir(exist_ok=True)
    publish(draft, text)
    return done


def _copy(files: Sequence[Path], folder: Path) -> None:
    with drafted(folder) as draft:
        for file in files:
            shutil.copyfile(file, draft / file.name)


def _facts(
    identity: Mapping[str, Any], encoder: Encoder, done: Sequence[Mapping[str, Any]], reader: Reader
) -> dict[str, Any]:
    counts = {name: sum(shard[name] for shard in done) for name in ("documents", "sentences", "tokens", "characters")}
    return {
        **identity,
        "vocab_size": encoder.vocab_size,
        "special_ids": encoder.special_ids,
        "unknown_id": encoder.unknown_id,
        **counts,
        "dropped": reader.position.total - counts["documents"],
        "shards": list(done),
    }


def _nothing_known(reader: Reader) -> DataError:
    """The error of a corpus that gave no token."""
    total = reader.position.total
    if not total:
        return empty_corpus(reader.parts)
    first = next(iter(Reader(reader.parts, reader.settings, Position())))
    return DataError(
        "D085",
        "the tokenizer knows no word of these documents",
        where=listing((part.name for part in reader.parts), 4),
        key="model.tokenizer",
        found=f"{total} documents, as {' '.join(first)[:40]!r}",
        allowed="text in the language of the tokenizer",
        help="name another one with model.tokenizer=FOLDER; bertctl tokenizer train makes one of this text",
    )
