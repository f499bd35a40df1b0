"""What labelled data hold, as tables on stdout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bert_cli.cli.console import print_table, say

if TYPE_CHECKING:
    from bert_cli.run.check import Checked

CLASSES_SHOWN = 20
"""Classes that have rows of their own; the others are summed up."""
Table = tuple[list[str], list[tuple[object, ...]]]
"""Header and rows."""


def show_overview(checked: Checked) -> None:
    """Task, columns, and rows and lengths of each split."""
    say(f"task {checked.task.name}" + (f"  ·  data {source}" if (source := checked.recipe.data.source) else ""))
    if checked.columns:
        say("columns  " + ", ".join(f"{role} = {name}" for role, name in checked.columns.items()))
    rows = []
    for name, facts in checked.facts().items():
        share = "" if facts["held_out"] is None else f"{100 * facts['held_out']:.3g} % of "
        length = facts["length"]
        numbers = (length[key] for key in ("min", "p5", "median", "p95", "p99", "max"))
        rows.append((name, share + facts["origin"], facts["rows"], f"{length['mean']:.1f}", *numbers))
    if rows:
        say("")
        print_table(
            rows, ("split", "file", "rows", f"mean {checked.unit}", "least", "5 %", "median", "95 %", "99 %", "most")
        )


def show_padding(checked: Checked) -> None:
    """What padding the first split would cost, in one line; nothing where tokens are not counted."""
    name, first = next(iter(checked.facts().items()), ("", {}))
    if "padding" in first:
        padding, recipe = first["padding"], checked.recipe
        longest = f"{padding['to_longest_of_batch']:.1f}x to the longest of {recipe.train.batch_size}"
        say(f"\npadding {name} costs {longest}, {padding['to_max_length']:.1f}x to max_length {recipe.data.max_length}")


def show_facts(checked: Checked) -> None:
    """What lies beyond each limit, what padding would cost, classes or scores, and scripts."""
    facts = checked.facts()
    tables = [
        _limits(checked, facts),
        _padding(checked, facts),
        _classes(facts),
        _scores(facts),
        _scripts(facts),
    ]
    for header, rows in tables:
        if rows:
            say("")
            print_table(rows, header)


def _limits(checked: Checked, facts: dict[str, dict[str, Any]]) -> Table:
    """Share of the rows, and of the tokens, beyond each limit."""
    known = {name: one["longer_than"] for name, one in facts.items() if "longer_than" in one}
    limits = sorted({limit for one in known.values() for limit in one})
    rows: list[tuple[object, ...]] = []
    for limit in limits:
        cells = (one.get(limit, {"rows": 0.0, "tokens": 0.0}) for one in known.values())
        mark = " = max_length" if limit == checked.recipe.data.max_length else ""
        rows.append(
            (f"{limit}{mark}", *(f"{100 * cell['rows']:.1f} % / {100 * cell['tokens']:.1f} %" for cell in cells))
        )
    return ["longer than: rows / tokens", *known], rows


def _padding(checked: Checked, facts: dict[str, dict[str, Any]]) -> Table:
    """What padding would cost: tokens computed for each real one."""
    known = {name: one["padding"] for name, one in facts.items() if "padding" in one}
    size, longest = checked.recipe.train.batch_size, checked.recipe.data.max_length
    names = {
        "to_max_length": f"padded to max_length {longest}",
        "to_longest_of_batch": f"padded to the longest of {size}",
        "none": "not padded",
    }
    rows = [(text, *(f"{one[name]:.2f}" for one in known.values())) for name, text in names.items()] if known else []
    return ["tokens computed for a real one", *known], list(rows)


def _classes(facts: dict[str, dict[str, Any]]) -> Table:
    """How often each class occurs; beyond some, the others together."""
    known = {name: one["classes"] for name, one in facts.items() if one.get("classes")}
    units = {one["unit"] for one in facts.values() if "unit" in one}
    names = sorted(
        dict.fromkeys(name for one in known.values() for name in one),
        key=lambda name: -next(iter(known.values())).get(name, 0),
    )
    shown = names if len(names) <= CLASSES_SHOWN + 1 else names[:CLASSES_SHOWN]
    rows: list[tuple[object, ...]] = [(name, *(one.get(name, 0) for one in known.values())) for name in shown]
    if rest := names[len(shown) :]:
        rows.append((f"{len(rest)} more", *(sum(one.get(name, 0) for name in rest) for one in known.values())))
    return [f"class ({', '.join(sorted(units))})", *known], rows


def _scores(facts: dict[str, dict[str, Any]]) -> Table:
    known = {name: one["scores"] for name, one in facts.items() if "scores" in one}
    if not known:
        return [], []
    keys = next(iter(known.values()))
    return ["score", *known], [(key, *(f"{one[key]:.4g}" for one in known.values())) for key in keys]


def _scripts(facts: dict[str, dict[str, Any]]) -> Table:
    """Share of the letters that each script has."""
    from bert_cli.inspect.finding import percent

    names = dict.fromkeys(name for one in facts.values() for name in one["scripts"])
    rows = [(name, *(percent(one["scripts"].get(name, 0.0), 1) for one in facts.values())) for name in names]
    return ["letters", *facts], list(rows)
