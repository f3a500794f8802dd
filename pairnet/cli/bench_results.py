"""The result files of asv as values: the last commit measured on a machine, and the one before.

Files: FOLDER/benchmarks.json describes the suite, FOLDER/MACHINE/*.json hold one commit in one environment each.
"""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any, Literal

from pairnet.errors import ArgumentError, ResultsError
from pairnet.opening import read_file

KEYS = ("env_name", "date", "commit_hash", "result_columns", "results")
"""Keys of a result file that are read here."""

LARGEST_FILE = 1 << 26
"""Bytes of one of them."""

REMEDY = "run `make bench` or `asv run`"

Parameters = tuple[str, ...]
"""One combination of a benchmark's parameters."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """The value of a benchmark for one combination of its parameters."""

    parameters: Parameters
    state: Literal["measured", "skipped", "failed"]
    value: float | None  # None unless measured
    before: float | None  # at the commit before; None if not measured there, or by another version of the benchmark

    @property
    def change(self) -> float | None:
        """0.1 if the value is a tenth higher than before; None if there is nothing to compare."""
        return self.value / self.before - 1 if self.value is not None and self.before else None


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """The last figures of one benchmark."""

    name: str
    unit: str
    parameter_names: Parameters
    figures: tuple[Entry, ...]

    @property
    def skipped(self) -> bool:
        """Whether every figure was skipped."""
        return all(figure.state == "skipped" for figure in self.figures)


@dataclass(frozen=True, kw_only=True)
class Results:
    """The newest commit measured on a machine in one environment, compared with the one before."""

    machine: str
    environment: str
    commit: str
    before: str | None
    benchmarks: tuple[Benchmark, ...]


def read_results(folder: Path, *, machine: str | None = None) -> list[Results]:
    """The last results in the results folder of asv, one for each environment; commits are sorted by their date.

    ArgumentError if `machine` is unknown, or needed to choose; ResultsError if results are missing or damaged.
    """
    machine = _choose_machine(folder, machine)
    suite = {
        name: description for name, description in _read_json(folder / "benchmarks.json").items() if name != "version"
    }
    by_environment: dict[str, list[dict[str, Any]]] = {}
    for path in sorted((folder / machine).glob("*.json")):
        if path.name == "machine.json":
            continue
        file = _read_json(path)
        if missing := [key for key in KEYS if key not in file]:
            raise ResultsError(f"{path}: expected a result file of asv, got one without {', '.join(missing)}: {REMEDY}")
        by_environment.setdefault(file["env_name"], []).append(file)
    if not by_environment:
        raise ResultsError(f"expected results in {folder / machine}, got none: {REMEDY}")
    return [
        _compare(machine, environment, sorted(files, key=lambda file: int(file["date"])), suite)
        for environment, files in sorted(by_environment.items())
    ]


def select(results: Sequence[Results], pattern: str) -> list[Results]:
    """Only the benchmarks whose names match the regular expression `pattern`.  ArgumentError if there are none."""
    try:
        matches = re.compile(pattern).search
    except re.error as error:
        raise ArgumentError(f'expected `bench` to be a regular expression, got "{pattern}": {error}') from None
    found = [replace(r, benchmarks=tuple(b for b in r.benchmarks if matches(b.name))) for r in results]
    if not any(r.benchmarks for r in found):
        names = sorted({benchmark.name for each in results for benchmark in each.benchmarks})
        raise ArgumentError(f'expected `bench` to match one of {", ".join(names)}, got "{pattern}"')
    return found


def _choose_machine(folder: Path, machine: str | None) -> str:
    machines = sorted(path.parent.name for path in folder.glob("*/machine.json"))
    if not machines:
        raise ResultsError(f"expected results in {folder}, got none: {REMEDY}")
    if machine is None and len(machines) == 1:
        return machines[0]
    if machine not in machines:
        raise ArgumentError(f"expected `machine` to be one of {', '.join(machines)}, got {machine or 'none'}")
    return machine


def _read_json(path: Path) -> dict[str, Any]:
    text = read_file(path, what="a file of asv", largest=LARGEST_FILE, error=ResultsError)
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:  # not JSON, or not text
        raise ResultsError(f"{path}: expected a file of asv: {error}") from None
    if not isinstance(found, dict):
        raise ResultsError(f"{path}: expected a file of asv, got JSON that is no object")
    return found


def _compare(machine: str, environment: str, files: list[dict[str, Any]], suite: dict[str, Any]) -> Results:
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


def _values(file: dict[str, Any], name: str) -> tuple[dict[Parameters, float | None], str | None]:
    """Values by parameters, and the version of the benchmark. asv leaves out the last columns of a row if empty."""
    row = dict(zip(file["result_columns"], file["results"].get(name, []), strict=False))
    keys = [tuple(value.strip("'") for value in key) for key in product(*(row.get("params") or []))]
    return dict(zip(keys, row.get("result") or [None] * len(keys), strict=False)), row.get("version")


def _figure(parameters: Parameters, value: float | None, before: float | None) -> Entry:
    """asv writes NaN for what was skipped, and null for what failed."""
    if value is None or math.isnan(value):
        return Entry(parameters=parameters, state="failed" if value is None else "skipped", value=None, before=None)
    known = before if before is not None and not math.isnan(before) else None
    return Entry(parameters=parameters, state="measured", value=value, before=known)
