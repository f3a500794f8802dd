"""Adam, AdamW or SGD over parameters that share one block of memory: one call per step for all of them.

torch's own functions do the steps. Its classes, such as torch.optim.Adam, are not used: creating one imports torch's
compiler, which takes a new process longer than training a small network.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.adamw import adamw
from torch.optim.sgd import sgd

from pairnet.models.recipes import Recipe

EPSILON = 1e-8
"""Added to the root of the second moment, as torch does by default."""


class Optimiser:
    """The recipe's optimiser over `parameters`, each given with whether weight decay applies to it.

    The parameters and their gradients become views of one block of memory per group. `learning_rate` is that of the
    next step; with a tensor on a GPU, steps can be captured in a CUDA graph.
    """

    def __init__(
        self, parameters: Sequence[tuple[Tensor, bool]], recipe: Recipe, learning_rate: float | Tensor
    ) -> None:
        decayed = [parameter for parameter, decays in parameters if decays and recipe.weight_decay]
        others = [parameter for parameter, decays in parameters if not (decays and recipe.weight_decay)]
        self.learning_rate = learning_rate
        self._recipe = recipe
        self._groups = [
            _group(members, decay) for members, decay in ((decayed, recipe.weight_decay), (others, 0.0)) if members
        ]

    @torch.no_grad()
    def step(self) -> None:
        """Changes the parameters by their gradients."""
        for group in self._groups:
            if self._recipe.optimiser == "sgd":
                self._step_of_sgd(group)
            else:
                self._step_of_adam(group)

    def _step_of_adam(self, group: "_Group") -> None:
        function = adam if self._recipe.optimiser == "adam" else adamw
        function(
            *([group.values], [group.gradients], [group.mean], [group.square], [], [group.steps]),
            fused=True,
            amsgrad=False,
            beta1=self._recipe.betas[0],
            beta2=self._recipe.betas[1],
            lr=self.learning_rate,
            weight_decay=group.weight_decay,
            eps=EPSILON,
            maximize=False,
        )

    def _step_of_sgd(self, group: "_Group") -> None:
        # torch's class stores the first gradient as the momentum; adding it to zeros, as here, is the same
        sgd(
            [group.values],
            [group.gradients],
            [group.mean],
            fused=True,
            weight_decay=group.weight_decay,
            momentum=self._recipe.momentum,
            lr=self.learning_rate,  # type: ignore[arg-type]  # torch takes a tensor too, if fused
            dampening=0.0,
            nesterov=False,
            maximize=False,
        )

    def zero_grad(self) -> None:
        """Sets all gradients to zero."""
        for group in self._groups:
            group.gradients.zero_()

    def forget(self) -> None:
        """Sets averages and momentum back to those before the first step; the parameters stay as they are."""
        for group in self._groups:
            for value in (group.mean, group.square, group.steps):
                value.zero_()


class _Group(NamedTuple):
    """Parameters with one weight decay. All tensors but `steps` have one element for each parameter.

    sgd uses neither `square` nor `steps`.
    """

    weight_decay: float
    values: Tensor
    gradients: Tensor
    mean: Tensor  # moving average of the gradients; of sgd, the momentum: their decaying sum
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
