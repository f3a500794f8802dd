"""Adam over parameters that share one block of memory: one call per step for all of them."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pairnet.models.recipes import Recipe


def make_optimiser(
    parameters: Sequence[tuple[Tensor, bool]],
    recipe: Recipe,
    learning_rate: float | Tensor,
    *,
    in_graph: bool = False,
) -> torch.optim.Optimizer:
    """Adam or AdamW over `parameters`, each given with whether weight decay applies to it (kernels and matrices only).

    The parameters and their gradients become views of one block of memory per group. With `in_graph`, steps over
    parameters on a GPU can be captured in a CUDA graph; on a CPU it has no effect.
    """
    decayed = [parameter for parameter, decays in parameters if decays and recipe.weight_decay]
    others = [parameter for parameter, decays in parameters if not (decays and recipe.weight_decay)]
    groups = [
        {"params": [_into_block(members)], "weight_decay": decay}
        for members, decay in ((decayed, recipe.weight_decay), (others, 0.0))
        if members
    ]
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    capturable = in_graph and all(parameter.device.type == "cuda" for parameter, _ in parameters)
    return kind(groups, lr=learning_rate, betas=recipe.betas, fused=True, capturable=capturable)


def _into_block(parameters: Sequence[Tensor]) -> nn.Parameter:
    """One parameter whose memory, and whose gradient's memory, holds all `parameters` one after the other."""
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
    """Set the learning rate of the next steps."""
    for group in optimiser.param_groups:
        group["lr"] = rate
