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
from bert_cli.inspect.lengths import Lengths, histogram

TOP = 20
"""Classes that have bars of their own."""
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


def draw(
    file: Path, splits: Sequence[tuple[Contents, Lengths]], *, title: str, max_length: int
) -> str | None:
    """Draw the splits into a PNG file.

    Args:
        splits: at least one, `train` first where there is one.
        max_length: drawn as a line where lengths are in tokens.

    Returns:
        A sentence on names that no installed font can write, or None.
    """
    import matplotlib
    from matplotlib.figure import Figure

    names = [name for split, _ in splits for name in split.classes or ()]
    unwritten = [name for name in dict.fromkeys(names) if not writable(name)]
    settings = {"font.family": ["DejaVu Sans", *_installed()], "font.size": 10, "axes.unicode_minus": False}
    with matplotlib.rc_context(settings):
        bars = _class_bars(splits)
        scores = any(split.numeric and split.golds is not None for split, _ in splits)
        height = max(4.2, 1.6 + 0.26 * len(bars))
        figure = Figure(figsize=(12 if bars or scores else 7, height), dpi=120, layout="constrained")
        figure.suptitle(_written(title, "data"), fontsize=13, fontweight="bold", x=0.01, ha="left")
        axes = figure.subplots(1, 2 if bars or scores else 1, squeeze=False)[0]
        _draw_lengths(axes[0], splits, max_length)
        if bars:
            _draw_classes(axes[1], splits, bars)
        elif scores:
            _draw_scores(axes[1], splits)
        file.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(file, format="png")
    if not unwritten:
        return None
    return f"no font here can write {len(unwritten)} class names: install one, as fonts-noto-cjk"


def writable(name: str) -> bool:
    """Whether fonts that are installed have all its characters."""
    return all(ord(character) in _characters() for character in name if not character.isspace())


def _draw_lengths(axes: Any, splits: Sequence[tuple[Contents, Lengths]], max_length: int) -> None:
    unit = splits[0][1].unit
    values = np.concatenate([lengths.values for _, lengths in splits])
    longest = int(values.max())
    shown = max(1, int(np.quantile(values, BEYOND, method="inverted_cdf")))
    limited = unit == "tokens" and max_length <= 1.25 * shown
    shown = min(longest, max(shown, max_length if limited else 0))
    for place, (split, lengths) in enumerate(splits):
        bars = histogram(lengths.values, longest=shown)
        shares = 100 * np.array(bars["counts"]) / len(lengths.values)
        label = f"{split.name} ({len(split):,})"
        colour = COLOURS[place % len(COLOURS)]
        axes.stairs(shares, bars["edges"], fill=not place, color=colour, alpha=0.55 if not place else 1, label=label)
    if limited:
        cut = 100 * float((values > max_length).mean())
        axes.axvline(max_length, color=GREY, linestyle="--", linewidth=1.2)
        axes.text(
            max_length,
            0.98,
            f" max_length {max_length}: {cut:.1f} % longer ",
            transform=axes.get_xaxis_transform(),
            ha="right" if max_length > 0.6 * shown else "left",
            va="top",
            color=GREY,
        )
    beyond = f"; the last bar up to {longest:,}" if longest > shown else ""
    _plain(axes, title="Length of the examples", xlabel=f"{unit}{beyond}", ylabel="% of the rows")
    axes.set_xlim(left=0)
    axes.legend(frameon=False, loc="upper right" if not limited or max_length < 0.6 * shown else "center right")


def _class_bars(splits: Sequence[tuple[Contents, Lengths]]) -> list[tuple[str, list[str]]]:
    """Label of each bar and the classes that it counts, most frequent first; beyond `TOP`, the others together."""
    totals = _totals(splits)
    order = sorted(totals, key=lambda name: -totals[name])
    number = {name: place for place, name in enumerate(totals)}
    shown = order if len(order) <= TOP + 1 else order[:TOP]
    bars = [(_written(name, f"class {number[name]}"), [name]) for name in shown]
    rest = order[len(shown) :]
    return bars + ([(f"{len(rest)} more", rest)] if rest else [])


def _totals(splits: Sequence[tuple[Contents, Lengths]]) -> Mapping[str, int]:
    """Occurrences of each class in the first split that has any."""
    return next((split.classes for split, _ in splits if split.classes and split.golds is not None), {})


def _draw_classes(axes: Any, splits: Sequence[tuple[Contents, Lengths]], bars: list[tuple[str, list[str]]]) -> None:
    """Bars for the first split, dots for the others, as shares, so that splits of any size compare."""
    places = np.arange(len(bars))
    first = True
    for place, (split, _) in enumerate(splits):
        if not split.classes or split.golds is None:
            continue
        counts = np.array([sum(split.classes.get(name, 0) for name in names) for _, names in bars])
        whole = max(1, len(split) if split.unit == "rows" else sum(split.classes.values()))
        colour = COLOURS[place % len(COLOURS)]
        if first:
            axes.barh(places, 100 * counts / whole, color=colour, alpha=0.55, label=split.name)
            for at, count in zip(places, counts, strict=True):
                axes.text(100 * count / whole, at, f"  {count:,}", va="center", color=GREY, fontsize=8)
        else:
            axes.plot(100 * counts / whole, places, "o", color=colour, markersize=4.5, label=split.name)
        first = False
    unit = next(split.unit for split, _ in splits if split.classes and split.golds is not None)
    axes.set_yticks(places, [name for name, _ in bars])
    axes.invert_yaxis()
    axes.margins(x=0.12)
    axes.set_xlim(left=0)
    _plain(axes, title=f"Classes ({len(_totals(splits))})", xlabel=f"% of the {unit}", ylabel="")
    axes.legend(frameon=False, loc="lower right")


def _draw_scores(axes: Any, splits: Sequence[tuple[Contents, Lengths]]) -> None:
    scored = [(place, split) for place, (split, _) in enumerate(splits) if split.numeric and split.golds is not None]
    values = {place: np.array(split.golds, dtype=np.float64) for place, split in scored}
    edges = np.histogram_bin_edges(np.concatenate(list(values.values())), bins=25)
    for place, split in scored:
        shares = 100 * np.histogram(values[place], bins=edges)[0] / len(split)
        colour = COLOURS[place % len(COLOURS)]
        axes.stairs(
            shares, edges, fill=not place, color=colour, alpha=0.55 if not place else 1, label=f"{split.name}"
        )
    _plain(axes, title="Scores", xlabel="score", ylabel="% of the rows")
    axes.legend(frameon=False)


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
