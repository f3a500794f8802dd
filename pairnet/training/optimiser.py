"""Adam over a net whose parameters lie in one block of memory: one call a step, and not one for each parameter."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pairnet.models.recipes import Recipe


def make_optimiser(
    parameters: Sequence[tuple[Tensor, bool]], recipe: Recipe, learning_rate: float | Tensor
) -> torch.optim.Optimizer:
    """Adam, or AdamW; with each parameter stands whether it is decayed: kernels and matrices are, and no others."""
    decayed = [parameter for parameter, decays in parameters if decays and recipe.weight_decay]
    others = [parameter for parameter, decays in parameters if not (decays and recipe.weight_decay)]
    groups = [
        {"params": [_into_block(part)], "weight_decay": decay}
        for part, decay in ((decayed, recipe.weight_decay), (others, 0.0))
        if part
    ]
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=learning_rate, betas=recipe.betas, fused=True)


def _into_block(parameters: Sequence[Tensor]) -> nn.Parameter:
    """One parameter whose memory, and whose gradient's, is that of all `parameters` side by side."""
    size = sum(parameter.numel() for parameter in parameters)
    block = nn.Parameter(torch.empty(size, device=parameters[0].device))
    block.grad = torch.zeros_like(block)
    start = 0
    for parameter in parameters:
        place = (parameter.shape, parameter.stride(), start)
        parameter.data = block.detach().as_strided(*place).copy_(parameter.detach())
        parameter.grad = block.grad.as_strided(*place)
        start += parameter.numel()
    return block


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """For the steps from now on."""
    for group in optimiser.param_groups:
        group["lr"] = rate
