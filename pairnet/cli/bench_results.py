"""What asv measured on this machine: its result files as values and as `rich` tables, beside the commit before."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from pairnet.errors import ResultsError

CHARTED = "Charted"
"""Stands in the names of benchmarks whose figures get better upwards (bench/common.py)."""

NOTEWORTHY = 0.1
"""Changes beyond a tenth are coloured."""


RESULT_KEYS = ("env_name", "date", "commit_hash", "result_columns", "results")


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One row of one benchmark."""

    parameters: tuple[str, ...]
    state: Literal["measured", "skipped", "failed"]
    value: float | None  # None unless measured
    before: float | None  # at the commit before; None where it was not measured, or by another version of the benchmark

    @property
    def change(self) -> float | None:
        """0.1 where the value is a tenth higher than before; None where there is nothing to compare."""
        return self.value / self.before - 1 if self.value is not None and self.before else None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """One benchmark's last figures."""

    name: str
    unit: str
    parameter_names: tuple[str, ...]
    figures: tuple[Figure, ...]

    @property
    def skipped(self) -> bool:
        """Whether each row was."""
        return all(figure.state == "skipped" for figure in self.figures)


@dataclass(frozen=True, kw_only=True)
class Results:
    """The newest commit measured on a machine in one environment, with the one measured before it."""

    machine: str
    environment: str
    commit: str
    before: str | None
    benchmarks: tuple[Benchmark, ...]


def read(folder: Path, *, machine: str | None = None) -> list[Results]:
    """The last results in asv's results folder, one for each environment.

    Commits are put in order by their date. ResultsError where there are none, or where `machine` is needed to choose.
    """
    machines = sorted(path.parent.name for path in folder.glob("*/machine.json"))
    if machine is None and len(machines) == 1:
        (machine,) = machines
    if machine not in machines:
        if not machines:
            raise ResultsError(f"{folder} holds no results: `make bench` or `asv run` measures")
        came = f"not {machine}" if machine else "and has to be named"
        raise ResultsError(f"--machine is one of {', '.join(machines)}, {came}")
    suite = {name: about for name, about in _json(folder / "benchmarks.json").items() if name != "version"}
    by_environment: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder / machine).glob("*.json")):
        if path.name != "machine.json":
            found = _json(path)
            if lacking := [key for key in RESULT_KEYS if key not in found]:
                raise ResultsError(f"{path} is not a file of asv's results: it lacks {', '.join(lacking)}")
            by_environment.setdefault(found["env_name"], []).append(found)
    if not by_environment:
        raise ResultsError(f"{folder / machine} holds no results: `make bench` or `asv run` measures")
    return [
        _results(machine, environment, sorted(files, key=lambda file: int(file["date"])), suite)
        for environment, files in sorted(by_environment.items())
    ]


def _results(machine: str, environment: str, files: list[dict[str, Any]], suite: dict[str, Any]) -> Results:
    last, before = files[-1], files[-2] if len(files) > 1 else None
    benchmarks = []
    for name in sorted(last["results"].keys() & suite.keys()):
        values, version = _values(last, name)
        earlier, earlier_version = _values(before, name) if before else ({}, None)
        comparable = earlier if version == earlier_version else {}
        benchmarks.append(
            Benchmark(
                name=name,
                unit=suite[name]["unit"],
                parameter_names=tuple(suite[name]["param_names"]),
                figures=tuple(_figure(key, value, comparable.get(key)) for key, value in values.items()),
            )
        )
    return Results(
        machine=machine,
        environment=environment,
        commit=last["commit_hash"][:8],
        before=before["commit_hash"][:8] if before else None,
        benchmarks=tuple(benchmarks),
    )


def _figure(parameters: tuple[str, ...], value: float | None, before: float | None) -> Figure:
    """asv writes NaN for what was skipped, and nothing for what failed."""
    if value is None or math.isnan(value):
        return Figure(parameters=parameters, state="failed" if value is None else "skipped", value=None, before=None)
    known = before if before is not None and not math.isnan(before) else None
    return Figure(parameters=parameters, state="measured", value=value, before=known)


def _values(file: dict[str, Any], name: str) -> tuple[dict[tuple[str, ...], float | None], str | None]:
    """Values by parameters, and the benchmark's version.  asv leaves out a row's last columns where they are empty."""
    row = dict(zip(file["result_columns"], file["results"].get(name, []), strict=False))
    keys = [tuple(value.strip("'") for value in key) for key in product(*(row.get("params") or []))]
    return dict(zip(keys, row.get("result") or [None] * len(keys), strict=False)), row.get("version")


def _json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise ResultsError(f"{path} is missing: `make bench` or `asv run` writes it") from None
    except json.JSONDecodeError as error:
        raise ResultsError(f"{path} is not a file of asv's: {error}") from None
    return found


def tables(benchmark: Benchmark) -> list[Table]:
    """One table for each setting of the parameters between the first, down its side, and the last, across its top.

    Rows of nothing but skipped figures are left out.
    """
    names = benchmark.parameter_names
    columns: dict[tuple[str, ...], dict[str, dict[str, Figure]]] = {}
    for figure in benchmark.figures:
        first, *between = figure.parameters[:-1] if len(names) > 1 else figure.parameters or ("",)
        last = figure.parameters[-1] if len(names) > 1 else ""
        columns.setdefault(tuple(between), {}).setdefault(first, {})[last] = figure
    found = []
    for settings, rows in columns.items():
        setting = ", ".join(f"{name} {value}" for name, value in zip(names[1:-1], settings, strict=True))
        title = f"{benchmark.name}, {benchmark.unit}" + (f": {setting}" if setting else "")
        table = Table(title=escape(title), title_justify="left", min_width=len(title) + 2)
        table.add_column(names[0] if names else "", no_wrap=True)
        across = list(dict.fromkeys(last for row in rows.values() for last in row))
        for last in across:
            table.add_column(f"{names[-1]} {last}" if last else benchmark.unit, justify="right", no_wrap=True)
        for first, row in rows.items():
            if any(figure.state != "skipped" for figure in row.values()):
                table.add_row(first, *(cell(benchmark, row.get(last)) for last in across))
        if table.row_count:
            found.append(table)
    return found


def cell(benchmark: Benchmark, figure: Figure | None) -> str:
    """The value and its change, as `rich` markup: beyond NOTEWORTHY red where it got worse, green where better."""
    if figure is None:
        return ""
    if figure.value is None:
        return "[dim]skipped[/]" if figure.state == "skipped" else "[bold red]failed[/]"
    text = show(figure.value, benchmark.unit)
    if figure.change is None:
        return text
    change = f"{figure.change:+.0%}"
    if abs(figure.change) <= NOTEWORTHY:
        return f"{text} [dim]{change}[/]"
    worse = (figure.change > 0) != (CHARTED in benchmark.name)
    return f"{text} [{'bold red' if worse else 'green'}]{change}[/]"


def show(value: float, unit: str) -> str:
    """A value with as many digits as it deserves: 1.23 ms, 45.6 kB, 12,345, 4.32."""
    if unit == "seconds":
        for factor, name in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
            if abs(value) * factor >= 1 or name == "µs":
                return f"{value * factor:.3g} {name}" if value * factor < 1000 else f"{value * factor:,.0f} {name}"
    if unit == "bytes":
        return f"{value / 1e6:,.1f} MB" if value >= 1e6 else f"{value / 1e3:,.1f} kB"
    return f"{value:,.0f}" if abs(value) >= 1000 or value == int(value) else f"{value:.3g}"


def shown(results: Sequence[Results], pattern: str) -> list[Results]:
    """Only the benchmarks whose name holds `pattern`.  ResultsError where there are none."""
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        raise ResultsError(f"--bench is no regular expression: {error}") from None
    found = [replace(r, benchmarks=tuple(b for b in r.benchmarks if wanted.search(b.name))) for r in results]
    if not any(r.benchmarks for r in found):
        raise ResultsError(f'no benchmark\'s name holds "{pattern}"')
    return found
