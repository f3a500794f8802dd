"""Compares a GPU with the CPU before anything is trained on it: a broken driver, library or card shows here."""

import math
from functools import cache

import torch

from pairnet.errors import one_line
from pairnet.models.networks import build
from pairnet.models.variants import find_variant
from pairnet.training.metrics import total_loss
from pairnet.training.optimiser import Optimiser

VARIANT = "a_w_net_bn"
"""Has every kind of layer of the paper except dropout, whose masks are drawn on the CPU anyway."""

TOLERANCE = 0.01
"""Largest relative difference of a loss. TF32 convolutions differ by about 0.001."""


@cache
def failure(device: str) -> str:
    """Why `device` cannot be trusted, in one line; empty if its losses agree with those of the CPU.

    Trains one network for one step on both. Computed once per process.
    """
    expected = _losses("cpu")
    try:
        got = _losses(device)
    except Exception as error:  # torch has no common class for what a broken installation raises
        return one_line(error)
    for name, one, other in zip(("before", "after"), expected, got, strict=True):
        if not math.isclose(one, other, rel_tol=TOLERANCE):
            return f"expected a loss of {one:.4f} {name} a training step, as on the CPU, got {other:.4f}"
    return ""


def _losses(device: str) -> tuple[float, float]:
    """The loss of a batch before and after a step of the optimiser on it."""
    variant = find_variant(VARIANT)
    random = torch.Generator().manual_seed(0)
    pair = torch.randn(25, 2, 14, 14, generator=random).to(device)
    digits = torch.randint(0, 10, (25, 2), generator=random).to(device)
    target = (digits[:, 0] <= digits[:, 1]).float()
    network = build(variant, seed=0).to(device)
    parameters = [(parameter, False) for parameter in network.parameters()]
    optimiser = Optimiser(parameters, variant.recipe, variant.recipe.learning_rate)
    losses = []
    for _ in range(2):
        optimiser.zero_grad()
        loss = total_loss(network(pair), target, digits, variant.recipe.loss_ratio)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    return losses[0], losses[1]
