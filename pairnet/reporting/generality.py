"""Intervals for images in general: draws share images, and the spread over draws does not show what that does.

Two draws of 2,000 out of 10,000 test images share about 400 of them. The spread over draws tells how a mean would vary
if new draws were made from the same images, so Student's interval is for these images. With other images the mean
varies more: what is hard about the images that there are is common to all draws, and no number of draws averages it
out.

The wider interval adds this covariance of draws. It is the variance of clusters in several ways (A. C. Cameron, J. B.
Gelbach, D. L. Miller, J. Business & Economic Statistics 29 (2011)), in which a pair belongs to its draw and to each of
its two images (dyads: P. M. Aronow, C. Samii, V. A. Assenova, Political Analysis 23 (2015)): the variance over draws,
plus the products of the errors of all pairs of different draws that share an image. The bootstrap over images and draws
(the pigeonhole bootstrap of A. B. Owen, Annals of Applied Statistics 1 (2007)) is for the same variance, but counts
the noise of a single answer once for each way of clustering, and answers are noisy: it is too wide.

What it leaves out: draws also share images to train on, 67 of 2,000 with full MNIST, so about a thirtieth of the
variance over networks, or less, is common to all draws as well.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairnet.data.drawing import held_out_indices
from pairnet.errors import MissingExtraError
from pairnet.records.record import RunRecord
from pairnet.records.run import Draw
from pairnet.reporting.student import CONFIDENCE, quantile, satterthwaite

ROUNDING = 1e-9
"""Accuracies that are closer are equal."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """The held-out pairs of one draw, those of all folds of a cross-validated one."""

    pool: str  # what the images are from: numbers of two pools are different images
    images: NDArray[np.int64]  # [n,2] numbers of images in it
    wrong: NDArray[np.float64]  # [n] 1 where the pair was decided wrongly, else 0
    weights: NDArray[np.float64]  # [n] of the pairs in the accuracy of the draw; their sum is 1

    @property
    def accuracy(self) -> float:
        """Of the draw, as a fraction of 1."""
        return 1 - float(self.weights @ self.wrong)


@dataclass(frozen=True, kw_only=True, eq=False)
class Term:
    """One row in a linear combination of the mean accuracies of rows."""

    coefficient: float
    draws: Mapping[Draw, Answers]


@dataclass(frozen=True, kw_only=True)
class General:
    """An estimate for images in general, as fractions of 1."""

    low: float  # 95 % interval
    high: float
    error: float  # standard error
    factor: float  # standard error as a multiple of that for these images, 1 or more


@dataclass(frozen=True, kw_only=True, eq=False)
class _Observations:
    """The errors of all pairs of a linear combination, one entry for each term, draw and pair."""

    part: NDArray[np.int64]  # [M]
    draw: NDArray[np.int64]  # [M]
    images: NDArray[np.int64]  # [M,2], numbers that are the same for the same image only
    value: NDArray[np.float64]  # [M] coefficient times weight times error


def answers_of(records: Sequence[RunRecord]) -> dict[Draw, Answers] | None:
    """The answers in each complete draw of one row.

    None if a record does not list which pairs are wrong (schema 1), or lists others than its accuracy says; if it is
    not known how many images there are; or for folds without scikit-learn.
    """
    found: dict[Draw, list[tuple[NDArray[np.int64], NDArray[np.float64]]]] = {}
    for record in records:
        try:
            images = held_out_indices(record.run)
        except MissingExtraError:
            return None
        wrong = np.zeros(record.run.held_out)
        if images is None or record.wrong is None or any(at >= len(wrong) for at, _ in record.wrong):
            return None
        wrong[[at for at, _ in record.wrong]] = 1
        if abs(1 - wrong.mean() - record.accuracy) > ROUNDING:
            return None
        found.setdefault(record.run.draw, []).append((images, wrong))
    needed = {1 if record.run.fold is None else record.run.folds for record in records}
    pools = {f"{record.run.images.checksum} {record.run.fold is None}" for record in records}
    if len(needed) != 1 or len(pools) != 1:
        return None
    complete = {draw: folds for draw, folds in found.items() if {len(folds)} == needed}
    return {
        draw: Answers(
            pool=min(pools),
            images=np.concatenate([images for images, _ in folds]),
            wrong=np.concatenate([wrong for _, wrong in folds]),
            weights=np.concatenate([np.full(len(wrong), 1 / len(folds) / len(wrong)) for _, wrong in folds]),
        )
        for draw, folds in complete.items()
    }


def general_of(parts: Sequence[Sequence[tuple[float, Sequence[RunRecord]]]]) -> General | None:
    """`in_general` of rows that are given by their coefficients and records; None also if `answers_of` has none."""
    terms = [
        [Term(coefficient=coefficient, draws=answers_of(records) or {}) for coefficient, records in part]
        for part in parts
    ]
    return in_general(terms)


def in_general(parts: Sequence[Sequence[Term]], *, confidence: float = CONFIDENCE) -> General | None:
    """The interval of a linear combination of rows for images in general.  MissingExtraError without scipy.

    The terms of one part are paired: they count over the draws that all of them have. Parts do not depend on each other
    but for the images that they share. One row is [[Term(1, row)]], a paired difference [[Term(1, a), Term(-1, b)]], an
    unpaired one [[Term(1, a)], [Term(-1, b)]]. None if a part has fewer than two draws.

    The degrees of freedom are Satterthwaite's, from those of the variance over draws and the variance of the covariance
    over images. A covariance that is estimated below 0 counts as 0, and the interval is never narrower than that for
    these images, also where few draws give that one few degrees of freedom.
    """
    common = [sorted(set.intersection(*(set(term.draws) for term in part))) for part in parts]
    if min((len(draws) for draws in common), default=0) < 2:
        return None
    estimate = 0.0
    errors: list[tuple[float, float]] = []  # variance of the mean of each part over draws, and degrees of freedom
    for part, draws in zip(parts, common, strict=True):
        values = np.array([sum(term.coefficient * term.draws[draw].accuracy for term in part) for draw in draws])
        estimate += float(values.mean())
        errors.append((float(values.var(ddof=1)) / len(draws), len(draws) - 1))
    shared, uncertainty = _covariance_of_draws(_observations(parts, common), common)
    here = sum(variance for variance, _ in errors)
    if shared > 0:
        errors.append((shared, 2 * shared**2 / uncertainty))
    variance = sum(each for each, _ in errors)
    half = max(_half_width(each, confidence) for each in (errors, errors[: len(parts)]))
    return General(
        low=estimate - half,
        high=estimate + half,
        error=variance**0.5,
        factor=(variance / here) ** 0.5 if here > 0 else 1.0,
    )


def _half_width(errors: Sequence[tuple[float, float]], confidence: float) -> float:
    """Half an interval, from parts of the variance and their degrees of freedom; 0 without any variance."""
    if not any(variance for variance, _ in errors):
        return 0.0
    variance, freedom = satterthwaite(errors)
    return float(quantile((1 + confidence) / 2, freedom) * variance**0.5)


def _observations(parts: Sequence[Sequence[Term]], common: Sequence[Sequence[Draw]]) -> _Observations:
    """Errors are of each draw around its own mean: what is common to a draw is no covariance of images."""
    every = {draw: number for number, draw in enumerate(sorted({draw for draws in common for draw in draws}))}
    pools = {each.pool: 0 for part in parts for term in part for each in term.draws.values()}
    pools = {pool: number for number, pool in enumerate(pools)}
    part, draw, images, value = [], [], [], []
    for number, (terms, draws) in enumerate(zip(parts, common, strict=True)):
        for term in terms:
            for each in draws:
                answers = term.draws[each]
                part.append(np.full(len(answers.wrong), number))
                draw.append(np.full(len(answers.wrong), every[each]))
                images.append(answers.images * len(pools) + pools[answers.pool])
                errors = answers.wrong - answers.weights @ answers.wrong
                value.append(-term.coefficient * answers.weights * errors)
    _, numbers = np.unique(np.concatenate(images), return_inverse=True)
    return _Observations(
        part=np.concatenate(part),
        draw=np.concatenate(draw),
        images=numbers.reshape(-1, 2),
        value=np.concatenate(value),
    )


def _covariance_of_draws(found: _Observations, common: Sequence[Sequence[Draw]]) -> tuple[float, float]:
    """The covariance of two draws that follows from the images they share, and the variance of this estimate.

    Each product of two errors counts once, also where the pairs share both images.
    """
    number = len(common)
    combinations = np.array([[len(a) * len(b) - len(set(a) & set(b)) for b in common] for a in common])  # [parts,parts]
    ends = [(found.images[:, side], found.value) for side in (0, 1)]
    by_image = _products(
        np.concatenate([key for key, _ in ends]),
        np.concatenate([found.draw] * 2),
        np.concatenate([found.part] * 2),
        np.concatenate([value for _, value in ends]),
        1 / combinations,
        number,
    )
    lower, upper = found.images.min(1), found.images.max(1)
    both = _products(lower * (upper.max() + 1) + upper, found.draw, found.part, found.value, 1 / combinations, number)
    return float(by_image.sum() - both.sum()), float((by_image**2).sum())


def _products(
    keys: NDArray[np.int64],
    draws: NDArray[np.int64],
    parts: NDArray[np.int64],
    values: NDArray[np.float64],
    weights: NDArray[np.float64],
    number: int,
) -> NDArray[np.float64]:
    """For each key, the sum of products of the values of different draws; `weights` [parts,parts] of the products."""
    unique, at = np.unique(keys, return_inverse=True)
    cells, cell = np.unique(at * (draws.max() + 1) + draws, return_inverse=True)
    whole, own = (
        np.stack([np.bincount(where, np.where(parts == p, values, 0.0), size) for p in range(number)]).astype(float)
        for where, size in ((at, len(unique)), (cell, len(cells)))
    )  # [parts,keys], [parts,cells]
    within = np.bincount(cells // (draws.max() + 1), _form(own, weights), len(unique))
    return _form(whole, weights) - within


def _form(values: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """[parts,n] -> [n], the quadratic form of each column."""
    return np.asarray(np.einsum("pn,pq,qn->n", values, weights, values))
