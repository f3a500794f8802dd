"""What a study costs before it is run: core-seconds, estimated from the multiply-adds of its runs."""

from collections.abc import Sequence

from pairnet.models.recipes import steps_of_epoch
from pairnet.models.variants import count_multiply_adds
from pairnet.records.run import Run

SECONDS_PER_STEP = 7e-4
SECONDS_PER_MULTIPLY_ADD = 5e-11
"""Fitted to the runs of Tables I to III on one core of an AMD EPYC (Zen 3); most rows are within a factor of two.

Batch normalisation, which has few multiply-adds and much memory traffic, is underestimated the most.
"""

PASSES = 3
"""Multiply-adds of a training step in those of the network: forward, and backward to inputs and weights."""


def core_seconds(runs: Sequence[Run]) -> float:
    """Estimated time of some runs on one core."""
    return sum(map(_seconds, runs))


def _seconds(run: Run) -> float:
    trained = run.pairs if run.fold is None else run.pairs - run.held_out
    epochs = run.recipe.epochs
    computed = epochs * trained * PASSES + min(run.measurements, epochs) * run.held_out
    return steps_of(run) * SECONDS_PER_STEP + computed * count_multiply_adds(run.variant) * SECONDS_PER_MULTIPLY_ADD


def steps_of(run: Run) -> int:
    """Number of steps of the optimiser in a run."""
    return run.recipe.epochs * steps_of_epoch(run.recipe, run.pairs, None if run.fold is None else run.folds)
