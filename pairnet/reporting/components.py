"""Variance components of a crossed design: how much of the spread is pairs, test pairs, weights, order and masks."""

import itertools
import math
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pairnet.records.record import RunRecord
from pairnet.records.run import Draw
from pairnet.records.seeds import Seeds
from pairnet.reporting.student import CONFIDENCE

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLES = 20_000
"""Values of the generalised pivots behind an interval."""

TINY = 1e-300
"""In place of a variance of 0 below a fraction."""

TOGETHER = "combinations"
"""The source of what only several streams together decide."""


@dataclass(frozen=True, kw_only=True)
class Component:
    """The part of the variance of one source. Standard deviations are fractions of 1, shares are of the variance."""

    source: str  # a stream, several that change together, or TOGETHER
    levels: int | None  # seeds of it; None for TOGETHER
    std: float
    std_low: float
    std_high: float
    share: float
    share_low: float
    share_high: float
    joint: float | None  # share with all combinations that the source is in; None for TOGETHER
    joint_low: float | None
    joint_high: float | None


@dataclass(frozen=True, kw_only=True)
class Components:
    """The analysis of one row whose streams are crossed; accuracies as fractions of 1.

    `std` is that of a run for which everything that was varied is drawn again, and `low` and `high` bound the 95 %
    interval of the mean over all such runs. All are None, and there are no sources, while combinations are missing.
    """

    runs: int  # combinations that are there
    missing: int  # combinations that are not: planned, failed, or of the seeds there are
    held: tuple[str, ...]  # streams that all runs share: what is said holds for these seeds of them
    mean: float | None
    std: float | None
    low: float | None
    high: float | None
    sources: tuple[Component, ...]
    binomial: float | None  # standard deviation that drawing so many test pairs brings by itself; None: no test pairs


def components_of(
    records: Sequence[RunRecord], accuracies: Mapping[Draw, float], *, wanted: Set[Seeds] = frozenset()
) -> Components | None:
    """The analysis of a row; None where its seeds change together, as those of draws do.

    accuracies: of the finished draws of `records`.
    wanted: the seeds of runs that belong to the row, finished or not. Survivors of a design that lost a whole level to
    failures are complete by themselves, and no random sample of it.
    """
    seeds = {record.run.draw: record.run.seeds for record in records if record.run.draw in accuracies}
    every = {*seeds.values(), *wanted}
    factors, held = _factors(every)
    if len(factors) < 2:
        return None
    levels = [sorted({each.by_stream()[names[0]] for each in every}) for names in factors]
    sizes = [len(each) for each in levels]
    run = records[0].run
    tested = None if run.fold is not None else run.tested
    if (missing := math.prod(sizes) - len(seeds)) != 0:
        return Components(
            runs=len(seeds),
            missing=missing,
            held=held,
            mean=None,
            std=None,
            low=None,
            high=None,
            sources=(),
            binomial=None,
        )
    import numpy as np

    table = np.empty(sizes)
    for draw, each in seeds.items():
        at = [one.index(each.by_stream()[names[0]]) for one, names in zip(levels, factors, strict=True)]
        table[tuple(at)] = accuracies[draw]
    return analyse(table, [", ".join(names) for names in factors], held=held, tested=tested)


def _factors(seeds: Collection[Seeds]) -> tuple[list[list[str]], tuple[str, ...]]:
    """Streams that vary, those that change together as one; and those that all runs share."""
    rows = [each.by_stream() for each in seeds]
    varied: list[list[str]] = []
    held = []
    for name in rows[0] if rows else ():
        count = len({row[name] for row in rows})
        if count == 1:
            held.append(name)
            continue
        for names in varied:
            if len({(row[names[0]], row[name]) for row in rows}) == count == len({row[names[0]] for row in rows}):
                names.append(name)
                break
        else:
            varied.append([name])
    for names in (*varied, held):  # masks follow the weights
        if "weights" in names and "masks" in names:
            names.remove("masks")
    return varied, tuple(held)


def mean_squares(table: "NDArray[np.float64]") -> dict[tuple[int, ...], tuple[float, int]]:
    """Mean square and degrees of freedom of each effect of a balanced crossed table with one value in each cell.

    An effect is named by its axes, those of one axis first; the one of all axes stands for what is left. All are
    independent if effects are normal (Searle, Casella, McCulloch: Variance Components, 1992, chapter 4).
    """
    found = {}
    axes = range(table.ndim)
    for size in range(1, table.ndim + 1):
        for chosen in itertools.combinations(axes, size):
            effect = table
            for axis in axes:
                mean = effect.mean(axis, keepdims=True)
                effect = effect - mean if axis in chosen else mean
            repeated = math.prod(table.shape[axis] for axis in axes if axis not in chosen)
            freedom = math.prod(table.shape[axis] - 1 for axis in chosen)
            found[chosen] = (float((effect**2).sum()) * repeated / freedom, freedom)
    return found


def coefficients(shape: Sequence[int]) -> dict[tuple[int, ...], dict[tuple[int, ...], float]]:
    """Each variance component as a combination of mean squares, by the method of moments for a balanced table.

    A mean square expects the sum of the components of all effects that contain its axes, each times the number of
    cells in one of that effect's levels; this is solved by inclusion and exclusion (Searle et al., chapter 4).
    """
    axes = range(len(shape))
    effects = [chosen for size in range(1, len(shape) + 1) for chosen in itertools.combinations(axes, size)]
    return {
        one: {
            other: (-1) ** (len(other) - len(one)) / math.prod(shape[axis] for axis in axes if axis not in one)
            for other in effects
            if set(one) <= set(other)
        }
        for one in effects
    }


def analyse(
    table: "NDArray[np.float64]", names: Sequence[str], *, held: tuple[str, ...] = (), tested: int | None = None
) -> Components:
    """The variance components of a table of accuracies, one axis for each of `names`, two levels or more on each.

    The model has random effects: each stream and each combination of streams adds a value drawn by itself. Estimates
    are those of the method of moments; a negative sum is 0. Intervals are generalised ones (S. Weerahandi:
    Generalized Confidence Intervals, Journal of the American Statistical Association 88, 1993): each expected mean
    square is replaced by freedom * mean square / chi-squared. Few levels make them wide: two give one degree of
    freedom. In simulations of two and three streams (tests/reporting/test_components.py) they hold the truth in 92 to
    99 % of tables; that of the combinations of four streams with three levels each only in 87 %.

    tested: number of test pairs, for the binomial part.
    """
    import numpy as np

    squares, solved = mean_squares(table), coefficients(table.shape)
    effects = list(squares)
    rng = np.random.default_rng(0)
    pivots = {
        each: freedom * square / rng.chisquare(freedom, SAMPLES) for each, (square, freedom) in squares.items()
    }  # [samples] each
    found = np.array([[sum(c * squares[at][0] for at, c in solved[each].items())] for each in effects])  # [effects,1]
    drawn = np.array([sum(c * pivots[at] for at, c in solved[each].items()) for each in effects])  # [effects,samples]
    cells = np.array([[math.prod(table.shape[axis] for axis in each)] for each in effects])
    low, high = _ends(table.mean() - rng.standard_normal(SAMPLES) * np.sqrt(np.maximum((drawn / cells).sum(0), 0)))
    alone = [[effects.index((axis,))] for axis in range(table.ndim)]
    others = [[at for at, each in enumerate(effects) if axis not in each] for axis in range(table.ndim)]
    parts = [*alone, [at for at, each in enumerate(effects) if len(each) > 1]]

    def variance(of: list[int], values: "NDArray[np.float64]") -> "NDArray[np.float64]":
        """The sum of some components, which is no less than 0; each of them may be."""
        return np.asarray(np.maximum(values[of].sum(0), 0))

    total, totals = (np.sum([variance(part, values) for part in parts], 0) for values in (found, drawn))

    def share(of: list[int]) -> tuple[float, float, float]:
        """Share of the variance with its interval."""
        one = np.minimum(variance(of, found) / np.maximum(total, TINY), 1)
        return float(one[0]), *_ends(np.minimum(variance(of, drawn) / np.maximum(totals, TINY), 1))

    def component(source: str, levels: int | None, own: list[int], without: list[int] | None) -> Component:
        std_low, std_high = _ends(np.sqrt(variance(own, drawn)))
        own_share, own_low, own_high = share(own)
        rest = None if without is None else share(without)
        return Component(
            source=source,
            levels=levels,
            std=float(np.sqrt(variance(own, found))[0]),
            std_low=std_low,
            std_high=std_high,
            share=own_share,
            share_low=own_low,
            share_high=own_high,
            joint=None if rest is None else 1 - rest[0],
            joint_low=None if rest is None else 1 - rest[2],
            joint_high=None if rest is None else 1 - rest[1],
        )

    mean = float(table.mean())
    return Components(
        runs=table.size,
        missing=0,
        held=held,
        mean=mean,
        std=math.sqrt(total[0]),
        low=low,
        high=high,
        sources=(
            *map(component, names, table.shape, alone, others),
            component(TOGETHER, None, parts[-1], None),
        ),
        binomial=None if tested is None else math.sqrt(mean * (1 - mean) / tested),
    )


def _ends(values: "NDArray[np.float64]") -> tuple[float, float]:
    """The ends of the interval that holds the middle of some values."""
    import numpy as np

    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, (tail, 1 - tail))
    return float(low), float(high)
