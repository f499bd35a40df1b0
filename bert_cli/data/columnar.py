"""Parquet rows as records of plain Python values, numbered from 1.

Only plain column types are read: extension types are refused, because reading them can run code that the file names.
Rows come in batches, so memory holds a few thousand of them at a time.
"""

from __future__ import annotations

import io
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from bert_cli.data.delimited import check_columns
from bert_cli.data.stream import Record, read_all
from bert_cli.errors import DataError

_ROWS_PER_BATCH = 4096


def iter_parquet(source: Path | BinaryIO, name: str, *, columns: Collection[str] | None = None) -> Iterator[Record]:
    """Rows of a parquet file.

    Args:
        columns: those that are read where the file has any of them; the cells of others are None. Default: all.

    Raises:
        DataError: a damaged file (D018), an extension type (D019), columns without a name of their own (D010, D011).
    """
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    # Parquet is read from its end, which a pipe or a compressed stream cannot do.
    place = str(source) if isinstance(source, Path) else io.BytesIO(read_all(source, name))
    try:
        with pq.ParquetFile(place) as file:
            schema = file.schema_arrow
            check_columns(schema.names, name)
            read = [column for column in schema.names if columns is None or column in columns] or schema.names
            unread = dict.fromkeys(schema.names)
            for field in map(schema.field, read):
                _refuse_extension(field.type, pa, column=field.name, where=name)
            row = 0
            for batch in file.iter_batches(batch_size=_ROWS_PER_BATCH, columns=read):
                for values in batch.to_pylist():
                    row += 1
                    yield Record(row, {**unread, **values})
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        raise DataError(
            "D018",
            f"{name} is not a sound parquet file: {str(error).splitlines()[0] if str(error) else type(error).__name__}",
            where=name,
            help="write or copy the file again",
        ) from None


def _refuse_extension(kind: Any, pa: Any, *, column: str, where: str) -> None:
    if isinstance(kind, pa.BaseExtensionType):
        raise DataError(
            "D019",
            f"column '{column}' has an extension type, which is not read",
            where=where,
            found=kind,
            allowed="plain text, numbers, booleans and lists of them",
            help="write the column with its storage type",
        )
    for index in range(getattr(kind, "num_fields", 0)):
        _refuse_extension(kind.field(index).type, pa, column=column, where=where)
