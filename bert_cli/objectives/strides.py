"""How far windows of one text reach into each other: the tokens that neighbours share are read twice."""

from __future__ import annotations

from bert_cli.errors import UsageError


def stride_of(asked: int | None, *, max_length: int, room: int, most: int) -> int:
    """Tokens that neighbouring windows share: as asked, else a third of `max_length`, or as many as may be.

    Args:
        room: tokens of the text in a window, beside the special ones.
        most: how many of them may be shared.

    Raises:
        UsageError: more than that are asked for, or windows have no room at all (D118).
    """
    stride = min(max_length // 3, most) if asked is None else asked
    if room < 1 or stride > most:
        raise UsageError(
            "D118",
            "windows leave too little room for what is new in each of them",
            key="data.stride",
            found=f"{stride}, data.max_length={max_length}",
            allowed=f"0 to {max(0, most)}, or longer windows",
            help="data.stride=128 data.max_length=512",
        )
    return stride


def three_quarters(room: int) -> int:
    """The most that windows of texts and contexts share."""
    return 3 * room // 4


def window_starts(n: int, *, room: int, stride: int) -> range:
    """Where the windows of n tokens begin; there is one at least, and none holds only what another one has."""
    return range(0, max(n - stride, 1), room - stride)
