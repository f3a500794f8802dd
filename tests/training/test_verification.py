"""The comparison of a GPU with the CPU, with the CPU in the GPU's place."""

import math

import pytest
import torch

from pairnet.training import verification
from pairnet.training.verification import failure


@pytest.fixture(autouse=True)
def fresh():
    failure.cache_clear()
    yield
    failure.cache_clear()


def test_the_cpu_agrees_with_itself():
    assert failure("cpu") == ""


def test_the_losses_are_those_of_a_step_that_learns():
    before, after = verification._losses("cpu")
    assert before == pytest.approx(0.5 * math.log(2) + 2 * math.log(10), rel=0.1)  # of a network that knows nothing
    assert after < before


def test_the_batch_does_not_depend_on_torchs_generator():
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    first = verification._losses("cpu")
    assert torch.equal(torch.rand(2), expected)
    assert verification._losses("cpu") == first


@pytest.mark.parametrize("wrong", [(5.0, 4.0), (float("nan"), 4.0), (4.9, 6.0)])
def test_other_losses_are_a_failure(wrong, monkeypatch):
    losses = {"cpu": (4.9, 4.0), "cuda": wrong}
    monkeypatch.setattr(verification, "_losses", losses.__getitem__)
    assert failure("cuda").startswith("expected a loss of 4.")
    assert f"got {wrong[0] if wrong[0] != 4.9 else wrong[1]:.4f}" in failure("cuda")


def test_an_exception_is_a_failure():
    """torch without CUDA raises; so does one whose driver is too old."""
    if torch.cuda.is_available():
        pytest.skip("a GPU is here")
    assert "CUDA" in failure("cuda")
    assert "\n" not in failure("cuda")
