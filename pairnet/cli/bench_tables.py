"""Benchmark results as tables for a terminal: values with their units, changes in colour."""

from rich.text import Text

from pairnet.cli.bench_results import Benchmark, Entry, Parameters
from pairnet.cli.output import printable
from pairnet.reporting.tables import FittingTable

CHARTED = "Charted"
"""Part of the names of benchmarks whose higher values are better (bench/common.py)."""

NOTABLE_CHANGE = 0.1
"""Larger changes are coloured."""


def tables(benchmark: Benchmark) -> list[FittingTable]:
    """Tables: the first parameter down the side, the last one across the top, one table for each setting of the others.

    Rows in which every figure was skipped are left out.
    """
    names = tuple(printable(name) for name in benchmark.parameter_names)
    found = []
    for settings, rows in _by_setting(benchmark).items():
        setting = ", ".join(f"{name} {printable(value)}" for name, value in zip(names[1:-1], settings, strict=True))
        title = printable(f"{benchmark.name}, {benchmark.unit}") + (f": {setting}" if setting else "")
        table = FittingTable(title=title, title_justify="left", min_width=len(title) + 2)
        table.add_column(names[0] if names else "", no_wrap=True)
        columns = list(dict.fromkeys(last for row in rows.values() for last in row))
        for last in columns:
            heading = f"{names[-1]} {printable(last)}" if last else printable(benchmark.unit)
            table.add_column(heading, justify="right", no_wrap=True)
        for first, row in rows.items():
            if any(figure.state != "skipped" for figure in row.values()):
                table.add_row(printable(first), *(cell(benchmark, row.get(last)) for last in columns))
        if table.row_count:
            found.append(table)
    return found


def _by_setting(benchmark: Benchmark) -> dict[Parameters, dict[str, dict[str, Entry]]]:
    """Figures by the middle parameters, the first one and the last one; a missing one is ""."""
    settings: dict[Parameters, dict[str, dict[str, Entry]]] = {}
    for figure in benchmark.figures:
        first, *others = figure.parameters or ("",)
        *middle, last = others or ("",)
        settings.setdefault(tuple(middle), {}).setdefault(first, {})[last] = figure
    return settings


def cell(benchmark: Benchmark, figure: Entry | None) -> Text:
    """The value and its change; a change beyond NOTABLE_CHANGE is red if it is worse, green if it is better."""
    if figure is None:
        return Text("")
    if figure.value is None:
        return Text(figure.state, style="dim" if figure.state == "skipped" else "bold red")
    text = Text(show(figure.value, benchmark.unit))
    if figure.change is None:
        return text
    worse = (figure.change > 0) != (CHARTED in benchmark.name)
    notable = abs(figure.change) > NOTABLE_CHANGE
    return text.append(f" {figure.change:+.0%}", style=("bold red" if worse else "green") if notable else "dim")


def show(value: float, unit: str) -> str:
    """A value with three digits, or with thousands separated: 1.23 ms, 45.6 kB, 12,345, 4.32."""
    if unit == "seconds":
        for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
            if abs(value) * factor >= 1 or name == "µs":
                return f"{value * factor:.3g} {name}" if value * factor < 1000 else f"{value * factor:,.0f} {name}"
    if unit == "bytes":
        return f"{value / 1e6:,.1f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"
