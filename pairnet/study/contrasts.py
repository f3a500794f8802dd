"""Contrasts: what a study asks of its rows: of two, of one and the mean of others, of two differences, of a goal.

    [[contrasts]]
    name = "sharing at 300 against 1,000 pairs"
    first = "w_net, pairs 300"
    second = "no_w_net, pairs 300"
    minus = { first = "w_net, pairs 1000", second = "no_w_net, pairs 1000" }

Each is a weighted sum of rows. `compare`, and the goals of rows, are short for contrasts; see `contrasts_of`.
"""

import math
import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairnet.errors import ArgumentError
from pairnet.models.toml_files import check_keys, choose, read_document, typed
from pairnet.study.levels import Levels
from pairnet.wording import shown

if TYPE_CHECKING:
    from pairnet.study.plan import Study

ABOVE, PAPERS_SQUARE, NOTHING = "row above", "square", "nothing"
"""What rows can be compared with, apart from one of them: the row above; as in the paper's Table III; nothing."""

OTHERS = "others"
"""Stands for every other row of the study on a side of a contrast."""

GOALS = "goals"
"""The family of the goals that rows state; no contrast of a file can be in it."""

MOST_CONTRASTS = 1_000

SMALL = 0.0005
"""Margins below 0.05 points are as small as fractions of 1, which they may have been meant to be."""

SMALLEST_WEIGHT, LARGEST_WEIGHT = 1e-6, 1e6
"""In size, of a row in a contrast; a weight of 0 leaves the row out."""

CANCELLED = 1e-12
"""Weights of a row that add up to less, in size, cancel: means of rows are rounded."""

Weights = tuple[tuple[str, float], ...]
"""Labels of rows, each with its weight."""


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """One question: is the accuracy of `first` that of `second`? Accuracies and the margin are fractions of 1.

    Each side is a weighted sum of rows. With a `goal`, `second` is empty, and the question is whether `first` is at
    least that.
    """

    name: str
    first: Weights
    second: Weights = ()
    goal: float | None = None
    margin: float | None = None  # differences below it are of no consequence; None: equivalence is not tested
    family: str = ""  # contrasts of one family are corrected together
    headline: str = ""  # what the first sentences of a report call it; empty: they leave it out
    levels: Levels | None = None
    note: str = ""
    stated: bool = True  # in [[contrasts]]; otherwise it follows from `compare` or a row

    @property
    def rows(self) -> dict[str, float]:
        """The weight of each row in the difference of the sides; a row whose weights cancel is not there."""
        found: dict[str, float] = {}
        for sign, side in ((1, self.first), (-1, self.second)):
            for label, weight in side:
                found[label] = found.get(label, 0.0) + sign * weight
        return {label: weight for label, weight in found.items() if abs(weight) > CANCELLED}

    @property
    def sides(self) -> tuple[Weights, Weights]:
        """The sides that are compared: as stated, or without a row whose weights cancel, those above 0 and below."""
        if {label for label, _ in (*self.first, *self.second)} == set(self.rows):
            return self.first, self.second
        return _split(self.rows)

    @property
    def corners(self) -> tuple[str, str, str, str] | None:
        """The rows of a difference of differences of four single rows: first, second, first and second of `minus`."""
        sides = [tuple(weight for _, weight in side) for side in (self.first, self.second)]
        if sides != [(1.0, -1.0), (1.0, -1.0)]:
            return None
        a, b, c, d = (label for label, _ in (*self.first, *self.second))
        return (a, b, c, d) if len({a, b, c, d}) == 4 else None


def _split(weights: Mapping[str, float]) -> tuple[Weights, Weights]:
    """The rows with a weight above 0, and those below, with its size."""
    first, second = (
        tuple((label, sign * weight) for label, weight in weights.items() if sign * weight > 0) for sign in (1, -1)
    )
    return first, second


def side_text(side: Weights) -> str:
    """A side in words: "w_net", "mean of a, b and c", "(a − b)", "2 a + 0.5 b"."""
    parts = [_sum_text([(label, sign * weight) for label, weight in side if sign * weight > 0]) for sign in (1, -1)]
    return f"({parts[0]} − {parts[1]})" if parts[1] else parts[0]


def _sum_text(part: Weights | Sequence[tuple[str, float]]) -> str:
    labels = [label for label, _ in part]
    if all(math.isclose(weight, 1 / len(part)) for _, weight in part):
        return "".join(labels) if len(labels) < 2 else f"mean of {', '.join(labels[:-1])} and {labels[-1]}"
    return " + ".join(label if weight == 1 else f"{weight:g} {label}" for label, weight in part)


def contrasts_of(study: "Study", there: Sequence[str]) -> tuple[Contrast, ...]:
    """Every contrast of a study: those that it states, those that `compare` stands for, and the goals of rows.

    A stated contrast takes the place of one of `compare` that has its name.

    there: labels of rows with finished draws, in the order of the study; without `compare` and [[contrasts]], the first
    of them is the one that the others are compared with. The row above a row is the one in the file, finished or not.
    """
    stated = {each.name for each in study.contrasts}
    found = [*study.contrasts, *(each for each in _compared(study, there) if each.name not in stated)]
    for row in study.rows:
        if (goal := goal_of(row.goal)) is not None:
            name = f"{row.label} against its goal"
            found.append(Contrast(name=name, first=((row.label, 1.0),), goal=goal, family=GOALS, stated=False))
    return tuple(found)


def _compared(study: "Study", there: Sequence[str]) -> list[Contrast]:
    """What `compare` stands for."""
    labels = [row.label for row in study.rows]
    if study.compare == ABOVE:
        return [_two_rows(label, label, before) for before, label in pairwise(labels)]
    if study.compare == NOTHING or (study.contrasts and not study.compare) or not there:
        return []
    chosen = study.compare or there[0]
    return [_two_rows(f"{label} against {chosen}", label, chosen) for label in labels if label != chosen]


def _two_rows(name: str, first: str, second: str) -> Contrast:
    return Contrast(name=name, first=((first, 1.0),), second=((second, 1.0),), stated=False)


def compare_text(study: "Study", there: Sequence[str]) -> str:
    """What `compare` stands for, as a sentence; empty for nothing."""
    if study.compare == ABOVE:
        return "Each row against the one above it."
    found = _compared(study, there)
    return f"Each row against {side_text(found[0].second)}." if found else ""


def goal_of(text: str) -> float | None:
    """The accuracy at the head of a goal, "≥ 0.991"; None for one in words."""
    found = re.match(r"≥\s*(0?\.\d+|0|1(?:\.0*)?)(?![\d.])", text)
    return float(found[1]) if found else None


def margin_note(margin: float | None) -> str:
    """What is said of a margin, a fraction of 1, that is below SMALL and may have been meant so; empty for others."""
    if margin is None or margin >= SMALL:
        return ""
    return f"the margin {100 * margin:g} is in points, as all margins are: 0.5 is half a point"


def relabelled(contrast: Contrast, names: Mapping[str, str]) -> Contrast:
    """The same contrast with other labels of rows."""
    first, second = (
        tuple((names.get(label, label), weight) for label, weight in side) for side in (contrast.first, contrast.second)
    )
    return replace(contrast, first=first, second=second)


# Files

_SIDES = ("first", "second", "minus", "weights", "goal")
_KEYS = ("name", *_SIDES, "margin", "family", "headline", "levels", "note")


def read_contrasts(tables: Any, labels: Sequence[str], place: str) -> tuple[Contrast, ...]:
    """The [[contrasts]] of a study whose rows have these labels.

    ArgumentError, in one line with the key's path and a remedy, for what is none.
    """
    if not isinstance(tables, list):
        raise ArgumentError(f"{place}: expected [[contrasts]] tables, got {shown(tables)}: write such tables")
    if len(tables) > MOST_CONTRASTS:
        raise ArgumentError(f"{place}: expected at most {MOST_CONTRASTS:,} contrasts, got more: use two files")
    known = {label: label for label in labels}
    found = [_contrast(table, known, f"{place} {number}") for number, table in enumerate(tables, 1)]
    for number, each in enumerate(found):
        if any(each.name == other.name for other in found[:number]):
            raise ArgumentError(f'{place}: expected different names, got two "{each.name}": give one a `name`')
    return tuple(found)


def papers_contrasts(labels: Sequence[str]) -> tuple[Contrast, ...]:
    """What `compare = "square"` stands for: those contrasts of the paper's Table III whose rows are among `labels`."""
    found, known = [], {label: label for label in labels}
    for table in read_document(Path(__file__).parent / "tables" / "3.toml", content="a study")["contrasts"]:
        with suppress(ArgumentError):  # it names a row that is not there
            found.append(_contrast(table, known, "3.toml"))
    return tuple(found)


def _contrast(table: Any, known: Mapping[str, str], place: str) -> Contrast:
    if not isinstance(table, dict):
        raise ArgumentError(f'{place}: expected a table, got {shown(table)}: write [[contrasts]] and first = "w_net"')
    check_keys(table, _KEYS, place)
    first, second = _sides(table, known, place)
    text = {
        key: typed(table[key], str, f"{place}.{key}") for key in ("name", "family", "headline", "note") if key in table
    }
    for key, value in text.items():
        if not value.isprintable() or not value:
            raise ArgumentError(f"{place}.{key}: expected one line of text, got {shown(value)}: change it")
    if text.get("family") == GOALS:
        raise ArgumentError(
            f'{place}.family: expected another name than "{GOALS}", the family of the goals of rows, got it: change it'
        )
    goal = _number(table, "goal", place, most=1.0)
    margin = _number(table, "margin", place, most=100.0)
    if goal is not None and margin is not None:
        raise ArgumentError(f"{place}: expected `margin` without `goal`, got both: remove one")
    usual = side_text(first) + (f" − {side_text(second)}" if goal is None else f" ≥ {goal:g}")
    found = Contrast(
        **{"name": usual, **text},
        first=first,
        second=second,
        goal=goal,
        margin=None if margin is None else margin / 100,
        levels=_levels(table.get("levels"), f"{place}.levels"),
    )
    if not found.rows:
        raise ArgumentError(f"{place}: expected different rows on the two sides, got the same: change one")
    if found.levels is not None and found.corners is None:
        raise ArgumentError(f"{place}.levels: expected a difference of differences of four rows: remove `levels`")
    return found


def _sides(table: Mapping[str, Any], known: Mapping[str, str], place: str) -> tuple[Weights, Weights]:
    """The two sides of a [[contrasts]] table."""
    given = {key for key in _SIDES if key in table}
    if given not in ({"first", "second"}, {"first", "second", "minus"}, {"weights"}, {"first", "goal"}):
        got = ", ".join(key for key in _SIDES if key in given) or "none of them"
        raise ArgumentError(
            f"{place}: expected `first` and `second` (and `minus`), `first` and `goal`, or `weights`, got {got}: "
            'write first = "w_net" and second = "no_w_net"'
        )
    if "weights" in given:
        return _weights(table["weights"], known, f"{place}.weights")
    if "goal" in given:
        return _mean(table["first"], known, f"{place}.first", ()), ()
    difference = _difference(table, known, place)
    if "minus" not in given:
        (first, second) = difference
        return first, second
    minus = table["minus"]
    if not isinstance(minus, dict) or set(minus) != {"first", "second"}:
        raise ArgumentError(
            f"{place}.minus: expected a difference, got {shown(minus)}: "
            'write { first = "w_net", second = "no_w_net" }'
        )
    return _subtracted(difference), _subtracted(_difference(minus, known, f"{place}.minus"))


def _difference(table: Mapping[str, Any], known: Mapping[str, str], place: str) -> tuple[Weights, Weights]:
    """The sides `first` and `second` of a table, each the mean of its rows."""
    first = _mean(table["first"], known, f"{place}.first", table["second"])
    second = _mean(table["second"], known, f"{place}.second", table["first"])
    if both := {label for label, _ in first} & {label for label, _ in second}:
        raise ArgumentError(f"{place}: expected each row on one side, got {shown(min(both))} on both: remove one")
    return first, second


def _subtracted(difference: tuple[Weights, Weights]) -> Weights:
    first, second = difference
    return (*first, *((label, -weight) for label, weight in second))


def _mean(value: Any, known: Mapping[str, str], place: str, opposite: Any) -> Weights:
    """A side as a file has it: a label, a list of labels for their mean, or "others" for all rows but the opposite."""
    if value == OTHERS and OTHERS not in known:
        taken = [opposite] if isinstance(opposite, str) else opposite if isinstance(opposite, list) else []
        value = [label for label in known if label not in taken]
    labels = [value] if isinstance(value, str) else value
    if not isinstance(labels, list) or not labels:
        raise ArgumentError(
            f'{place}: expected the label of a row or a list of labels, got {shown(value)}: write "w_net"'
        )
    chosen = [choose(typed(label, str, place), known, place, "row") for label in labels]
    if len(set(chosen)) < len(chosen):
        raise ArgumentError(f"{place}: expected different rows, got one twice: remove it")
    return tuple((label, 1 / len(chosen)) for label in chosen)


def _weights(table: Any, known: Mapping[str, str], place: str) -> tuple[Weights, Weights]:
    """The sides of weights that are written out: those above 0, and those below."""
    if not isinstance(table, dict) or not table:
        raise ArgumentError(f"{place}: expected weights of rows, got {shown(table)}: write {{ w_net = 1, a_net = -1 }}")
    found = {
        choose(label, known, place, "row"): typed(weight, float, f"{place}.{shown(label)}")
        for label, weight in table.items()
    }
    if not all(map(math.isfinite, found.values())) or not math.isclose(sum(found.values()), 0, abs_tol=1e-9):
        raise ArgumentError(f"{place}: expected weights that add up to 0, got others: change one")
    for label, weight in found.items():
        if weight and not SMALLEST_WEIGHT <= abs(weight) <= LARGEST_WEIGHT:
            raise ArgumentError(
                f"{place}.{shown(label)}: expected a weight of {SMALLEST_WEIGHT:g} to {LARGEST_WEIGHT:g} in size, or "
                f"0, got {weight:g}: multiply all weights by one number"
            )
    return _split(found)


def _levels(table: Any, place: str) -> Levels | None:
    if table is None:
        return None
    if isinstance(table, dict):
        check_keys(table, [field.name for field in fields(Levels)], place)
    levels: Levels = typed(table, Levels, place)
    return levels


def _number(table: Mapping[str, Any], key: str, place: str, *, most: float) -> float | None:
    """A number above 0, and at most `most`."""
    if key not in table:
        return None
    value = typed(table[key], float, f"{place}.{key}")
    if not 0 < value <= most:
        raise ArgumentError(f"{place}.{key}: expected a number above 0, up to {most:g}, got {value:g}: change it")
    return float(value)
