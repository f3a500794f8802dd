"""Simulated studies: records of networks that are not trained, from a stated model of draws, images and pairs.

A pair of images i and j is decided rightly by row r in draw d with the probability

    P = level_r + a_ri + a_rj + t_d + w_rd

- a_ri: what image i is for row r. A share HARD of images costs HARDNESS, the others bring a little, 0 on average. What
  is hard for one row is hard for all, but for a share OWN of images, where each row draws by itself.
- t_d: the mean over the images that draw d trains on of +1 or -1 each, scaled; w_rd: the weights, normal. Both have the
  standard deviation SPREAD.
- Networks that are tested on the same pair agree beyond that: for a share ALIKE of the pairs they have one chance.

All images are new in each study, so the expected accuracy is level_r for images in general. For the images of the study
it is level_r + 2 mean(a_r) + the scaled mean over all training images. Which images a draw takes is what pairnet's own
function draws from 60,000 training images and 10,000 test images.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairnet.data.drawing import held_out_indices
from pairnet.data.pairs import draw_indices
from pairnet.data.sources import MNIST_NUMBERS
from pairnet.models.paper import Printed
from pairnet.models.variants import find_variant
from pairnet.records.record import Environment, Epoch, RunRecord
from pairnet.records.run import PAPER_PAIRS, Images, Run
from pairnet.reporting.sensitivity import PAPER_DRAWS

HARD, HARDNESS, OWN = 0.05, 0.34, 0.05
SPREAD = 0.003
ALIKE = 0.7

IMAGES = Images(name="mnist", source="mnist", origin="simulated", checksum="0" * 64, classes=10)
EPOCH = Epoch(
    train_loss=0.5,
    train_auxiliary_loss=None,
    train_accuracy=0.5,
    validation_loss=0.5,
    validation_auxiliary_loss=None,
    validation_accuracy=0.5,
    validation_digit_accuracy=None,
)
NOWHERE = Environment(versions={}, hardware="none", revision="none")


@dataclass(frozen=True, kw_only=True, eq=False)
class World:
    """The images of one study, and what they are for each of R rows."""

    images: NDArray[np.float64]  # [R,10000]: a_ri
    training: NDArray[np.float64]  # [60000]: parts of t_d, scaled
    levels: NDArray[np.float64]  # [R] expected accuracy for images in general

    @property
    def here(self) -> NDArray[np.float64]:
        """Expected accuracy of each row for these images.  [R]"""
        return np.asarray(self.levels + 2 * self.images.mean(1) + self.training.mean())


def world(rng: np.random.Generator, *, levels: NDArray[np.float64]) -> World:
    """New images for rows of these levels [R]."""
    train, test = MNIST_NUMBERS
    hard, own = rng.uniform(size=test) < HARD, rng.uniform(size=test) < OWN
    each = np.where(own, rng.uniform(size=(len(levels), test)) < HARD, hard)
    scale = SPREAD * (2 * PAPER_PAIRS) ** 0.5
    return World(
        images=np.where(each, -HARDNESS, HARDNESS * HARD / (1 - HARD)),
        training=scale * rng.choice([-1.0, 1.0], train),
        levels=levels,
    )


def records(rng: np.random.Generator, made: World, labels: tuple[str, ...], seeds: range) -> dict[str, list[RunRecord]]:
    """The records of all rows over draws of these seeds, which test all rows of a draw on the same pairs."""
    found: dict[str, list[RunRecord]] = {label: [] for label in labels}
    for seed in seeds:
        first = _run(labels[0], seed)
        indices = held_out_indices(first)
        assert indices is not None
        right = answers(rng, made, indices, train_seed=first.seeds.train_draw, chance=common_chance(rng))
        for label, own in zip(labels, right, strict=True):
            found[label].append(_record(_run(label, seed), own))
    return found


def common_chance(rng: np.random.Generator) -> NDArray[np.float64]:
    """The chance of each of 1,000 pairs that networks share; NaN where each has its own."""
    return np.where(rng.uniform(size=PAPER_PAIRS) < ALIKE, rng.uniform(size=PAPER_PAIRS), np.nan)


def answers(
    rng: np.random.Generator,
    made: World,
    indices: NDArray[np.int64],
    *,
    train_seed: int,
    chance: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Whether each row decides each pair [n,2] rightly in one draw, with the common chance [n].  [R,n]"""
    trained = made.training[draw_indices(len(made.training), count=PAPER_PAIRS, seed=train_seed)].mean()
    networks = made.levels + trained + SPREAD * rng.normal(size=len(made.levels))
    rates = networks[:, None] + made.images[:, indices].sum(-1)
    return np.asarray(np.where(np.isnan(chance), rng.uniform(size=rates.shape), chance) < rates)


def printed(rng: np.random.Generator, made: World, seeds: range, *, one_test_set: bool) -> list[Printed]:
    """What a paper prints on these rows: ten tests of each, on pairs of their own or all on those of the first."""
    tests = []
    for number, seed in enumerate(seeds[:PAPER_DRAWS]):
        if number == 0 or not one_test_set:
            indices = draw_indices(MNIST_NUMBERS[1], count=PAPER_PAIRS, seed=2 * seed + 1)
            chance = common_chance(rng)
        tests.append(answers(rng, made, indices, train_seed=2 * seed, chance=chance).mean(1))
    return [
        Printed(mean=float(mean), std=float(std))
        for mean, std in zip(np.mean(tests, 0), np.std(tests, 0, ddof=1), strict=True)
    ]


def _run(label: str, seed: int) -> Run:
    return Run(variant=find_variant("fc_1"), images=IMAGES, label=label, seed=seed)


def _record(run: Run, right: NDArray[np.bool_]) -> RunRecord:
    return RunRecord(
        fingerprint="simulated",
        run=run,
        environment=NOWHERE,
        parameters=1,
        mean=0.0,
        std=1.0,
        epochs=(EPOCH,),
        accuracy=float(right.mean()),
        seconds=0.0,
        wrong=tuple((int(at), 0.5) for at in np.flatnonzero(~right)),
    )
