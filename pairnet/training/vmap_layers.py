"""The layers of a network in the form that `torch.func.vmap` can stack on a GPU."""

import copy

import torch
from torch import Tensor, nn


class NativeBatchNorm(nn.BatchNorm2d):
    """BN by torch's own kernel.

    nn.BatchNorm2d chooses cuDNN on a GPU and first asks for its input in channels-last order, which a stacked tensor
    does not answer (seen with torch 2.11: "NYI: querying is_contiguous inside of vmap").
    """

    def forward(self, features: Tensor) -> Tensor:
        """Normalised features [M,C,H,W], with the batch's statistics while training, else with the running ones."""
        if self.training:
            self.get_buffer("num_batches_tracked").add_(1)
        assert self.momentum is not None
        state = (self.weight, self.bias, self.running_mean, self.running_var)
        normalised, _, _ = torch.native_batch_norm(features, *state, self.training, self.momentum, self.eps)
        return normalised


def template(network: nn.Module) -> nn.Module:
    """A copy of `network` without values, for `functional_call` inside `vmap`; its state has the same names."""
    copied = copy.deepcopy(network).to("meta")
    for module in copied.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = NativeBatchNorm  # same state, another forward pass
    return copied
