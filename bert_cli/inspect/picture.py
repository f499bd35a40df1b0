"""One picture of a data set: how long its examples are, and how often each class (or which scores) occurs.

Drawn by matplotlib, which is optional. Every name is drawn in a font that has its characters; where none has, a number
stands for it. Costs about a second.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bert_cli.errors import UsageError
from bert_cli.inspect.contents import Contents
from bert_cli.inspect.finding import verb
from bert_cli.inspect.lengths import Lengths, histogram

TOP = 20
"""Classes that have bars of their own."""
FEW = 4
"""Bars below which there is room left around them."""
NAME = 28
"""Characters of a class name that are shown."""
BEYOND = 0.995
"""Share of the rows up to which the axis of lengths goes; longer ones are counted in the last bar."""
COLOURS = ("#4477AA", "#EE6677", "#228833", "#CCBB44", "#66CCEE", "#AA3377")
"""Told apart by colour-blind eyes too (Tol 2021, scheme bright)."""
GREY = "#555555"

_FONTS = (
    "Noto Sans CJK SC",
    "Noto Sans SC",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans GB",
    "Heiti SC",
    "Microsoft YaHei",
    "SimHei",
    "Droid Sans Fallback",
    "AR PL UMing CN",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
)
"""Fonts with characters that matplotlib's own lacks; those that are installed are used."""


def check_place(file: Path) -> None:
    """Refuse a picture that could not be drawn or written, before any data are read.

    Raises:
        UsageError: it is no PNG file (U112), or matplotlib is not installed (U110).
    """
    if file.suffix.lower() != ".png" or file.is_dir():
        raise UsageError(
            "U112",
            "the picture goes to a PNG file",
            key="--picture",
            found=str(file),
            allowed="a name that ends with .png",
            help=f"--picture {file.with_suffix('.png') if file.suffix else file / 'data.png'}",
        )
    if importlib.util.find_spec("matplotlib") is None:
        raise UsageError(
            "U110",
            "--picture needs the package matplotlib, which is not installed",
            key="--picture",
            found=str(file),
            allowed="left out, or with matplotlib installed",
            help="pip install 'bertctl[pictures]'",
        )


def draw(file: Path, splits: Sequence[tuple[Contents, Lengths]], *, title: str, max_length: int) -> str | None:
    """Draw the splits into a PNG file.

    Args:
        splits: at least one, `train` first where there is one.
        max_length: drawn as a line where lengths are in tokens.

    Returns:
        A sentence on names that no installed font can write, or None.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: Any = {"font.family": ["DejaVu Sans", *_installed()], "font.size": 10, "axes.unicode_minus": False}
    with matplotlib.rc_context(settings):
        bars, rest = _most_frequent(splits)
        scores = any(split.numeric and split.golds is not None for split, _ in splits)
        panels = 2 if bars or scores else 1
        figure = Figure(figsize=(6 * panels, max(4.5, 1.8 + 0.24 * len(bars))), dpi=120, layout="constrained")
        # Fonts of other scripts may have no bold face, and names of tasks do not need them.
        figure.suptitle(title, fontfamily="DejaVu Sans", fontsize=13, fontweight="bold", x=0.01, ha="left")
        axes = figure.subplots(1, panels, squeeze=False)[0]
        _draw_lengths(axes[0], splits, max_length)
        if bars:
            _draw_classes(axes[1], splits, bars, rest)
        elif scores:
            _draw_scores(axes[1], splits)
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(splits), frameon=False)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, format="png")
    names = dict.fromkeys(name for split, _ in splits for name in split.classes or ())
    unwritten = sum(not writable(name) for name in names)
    if not unwritten:
        return None
    return (
        f"no font here can write {unwritten} class {verb(unwritten, 'name', 'names')}: install one, as fonts-noto-cjk"
    )


def writable(name: str) -> bool:
    """Whether fonts that are installed have all its characters."""
    return all(ord(character) in _characters() for character in name if not character.isspace())


def _draw_lengths(axes: Any, splits: Sequence[tuple[Contents, Lengths]], max_length: int) -> None:
    """Bars for the first split, outlines for the others, as shares, so that splits of any size compare."""
    unit = splits[0][1].unit
    values = np.concatenate([lengths.values for _, lengths in splits])
    longest = int(values.max())
    shown = max(1, int(np.quantile(values, BEYOND, method="inverted_cdf")))
    limited = unit == "tokens" and max_length <= 2 * shown
    bars = histogram(values, longest=min(longest, shown))
    for place, (split, lengths) in enumerate(splits):
        counts = histogram(lengths.values, longest=min(longest, shown))["counts"]
        axes.stairs(
            100 * np.array(counts) / len(lengths.values),
            bars["edges"],
            label=f"{split.name} ({len(split):,})",
            **_style(place),
        )
    if limited:
        axes.axvline(max_length, color=GREY, linestyle="--", linewidth=1.2)
        cut = 100 * float((values > max_length).mean())
        right = max_length > 0.6 * max(shown, max_length)
        axes.text(
            max_length,
            0.98,
            f"  max_length {max_length}: {cut:.1f} % longer  ",
            transform=axes.get_xaxis_transform(),
            ha="right" if right else "left",
            va="top",
            color=GREY,
        )
    beyond = f"; the last bar counts all up to {longest:,}" if longest >= bars["edges"][-1] else ""
    _plain(axes, title="Length of the examples", xlabel=f"{unit}{beyond}", ylabel="% of the rows")
    axes.set_xlim(left=0)


def _most_frequent(splits: Sequence[tuple[Contents, Lengths]]) -> tuple[list[str], list[str]]:
    """The classes that have bars of their own, most frequent first, and the others."""
    totals = _totals(splits)
    order = sorted(totals, key=lambda name: -totals[name])
    return order[:TOP], order[TOP:]


def _totals(splits: Sequence[tuple[Contents, Lengths]]) -> Mapping[str, int]:
    """Occurrences of each class in the first split that has any."""
    return next((split.classes for split, _ in splits if split.classes and split.golds is not None), {})


def _draw_classes(axes: Any, splits: Sequence[tuple[Contents, Lengths]], names: list[str], rest: list[str]) -> None:
    """Bars with counts for the first split, dots for the others, as shares."""
    totals = _totals(splits)
    number = {name: place for place, name in enumerate(totals)}
    rows = np.arange(len(names))
    shares = []
    for place, (split, _) in enumerate(splits):
        if not split.classes or split.golds is None:
            continue
        whole = max(1, len(split) if split.unit == "rows" else sum(split.classes.values()))
        shares.append(100 * np.array([split.classes.get(name, 0) for name in names]) / whole)
        if len(shares) == 1:
            axes.barh(rows, shares[0], color=COLOURS[place % len(COLOURS)], alpha=0.55)
        else:
            axes.plot(shares[-1], rows, "o", color=COLOURS[place % len(COLOURS)], markersize=4.5)
    right = np.max(shares, axis=0)
    for row, name in enumerate(names):
        axes.annotate(f"{totals[name]:,}", (right[row], row), (7, 0), textcoords="offset points", va="center", size=8)
    axes.set_yticks(rows, [_written(name, f"class {number[name]}") for name in names])
    empty = max(0, FEW - len(names)) / 2
    axes.set_ylim(len(names) - 0.5 + empty, -0.5 - empty)
    axes.set_xlim(0, 1.15 * max(float(right.max()), 1e-9))
    unit = next(split.unit for split, _ in splits if split.classes and split.golds is not None)
    more = f"; {len(rest)} rarer classes: {sum(totals[name] for name in rest):,} {unit}" if rest else ""
    _plain(axes, title=f"Classes ({len(totals)})", xlabel=f"% of the {unit}{more}", ylabel="")


def _draw_scores(axes: Any, splits: Sequence[tuple[Contents, Lengths]]) -> None:
    scored = [(place, split) for place, (split, _) in enumerate(splits) if split.numeric and split.golds is not None]
    values = {place: np.array(split.golds, dtype=np.float64) for place, split in scored}
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=25)
    for place, split in scored:
        axes.stairs(100 * np.histogram(values[place], bins=edges)[0] / len(split), edges, **_style(place))
    _plain(axes, title="Scores", xlabel="score", ylabel="% of the rows")


def _style(place: int) -> dict[str, Any]:
    """How the bars of a split look: filled for the first, outlined for the others."""
    return {"fill": not place, "color": COLOURS[place % len(COLOURS)], "alpha": 1.0 if place else 0.55}


def _plain(axes: Any, *, title: str, xlabel: str, ylabel: str) -> None:
    axes.set_title(title, loc="left", fontsize=11)
    axes.set_xlabel(xlabel, color=GREY)
    axes.set_ylabel(ylabel, color=GREY)
    axes.tick_params(colors=GREY)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#bbbbbb")


def _written(name: str, otherwise: str) -> str:
    """The name, shortened, with the dollar signs that matplotlib would read as mathematics escaped."""
    if not writable(name):
        return otherwise
    short = name if len(name) <= NAME else name[: NAME - 1] + "…"
    return short.replace("$", r"\$")


@cache
def _installed() -> tuple[str, ...]:
    from matplotlib import font_manager

    there = {font.name for font in font_manager.fontManager.ttflist}
    return tuple(name for name in _FONTS if name in there)


@cache
def _characters() -> frozenset[int]:
    """Code points that the fonts in use can write."""
    from matplotlib import font_manager

    files = (font_manager.findfont(name) for name in ("DejaVu Sans", *_installed()))
    return frozenset(code for file in files for code in font_manager.get_font(file).get_charmap())
