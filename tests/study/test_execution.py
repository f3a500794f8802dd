"""The record of a run holds what its network answered: every figure is computed again from the answers."""

import hashlib
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch

from pairnet.data.drawing import draw
from pairnet.errors import TrainingError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.study.environment import environment
from pairnet.study.events import failed
from pairnet.study.execution import answers_digest, execute


@pytest.fixture(scope="module")
def run(glyph_set):
    variant = replace(find_variant("conv_1"), recipe=Recipe(epochs=1))
    return Run(variant=variant, images=glyph_set.images, pairs=100, test_pairs=130)


@pytest.fixture(scope="module", params=[None, 1], ids=["tested", "cross-validated"])
def executed(request, glyph_set, run):
    """Answers [n], targets [n] and the record of a run."""
    run = replace(run, fold=request.param)
    pairs, held_out = draw(run, glyph_set)
    trained, record = execute(run, environment("cpu", engine="single"), pairs, held_out)
    return trained.probability.numpy(), held_out.targets > 0.5, record


def test_wrong_pairs_are_named_with_their_probabilities(executed):
    probability, targets, record = executed
    wrong = np.flatnonzero((probability > 0.5) != targets)
    assert 0 < len(wrong) < len(targets)
    assert [at for at, _ in record.wrong] == wrong.tolist()
    assert [p for _, p in record.wrong] == pytest.approx(probability[wrong].tolist(), abs=1e-6)
    assert record.accuracy == pytest.approx(1 - len(wrong) / len(targets))


def test_the_digest_is_that_of_all_answers(executed):
    probability, _, record = executed
    assert record.answers_sha256 == hashlib.sha256(probability.astype("<f4").tobytes()).hexdigest()
    changed = probability.copy()
    changed[0] += np.float32(1e-6)  # the same decision
    assert answers_digest(changed) != record.answers_sha256


def test_the_bins_are_those_of_the_answers(executed):
    probability, targets, record = executed
    assert sum(n for n, _, _ in record.calibration) == len(targets)
    assert sum(total for _, total, _ in record.calibration) == pytest.approx(float(probability.sum()), abs=1e-3)
    assert sum(k for _, _, k in record.calibration) == int(targets.sum())


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("DefaultCPUAllocator: not enough memory"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_run_that_does_not_fit_into_memory_is_a_failed_run(glyph_set, run, monkeypatch, error):
    def train(*_, **__):
        raise error

    monkeypatch.setattr("pairnet.study.execution.train_network", train)
    with pytest.raises(TrainingError, match="conv_1: the memory of cpu is too small") as caught:
        execute(run, environment("cpu", engine="single"), *draw(run, glyph_set))
    found = pickle.loads(pickle.dumps(failed(run, caught.value)))  # as between processes
    assert (found.run, found.kind, found.epoch, found.reason) == (run, "memory", None, str(caught.value))


def test_another_error_of_training_passes_through(glyph_set, run, monkeypatch):
    def train(*_, **__):
        raise RuntimeError("a bug")

    monkeypatch.setattr("pairnet.study.execution.train_network", train)
    with pytest.raises(RuntimeError, match="a bug"):
        execute(run, environment("cpu", engine="single"), *draw(run, glyph_set))
