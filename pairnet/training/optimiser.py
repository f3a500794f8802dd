"""Adam over parameters that share one block of memory: one call per step for all of them.

torch's own functions do the steps. Its class torch.optim.Adam is not used: creating one imports torch's compiler, which
takes a new process longer than training a small network.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw

from pairnet.models.recipes import Recipe

EPSILON = 1e-8
"""Added to the root of the second moment, as torch does by default."""


class Optimiser:
    """Adam or AdamW over `parameters`, each given with whether weight decay applies to it (kernels and matrices only).

    The parameters and their gradients become views of one block of memory per group. `learning_rate` is that of the
    next step; with a tensor on a GPU, steps can be captured in a CUDA graph.
    """

    def __init__(
        self, parameters: Sequence[tuple[Tensor, bool]], recipe: Recipe, learning_rate: float | Tensor
    ) -> None:
        decayed = [parameter for parameter, decays in parameters if decays and recipe.weight_decay]
        others = [parameter for parameter, decays in parameters if not (decays and recipe.weight_decay)]
        self.learning_rate = learning_rate
        self._function = adam if recipe.optimiser == "adam" else adamw
        self._betas = recipe.betas
        self._groups = [
            _group(members, decay) for members, decay in ((decayed, recipe.weight_decay), (others, 0.0)) if members
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Changes the parameters by their gradients."""
        for group in self._groups:
            self._function(
                *([group.values], [group.gradients], [group.mean], [group.square], [], [group.steps]),
                fused=True,
                amsgrad=False,
                beta1=self._betas[0],
                beta2=self._betas[1],
                lr=self.learning_rate,
                weight_decay=group.weight_decay,
                eps=EPSILON,
                maximize=False,
            )

    def zero_grad(self) -> None:
        """Sets all gradients to zero."""
        for group in self._groups:
            group.gradients.zero_()

    def forget(self) -> None:
        """Sets the moving averages back to those before the first step; the parameters stay as they are."""
        for group in self._groups:
            for value in (group.mean, group.square, group.steps):
                value.zero_()


class _Group(NamedTuple):
    """Parameters with one weight decay. All tensors but `steps` have one element for each parameter."""

    weight_decay: float
    values: Tensor
    gradients: Tensor
    mean: Tensor  # moving average of the gradients
    square: Tensor  # moving average of their squares
    steps: Tensor  # number of steps so far, a float32 scalar


def _group(parameters: Sequence[Tensor], weight_decay: float) -> _Group:
    """Moves `parameters` into one block of memory, and their gradients into another."""
    size, device = sum(parameter.numel() for parameter in parameters), parameters[0].device
    values = torch.empty(size, device=device)
    gradients, mean, square = (torch.zeros(size, device=device) for _ in range(3))
    start = 0
    for parameter in parameters:
        place = (parameter.shape, parameter.stride(), start)
        parameter.data = values.as_strided(*place).copy_(parameter.detach())
        parameter.grad = gradients.as_strided(*place)
        start += parameter.numel()
    return _Group(weight_decay, values, gradients, mean, square, torch.zeros((), device=device))
