"""Executes one run with torch and makes its record."""

import hashlib
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pairnet.data.pairs import Pairs, accuracy
from pairnet.models.variants import count_parameters
from pairnet.records.calibration import BINS, Bin
from pairnet.records.record import Environment, Epoch, RunRecord
from pairnet.records.run import Run, check_trainable
from pairnet.training.loop import Trained, train_network
from pairnet.training.memory import is_out_of_memory, out_of_memory


def execute(
    run: Run,
    environment: Environment,
    pairs: Pairs,
    held_out: Pairs,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> tuple[Trained, RunRecord]:
    """Trains the run's network on `pairs` and evaluates it on `held_out`.

    What train_network raises passes through; TrainingError, "memory", if the memory of the device is too small.
    ArgumentError for a run of a network that was trained elsewhere.
    """
    check_trainable(run)
    start = time.perf_counter()
    try:
        trained = train_network(
            run.variant,
            pairs,
            held_out,
            recipe=run.recipe,
            weight_seed=run.seeds.weights,
            order_seed=run.seeds.order,
            mask_seed=run.seeds.masks,
            device=run.device,
            measurements=run.measurements,
            on_epoch=on_epoch,
        )
    except (MemoryError, RuntimeError) as error:
        if is_out_of_memory(error):
            raise out_of_memory(run.variant, run.device) from None
        raise
    return trained, record_of(run, environment, held_out, trained, time.perf_counter() - start)


def record_of(run: Run, environment: Environment, held_out: Pairs, trained: Trained, seconds: float) -> RunRecord:
    """The record of a trained run that took `seconds` of wall time."""
    probability = trained.probability.numpy()  # [n]
    targets = held_out.targets
    wrong = np.flatnonzero((probability > 0.5) != (targets > 0.5))
    return RunRecord(
        fingerprint=run.fingerprint,
        run=run,
        environment=environment,
        parameters=count_parameters(run.variant),
        mean=trained.moments.mean,
        std=trained.moments.std,
        epochs=trained.epochs,
        accuracy=accuracy(probability, targets),
        seconds=seconds,
        calibration=reliability(probability, targets),
        wrong=tuple((int(at), round(float(probability[at]), 6)) for at in wrong),
        answers_sha256=answers_digest(probability),
    )


def reliability(probability: NDArray[np.float32], target: NDArray[np.float32]) -> tuple[Bin, ...]:
    """Count pairs in BINS bins of equal width over [0, 1].

    probability [N]: P(first <= second). target [N]: 1 if the first digit is equal to or less, else 0.
    """
    indices = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(indices, minlength=BINS)
    sums = np.bincount(indices, weights=probability, minlength=BINS)
    in_order = np.bincount(indices, weights=target, minlength=BINS).astype(np.int64)
    return tuple((int(n), round(float(s), 6), int(k)) for n, s, k in zip(counts, sums, in_order, strict=True))


def answers_digest(probability: NDArray[np.float32]) -> str:
    """SHA-256 of the float32 probabilities of all held-out pairs, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(probability, "<f4").tobytes()).hexdigest()
