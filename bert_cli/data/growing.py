"""An `.npy` file that is written piece by piece, so that memory does not grow with it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt


class Growing:
    """One dimension of values, appended to; use it as a context manager. `np.load` reads it when that has ended."""

    def __init__(self, path: Path, dtype: npt.DTypeLike) -> None:
        self._file = path.open("wb")
        self._dtype = np.dtype(dtype)
        self._n = 0
        self._begin()

    def __enter__(self) -> Growing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file:
            if error is None:
                self._begin()

    def append(self, values: np.ndarray) -> None:
        """More values, as the file's type."""
        self._file.write(np.ascontiguousarray(values, dtype=self._dtype).tobytes())
        self._n += len(values)

    def _begin(self) -> None:
        """Write the header; numpy leaves room in it, so that one for more values is as long as one for none."""
        header = {"shape": (self._n,), "fortran_order": False, "descr": np.lib.format.dtype_to_descr(self._dtype)}
        self._file.seek(0)
        np.lib.format.write_array_header_1_0(self._file, header)
