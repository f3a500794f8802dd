"""Accuracy over the settings that grids sweep, as values: learning curves, curves over a setting, interaction plots."""

from collections import Counter
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import Any

from pairnet.reporting.report import Table
from pairnet.reporting.summaries import Summary, best_of
from pairnet.study.files import setting_text
from pairnet.study.plan import Row

LEAST_VALUES = 2
"""Values of a setting that make a curve."""

GEOMETRIC = ("pairs", "test_pairs", "steps")
"""Settings that are read by their ratio: their axis is logarithmic."""

Lines = dict[str, list[tuple[float, Summary]]]
"""The rows of each curve by its name, with their place on the axis."""


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """One figure: a curve for each grid and each combination of its other settings."""

    key: str
    setting: str  # in words
    words: tuple[str, ...]  # the values, at 0, 1, ... of the axis; empty for numbers, which are their own place
    geometric: bool
    lines: Lines

    @property
    def best(self) -> tuple[str, Summary] | None:
        """The value with the highest mean of those whose draws all finished, in words, and its row."""
        values = [value for line in self.lines.values() for value in line]
        best = best_of([row for _, row in values])
        at = next((at for at, row in values if row is best), 0.0)
        return None if best is None else (self.words[int(at)] if self.words else f"{at:g}", best)


def sweeps_of(table: Table) -> Iterator[Sweep]:
    """The sweeps of a table: over each setting with several numbers, then of grids that sweep two settings of words.

    Of such a grid the setting with the most values is on the axis, and each combination of the others is a curve.
    """
    there = {each.label: each for each in table.summaries}
    rows = [row for row in table.study.rows if row.label in there]
    for key in _keys(rows, numbers=True):
        lines = _lines(rows, there, key, ())
        yield Sweep(key=key, setting=_setting(key), words=(), geometric=key in GEOMETRIC, lines=lines)
    for grid in dict.fromkeys(row.grid for row in rows):
        own = [row for row in rows if row.grid == grid]
        keys = _keys(own, numbers=False)
        if len(keys) >= 2 and not _keys(own, numbers=True):
            values = {key: list(dict.fromkeys(_word(key, dict(row.swept)[key]) for row in own)) for key in keys}
            key = max(values, key=lambda each: len(values[each]))
            words = tuple(values[key])
            yield Sweep(
                key=key,
                setting=_setting(key),
                words=words,
                geometric=False,
                lines=_lines(own, there, key, words),
            )


def sweep_values(tables: list[Table] | tuple[Table, ...]) -> list[dict[str, Any]]:
    """The sweeps of some tables as plain values, for a file; accuracies as fractions of 1."""
    return [
        {
            "study": table.study.name,
            "setting": sweep.setting,
            "words": list(sweep.words),
            "lines": {
                name: [
                    {
                        "at": at,
                        "row": row.label,
                        "draws": row.draws,
                        "failed": len(row.failed),
                        **{key: getattr(row, key) for key in _FIGURES},
                    }
                    for at, row in line
                ]
                for name, line in sweep.lines.items()
            },
        }
        for table in tables
        for sweep in sweeps_of(table)
    ]


_FIGURES = ("mean", "std", "low", "high")


def _keys(rows: list[Row], *, numbers: bool) -> list[str]:
    """The settings that are swept over several numbers; or over several values of which none is a number."""
    found: dict[str, set[Hashable]] = {}
    other = set[str]()
    for row in rows:
        for key, value in row.swept:
            if (number := _number(value)) is not None:
                found.setdefault(key, set()).add(number)
                other |= set() if numbers else {key}
            elif not numbers:
                found.setdefault(key, set()).add(_word(key, value))
    return [key for key, values in found.items() if len(values) >= LEAST_VALUES and key not in other]


def _lines(rows: list[Row], summaries: dict[str, Summary], key: str, words: tuple[str, ...]) -> Lines:
    """The curves over one setting: for each grid, one for each combination of its other settings, which name it."""
    found: dict[tuple[int, str], list[tuple[float, Summary]]] = {}
    for row in rows:
        others = dict(row.swept)
        if key not in others:
            continue
        value = others.pop(key)
        at = float(words.index(_word(key, value))) if words else _number(value)
        if at is None:
            continue
        name = ", ".join([row.base, *(_word(*other) for other in others.items())])
        found.setdefault((row.grid, name), []).append((at, summaries[row.label]))
    found = {key: line for key, line in found.items() if any(row.mean is not None or row.failed for _, row in line)}
    names = Counter(name for _, name in found)
    return {name if names[name] == 1 else f"{name} (rows {grid})": line for (grid, name), line in found.items()}


def _setting(key: str) -> str:
    return {"dropout": "dropout rate"}.get(key, key.replace("_", " "))


def _number(value: object) -> float | None:
    """A value of a grid on an axis; None for words, switches and whatever else has no place there."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _word(key: str, value: object) -> str:
    """A value of a setting: words speak for themselves, numbers and switches need their name."""
    return value if isinstance(value, str) else setting_text(key, value)
