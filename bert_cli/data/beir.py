"""Judgements about queries and texts in the layout of BEIR (Thakur et al. 2021): which files belong together.

A folder `qrels` holds one file of judgements for each split; `corpus` and `queries`, which all splits share, lie beside
it. Costs one folder listing.
"""

from __future__ import annotations

from pathlib import Path

from bert_cli.data.read import FORMATS, format_of
from bert_cli.errors import DataError, listing

JUDGEMENTS = "qrels"
SHARED = ("corpus", "queries")


def beside(folder: Path) -> dict[str, Path]:
    """Corpus and queries that the judgements of a folder are about, by name; nothing for any other folder.

    Raises:
        DataError: one of them is not there, or two files could be it (D150).
    """
    folder = folder.resolve()
    return {name: _only(folder.parent, name) for name in SHARED} if folder.name.lower() == JUDGEMENTS else {}


def _only(folder: Path, name: str) -> Path:
    files = [file for file in sorted(folder.iterdir()) if (format_of(file.name) or ("",))[0].lower() == name]
    if len(files) != 1:
        what = "no file holds the" if not files else f"{len(files)} files could be the"
        raise DataError(
            "D150",
            f"there are judgements, and {what} {name} that they are about",
            where=str(folder),
            key="data.source",
            found=listing(sorted(entry.name for entry in folder.iterdir()), 10),
            allowed=f"one {name}.jsonl beside the folder {JUDGEMENTS} ({', '.join(FORMATS)}; .gz)",
            help=f"mv FILE {folder / name}.jsonl" if not files else f"rename all of them but one: {files[0].name}",
        )
    return files[0]
