"""Where each split is: a file of the given folder, the given file, or a split on the hub.

A split has one source or none: two files that could both hold it are refused, never chosen between.
Looking costs one or two folder listings; the hub is asked when records are wanted, or when it has to name its splits.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

from bert_cli.data.beir import beside
from bert_cli.data.hub import HubSplit, is_offline, load, require_cached
from bert_cli.data.read import FORMATS, Record, format_of, iter_records
from bert_cli.errors import DataError, UsageError, listing
from bert_cli.recipe.schema import DataSection
from bert_cli.tasks.base import Task

# Stems that mean the same, so two files with stems of one row are one too many.
_USUAL_STEMS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "eval"),
    "test": ("test",),
}
_HUB_PREFIX = "hub:"


@dataclass(frozen=True)
class Source:
    """One split's place: a file (`path`) or a split on the hub (`hub`).

    Attributes:
        root: the given folder, where `path` lies in one.
        beside: what all splits share: of judgements, `corpus` and `queries`.
    """

    split: str
    path: Path | None = None
    hub: HubSplit | None = None
    root: Path | None = None
    beside: Mapping[str, Source] = field(default_factory=dict, hash=False)

    @property
    def origin(self) -> str:
        """What messages and cards call it: the file's path inside the given folder, or `OWNER/NAME:CONFIG:SPLIT`."""
        if self.path is None:
            assert self.hub is not None
            return ":".join(filter(None, [self.hub.path, self.hub.config, self.hub.split]))
        return str(self.path.relative_to(self.root)) if self.root else self.path.name

    @property
    def stem(self) -> str:
        """The file's name without its format, or the hub's name of the split."""
        if self.path is None:
            assert self.hub is not None
            return self.hub.split
        known = format_of(self.path.name)
        return known[0] if known else self.path.stem

    def header(self, line: int) -> str:
        """Where the row at `line` has its columns from: the first line of CSV and TSV, the row itself in JSON."""
        known = format_of(self.path.name) if self.path is not None else None
        kind = known[1].removesuffix(".gz") if known else ""
        if kind in ("csv", "tsv"):
            line = 1
        return self.origin if kind in ("", "parquet", "txt") else f"{self.origin}:{line}"

    def records(self, data: DataSection, *, columns: Collection[str] | None = None) -> Iterator[Record]:
        """The split's rows, at most `data.limit`; errors as in `iter_records` and `HubSplit.records`.

        Args:
            columns: those that are needed; others may be None.
        """
        if self.path is not None:
            form = {"quoting": data.quoting, "encoding": data.encoding}
            rows = iter_records(self.path, name=self.origin, columns=columns, **form)
        else:
            assert self.hub is not None
            rows = self.hub.records()
        return islice(rows, data.limit)

    def fingerprint(self) -> str:
        """SHA-256 of the file's bytes, or `REPO@COMMIT:CONFIG:SPLIT`; over those of what lies beside it too."""
        if self.beside:
            parts = [replace(self, beside={}), *self.beside.values()]
            return hashlib.sha256("\n".join(part.fingerprint() for part in parts).encode()).hexdigest()
        if self.path is None:
            assert self.hub is not None
            return self.hub.fingerprint()
        with self.path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()


def called(sources: Mapping[str, Source], name: str) -> str | None:
    """The split that goes by a name: its own, or the stem of its file."""
    return next((split for split, source in sources.items() if name in (split, source.stem)), None)


def find_sources(
    task: Task, data: DataSection, *, offline: bool = False, file_split: str = "train"
) -> dict[str, Source]:
    """The splits that are there, in the order of `task.splits`.

    Looks at `data.source`, else the environment's `BERTCTL_DATA`, else the task's data set on the hub.

    Args:
        offline: never ask the network; the cache of `datasets` still serves.
        file_split: the split that a single given file holds.

    Raises:
        DataError: nothing at the given path (D020), no split in the folder (D021), two files for one split (D022).
        UsageError: no source at all (U061), or a `hub:` source without OWNER/NAME (U062).
        HubError: offline, and the data set is not in the cache (E020).
    """
    given = data.source or os.environ.get("BERTCTL_DATA")
    if given and given.startswith(_HUB_PREFIX):
        return _named_hub(task, given, data, offline=offline)
    if not given:
        return _task_hub(task, data, offline=offline)
    path = Path(given).expanduser()
    if path.is_dir():
        return _folder(task, path, data)
    if not path.exists():
        raise _nothing_there(path, key="data.source" if data.source else "BERTCTL_DATA")
    return {file_split: Source(file_split, path=path, beside=_beside(path.parent))}


def _folder(task: Task, root: Path, data: DataSection) -> dict[str, Source]:
    found = _splits_in(task, root, root, data)
    if found:
        return found
    wanted = (*task.folders, task.name)
    inner = next(filter(None, (_descend(root, name) for name in wanted)), None)
    if inner is not None:
        found = _splits_in(task, inner, root, data)
        if found:
            return found
    looked = inner or root
    stems = [stem for split in task.splits for tier in _tiers(task, split) for stem in tier]
    raise DataError(
        "D021",
        f"the folder {looked} holds no split of task '{task.name}'",
        where=str(looked),
        key="data.source",
        found=listing(sorted(entry.name for entry in looked.iterdir()), 10) or "an empty folder",
        allowed=f"{listing(dict.fromkeys(f'{stem}.*' for stem in stems), 8)} ({', '.join(FORMATS)}; .gz), "
        + f"or a folder {listing(dict.fromkeys(wanted))}",
        help="name the files so, or give one file: --data FILE",
    )


def _splits_in(task: Task, folder: Path, root: Path, data: DataSection) -> dict[str, Source]:
    by_stem: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        known = format_of(path.name)
        if known and path.is_file():
            by_stem.setdefault(known[0].lower(), []).append(path)
    named = data.validation_split
    wanted = {split: _tiers(task, split) for split in task.splits}
    if named is not None:
        wanted.setdefault(named, ((named,),))
    sources: dict[str, Source] = {}
    shared: dict[str, Source] | None = None
    for split, tiers in wanted.items():
        files = next(
            filter(None, ([file for stem in tier for file in by_stem.get(stem.lower(), [])] for tier in tiers)), []
        )
        if len(files) > 1:
            raise DataError(
                "D022",
                f"{len(files)} files could be the split '{split}': {listing(file.name for file in files)}",
                where=str(folder),
                key="data.source",
                found=listing(file.name for file in files),
                allowed="one file per split",
                help="delete or rename all but one, or give one file: --data FILE",
            )
        if files and not (split == named and called(sources, named)):
            shared = _beside(folder) if shared is None else shared
            sources[split] = Source(split, path=files[0], root=root, beside=shared)
    return sources


def _beside(folder: Path) -> dict[str, Source]:
    return {name: Source(name, path=path) for name, path in beside(folder).items()}


def _tiers(task: Task, split: str) -> tuple[tuple[str, ...], ...]:
    """Groups of stems; a later group counts only where no file has a stem of an earlier one."""
    usual = _USUAL_STEMS.get(split, (split,))
    tiers = [usual if stem in usual else (stem,) for stem in (*task.splits.get(split, ()), *usual)]
    return tuple(dict.fromkeys(tiers))


def _descend(root: Path, name: str) -> Path | None:
    """The folder `name` (`a/b` too) inside `root`, upper case, hyphens and underscores being indifferent."""
    folder = root
    for part in name.split("/"):
        inner = [entry for entry in sorted(folder.iterdir()) if entry.is_dir() and _plain(entry.name) == _plain(part)]
        if not inner:
            return None
        folder = inner[0]
    return folder


def _plain(name: str) -> str:
    return name.casefold().replace("-", "").replace("_", "")


def _nothing_there(path: Path, *, key: str) -> DataError:
    parent = path.parent
    siblings = sorted(entry.name for entry in parent.iterdir()) if parent.is_dir() else []
    return DataError(
        "D020",
        f"there is no file or folder {path}",
        where=str(path),
        key=key,
        found=path.name,
        allowed=siblings or "a folder with train.*, or a file",
        help=f"ls {parent}" if siblings else "check the path",
    )


def _task_hub(task: Task, data: DataSection, *, offline: bool) -> dict[str, Source]:
    if task.hub is None:
        raise UsageError(
            "U061",
            f"the task '{task.name}' has no data of its own",
            key="data.source",
            allowed="a folder with train.*, a file, or hub:OWNER/NAME[:CONFIG]",
            help="--data DIR",
        )
    offline = offline or is_offline()
    if offline:
        require_cached(task.hub.path)
    hub = HubSplit(task.hub.path, task.hub.config, "", offline=offline)
    names = [split for split in task.splits if not task.hub.splits or split in task.hub.splits]
    shared = _hub_beside(task, hub)
    sources = {
        split: Source(split, hub=_hub_split(hub, task.hub.splits.get(split, split)), beside=shared) for split in names
    }
    named = data.validation_split
    if named is not None and called(sources, named) is None:
        sources[named] = Source(named, hub=replace(hub, split=named), beside=shared)
    return sources


def _hub_beside(task: Task, hub: HubSplit) -> dict[str, Source]:
    known = task.hub.beside if task.hub else {}
    return {name: Source(name, hub=replace(hub, config=config, split=split)) for name, (config, split) in known.items()}


def _hub_split(hub: HubSplit, name: str) -> HubSplit:
    """A split of the same data set, or `OWNER/NAME:CONFIG:SPLIT`."""
    path, config, split = name.split(":") if "/" in name else (hub.path, hub.config, name)
    return replace(hub, path=path, config=config, split=split)


def _named_hub(task: Task, given: str, data: DataSection, *, offline: bool) -> dict[str, Source]:
    path, _, config = given.removeprefix(_HUB_PREFIX).partition(":")
    if not path or path.count("/") > 1 or any(not part or part.startswith(".") for part in path.split("/")):
        raise UsageError(
            "U062",
            "a data set on the hub is named hub:OWNER/NAME or hub:OWNER/NAME:CONFIG",
            key="data.source",
            found=given,
            allowed="hub:OWNER/NAME[:CONFIG]",
            help="data.source=hub:nyu-mll/glue:sst2",
        )
    hub = HubSplit(path, config or None, "", offline=offline or is_offline())
    there: Sequence[str] = list(load(path, hub.config, offline=hub.offline))
    shared = _hub_beside(task, hub)
    sources: dict[str, Source] = {}
    for split in task.splits:
        preferred = task.hub.splits.get(split, split) if task.hub else split
        stems = [preferred, *(stem for tier in _tiers(task, split) for stem in tier)]
        name = next((stem for stem in stems if stem in there), None)
        if name is not None:
            sources[split] = Source(split, hub=replace(hub, split=name), beside=shared)
    if data.validation in there and called(sources, data.validation) is None:
        sources[data.validation] = Source(data.validation, hub=replace(hub, split=data.validation), beside=shared)
    if not sources:
        raise DataError(
            "D024",
            f"the data set {path} has no split of task '{task.name}'",
            where=given,
            key="data.source",
            found=listing(there),
            allowed=list(task.splits),
            help="data.validation=NAME names a split to score on",
        )
    return sources
