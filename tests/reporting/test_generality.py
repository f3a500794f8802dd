"""Intervals for images in general: against a sum over all pairs of answers, and against planted truths."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from record_examples import record
from scipy import stats

from pairnet.data.drawing import draw_held_out, held_out_indices
from pairnet.data.idx import write_idx
from pairnet.data.sources import load_dataset
from pairnet.reporting.generality import Answers, Term, answers_of, in_general
from pairnet.reporting.summaries import interval_of_mean


def answers(rng, images, pairs, *, pool="a", hard=None):
    """One draw of pairs out of so many images; those that are hard are wrong more often."""
    drawn = rng.permutation(images)[: 2 * pairs].reshape(-1, 2)
    rate = 0.2 if hard is None else 0.05 + 0.3 * hard[drawn].mean(1)
    wrong = (rng.uniform(size=pairs) < rate).astype(float)
    return Answers(pool=pool, images=drawn, wrong=wrong, weights=np.full(pairs, 1 / pairs))


def row(rng, draws, images=30, pairs=10, **options):
    return {(seed,): answers(rng, images, pairs, **options) for seed in range(draws)}


def brute_force(parts):
    """(estimate, variance) by a loop over all pairs of answers of different draws that share an image."""
    estimate = between = shared = 0.0
    listed = []
    for part in parts:
        common = sorted(set.intersection(*(set(term.draws) for term in part)))
        values = [sum(t.coefficient * (1 - t.draws[draw].wrong.mean()) for t in part) for draw in common]
        estimate += np.mean(values)
        between += np.var(values, ddof=1) / len(values)
        listed.append(
            [
                (draw, {(term.draws[draw].pool, int(image)) for image in pair}, -term.coefficient * (w - mean) / n)
                for term in part
                for draw in common
                for mean, n in [(term.draws[draw].wrong.mean(), len(term.draws[draw].wrong))]
                for pair, w in zip(term.draws[draw].images, term.draws[draw].wrong, strict=True)
            ]
        )
    for one, other in product(listed, repeat=2):
        draws = [{draw for draw, *_ in each} for each in (one, other)]
        combinations = sum(a != b for a, b in product(*draws))
        products = sum(x * y for (d, i, x), (e, j, y) in product(one, other) if d != e and i & j)
        shared += products / combinations
    return estimate, between, shared


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "kind", ["one row", "paired", "unpaired", "other draws", "difference of differences", "other images"]
)
def test_it_is_the_sum_over_all_pairs_of_answers_that_share_an_image(kind, seed):
    rng = np.random.default_rng(seed)
    hard = (rng.uniform(size=30) < 0.3).astype(float)
    a, b, c, d = (row(rng, draws, hard=hard) for draws in (4, 4, 5, 3))
    other = row(rng, 3, pool="b")
    parts = {
        "one row": [[Term(coefficient=1, draws=a)]],
        "paired": [[Term(coefficient=1, draws=a), Term(coefficient=-1, draws=c)]],
        "unpaired": [[Term(coefficient=1, draws=a)], [Term(coefficient=-1, draws=d)]],
        "other draws": [  # draws 0 to 3 and 2 to 6: neither has all of the other
            [Term(coefficient=1, draws=a)],
            [Term(coefficient=-1, draws={(draw + 2,): each for (draw,), each in c.items()})],
        ],
        "difference of differences": [
            [Term(coefficient=1, draws=a), Term(coefficient=-1, draws=b)],
            [Term(coefficient=-1, draws=c), Term(coefficient=1, draws=d)],
        ],
        "other images": [[Term(coefficient=1, draws=a)], [Term(coefficient=-1, draws=other)]],
    }[kind]
    estimate, between, shared = brute_force(parts)
    found = in_general(parts)
    assert (found.low + found.high) / 2 == pytest.approx(estimate)
    assert found.error**2 == pytest.approx(between + max(0, shared))
    assert found.factor == pytest.approx((found.error**2 / between) ** 0.5)
    assert found.factor >= 1
    if kind == "one row":
        low, high = interval_of_mean([each.accuracy for each in a.values()])
        assert found.low <= low + 1e-12
        assert found.high >= high - 1e-12


def test_draws_without_a_common_image_have_students_interval():
    rng = np.random.default_rng(0)
    drawn = {(seed,): replace(answers(rng, 2000, 1000), pool=str(seed)) for seed in range(6)}
    found = in_general([[Term(coefficient=1, draws=drawn)]])
    assert (found.low, found.high) == pytest.approx(interval_of_mean([each.accuracy for each in drawn.values()]))
    assert found.factor == 1


def test_no_interval_without_two_common_draws():
    rng = np.random.default_rng(0)
    one, two = row(rng, 1), row(rng, 2)
    assert in_general([[Term(coefficient=1, draws=one)]]) is None
    assert in_general([[Term(coefficient=1, draws=one), Term(coefficient=-1, draws=two)]]) is None
    assert in_general([[Term(coefficient=1, draws=two)], [Term(coefficient=-1, draws=one)]]) is None
    same = {draw: replace(each, wrong=np.zeros(10)) for draw, each in two.items()}
    found = in_general([[Term(coefficient=1, draws=same)]])
    assert (found.low, found.high, found.factor) == (1, 1, 1)


def test_all_draws_on_the_same_few_images_are_one_sample_of_images():
    """With all images in each draw, accuracy varies over sets of images as the mean difficulty does."""
    rng, found, means = np.random.default_rng(3), [], []
    for _ in range(300):
        hard = (rng.uniform(size=400) < 0.3).astype(float)
        drawn = row(rng, 20, images=400, pairs=200, hard=hard)
        found.append(in_general([[Term(coefficient=1, draws=drawn)]]))
        means.append(np.mean([each.accuracy for each in drawn.values()]))
    assert np.mean([each.error**2 for each in found]) == pytest.approx(np.var(means), rel=0.25)
    truth = 1 - (0.05 + 0.3 * 0.3)
    covered = sum(each.low <= truth <= each.high for each in found)
    assert covered >= stats.binom(300, 0.95).ppf(0.001)
    assert np.mean([each.factor for each in found]) > 1.5


@pytest.mark.parametrize("source", ["mnist5k", "glyphs:300", "idx"])
def test_a_record_has_the_images_of_its_pairs(source, tmp_path):
    """The indices are drawn again without any image, of test pairs and of folds."""
    if source == "idx":
        source = f"idx:{tmp_path}"
        glyphs = load_dataset("glyphs:120")
        for part, pool in (("train", glyphs.train), ("t10k", glyphs.test)):
            pixels, labels = pool.take(np.arange(len(pool)))
            write_idx(tmp_path / f"{part}-images-idx3-ubyte", pixels)
            write_idx(tmp_path / f"{part}-labels-idx1-ubyte", labels)
    dataset = load_dataset(source)
    made = [
        record(seed, images=dataset.images, pairs=40, test_pairs=30, fold=fold, folds=4, accuracy=0.8)
        for seed in (0, 1)
        for fold in (None, 0, 1, 2, 3)
    ]
    for each in made:
        assert np.array_equal(held_out_indices(each.run), draw_held_out(each.run, dataset).indices)
    tested, folds = ([each for each in made if (each.run.fold is None) == kind] for kind in (True, False))
    for records, pairs in ((tested, 30), (folds, 40)):
        found = answers_of(records)
        assert set(found) == {(0,), (1,)}
        assert [each.images.shape for each in found.values()] == [(pairs, 2)] * 2
        assert [each.accuracy for each in found.values()] == pytest.approx([0.8, 0.8])
    assert set(answers_of(folds[:-1])) == {(0,)}


@pytest.mark.parametrize(
    "changed",
    [
        {"wrong": None},
        {"wrong": ((0, 0.5),)},
        {"wrong": ((10**6, 0.5),)},
        {"images": replace(record().run.images, name="idx:mine", source="idx:/mine")},
        {"images": replace(record().run.images, name="glyphs", source="glyphs:many")},
        {"images": replace(record().run.images, name="glyphs", source="glyphs:100")},
    ],
)
def test_records_that_do_not_say_enough_have_no_such_interval(changed):
    assert answers_of([record(0), record(1)]) is not None
    assert answers_of([record(0), record(1, **changed)]) is None
