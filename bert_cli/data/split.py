"""What the engine and scoring need to know of data: rows of known length. All else is the objective's business."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np


class Split(Protocol):
    """Rows of a split, whatever they hold.

    Attributes:
        lengths: tokens of each row, the special ones included. Shape: `[N]`.
        targets: what predictions are compared with, or None where the text itself is the target.
        facts: what was counted while the rows were made (`origin`, `truncated`, `lost_tokens`, …).
    """

    @property
    def lengths(self) -> np.ndarray: ...
    @property
    def targets(self) -> np.ndarray | None: ...
    @property
    def facts(self) -> dict[str, Any]: ...

    def __len__(self) -> int: ...

    def value(self, name: str, row: int) -> Any:
        """One cell of a further column, or None where there is no such column."""
        ...
