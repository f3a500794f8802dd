"""Executes one job with torch and makes its record."""

import hashlib
import time
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from pairnet.data.pairs import Pairs, accuracy
from pairnet.models.variants import count_parameters
from pairnet.study.jobs import Job
from pairnet.study.records import Environment, RunRecord
from pairnet.training.calibration import reliability
from pairnet.training.history import Epoch
from pairnet.training.loop import Trained, train_network


def execute(
    job: Job,
    environment: Environment,
    pairs: Pairs,
    held_out: Pairs,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> tuple[Trained, RunRecord]:
    """Trains the job's network on `pairs` and evaluates it on `held_out`.  What train_network raises passes through."""
    run = job.run
    start = time.perf_counter()
    trained = train_network(
        run.variant,
        pairs,
        held_out,
        recipe=run.recipe,
        weight_seed=run.seeds.weights,
        order_seed=run.seeds.order,
        device=run.device,
        measurements=run.measurements,
        on_epoch=on_epoch,
    )
    return trained, record_of(job, environment, held_out, trained, time.perf_counter() - start)


def record_of(job: Job, environment: Environment, held_out: Pairs, trained: Trained, seconds: float) -> RunRecord:
    """The record of a trained job that took `seconds` of wall time."""
    run = job.run
    probability = trained.probability.numpy()  # [n]
    targets = held_out.targets
    wrong = np.flatnonzero((probability > 0.5) != (targets > 0.5))
    return RunRecord(
        fingerprint=job.fingerprint,
        label=run.name,
        variant=run.variant,
        parameters=count_parameters(run.variant),
        data=job.data,
        pairs=run.pairs,
        test_pairs=run.tested,
        seeds=run.seeds,
        fold=run.fold,
        folds=run.folds,
        mean=trained.moments.mean,
        std=trained.moments.std,
        epochs=trained.epochs,
        measurements=sum(epoch.measured for epoch in trained.epochs),
        accuracy=accuracy(probability, targets),
        seconds=seconds,
        environment=environment,
        calibration=reliability(probability, targets),
        wrong=tuple((int(at), round(float(probability[at]), 6)) for at in wrong),
        answers_sha256=answers_digest(probability),
    )


def answers_digest(probability: NDArray[np.float32]) -> str:
    """SHA-256 of the float32 probabilities of all held-out pairs, little-endian."""
    return hashlib.sha256(np.ascontiguousarray(probability, "<f4").tobytes()).hexdigest()
