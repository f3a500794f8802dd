"""PyTorch modules of the variants: building one, its forward pass, and its parameter count."""

import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pairnet.errors import ArgumentError
from pairnet.models.notation import (
    Activation,
    BatchNorm,
    Conv,
    Dropout,
    GlobalPool,
    Layer,
    Linear,
    Order,
    Pool,
    Shape,
    Softmax,
    output_shape,
)
from pairnet.models.steps import Step, steps
from pairnet.models.variants import CLASSES, IMAGE, PAIR, Variant, check

_SEEDING = threading.Lock()
"""Guards torch's global generator while initial weights are drawn from it."""


class Scores(NamedTuple):
    """Scores of a batch of N pairs: logits, before sigmoid and softmax."""

    main: Tensor  # [N]: the first digit is equal to or less than the second
    digits: Tensor | None  # [N,2,10]: classes of both images; None for a network that does not classify digits


def build(variant: Variant, *, seed: int | None = None) -> "JointNetwork | TwinNetwork":
    """A new network for `variant`, with initial weights drawn from `seed` (None: from torch's global generator).

    Kernels are stored channels-last, which is faster for convolutions on CPUs and GPUs. Raises NotationError if the
    layers do not fit, and ArgumentError for a seed outside 0..2**63-1.
    """
    check(variant)
    if seed is not None and not 0 <= seed < 2**63:
        raise ArgumentError(f"expected `seed` in 0..2**63-1, got {seed}: choose another one")
    with _SEEDING, torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        network = JointNetwork(variant) if variant.net else TwinNetwork(variant)
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return network


class JointNetwork(nn.Module):
    """A network over the pair as one image of two channels. Paper, section IV: the baselines."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.layers = stack(variant.net_layers, PAIR, activation=variant.activation, scores=True)

    def forward(self, pair: Tensor) -> Scores:
        """Scores of normalised pairs [N,2,14,14]."""
        return Scores(self.layers(pair).flatten(), None)


class TwinNetwork(nn.Module):
    """A network that turns each image into features, and compares the features of both images.

    Both images share one tower (weight sharing), or each has its own. Paper, sections V and VI.
    """

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        features = output_shape(variant.tower_layers, IMAGE)
        self.features = math.prod(features)
        self.shared = variant.shared
        activation = variant.activation
        self.tower = stack(variant.tower_layers, IMAGE, activation=activation)
        self.other_tower = None if variant.shared else stack(variant.tower_layers, IMAGE, activation=activation)
        self.head = stack(variant.head_layers, (2 * self.features,), activation=activation, scores=True)
        self.auxiliary: nn.Module | None = None
        if variant.auxiliary:
            self.auxiliary = stack(variant.auxiliary_layers, features, activation=activation, scores=True)
        elif variant.orders:
            self.auxiliary = nn.Identity()  # the log-probabilities of the tower are digit scores

    def encode(self, images: Tensor) -> Tensor:
        """Features [M,F] of single images [M,1,14,14] from the tower (the first one, if each image has its own)."""
        features: Tensor = self.tower(images)
        return features.flatten(1)

    def compare(self, features: Tensor) -> Tensor:
        """Main scores [N] from the concatenated features [N,2F] of both images."""
        scores: Tensor = self.head(features)  # [N,1]
        return scores.flatten()

    def classify(self, features: Tensor) -> Tensor:
        """Digit scores [M,10] from the features [M,F] of single images.

        Raises ArgumentError if the network does not classify digits.
        """
        if self.auxiliary is None:
            raise ArgumentError(
                "expected a network with an auxiliary classifier, got one without: use a variant that classifies digits"
            )
        scores: Tensor = self.auxiliary(features)
        return scores

    def forward(self, pair: Tensor) -> Scores:
        """Scores of normalised pairs [N,2,14,14]. A shared tower receives both images as one batch of 2N."""
        if self.other_tower is None:
            features = self.encode(pair.reshape(-1, *IMAGE))  # [2N,F], first and second alternate
        else:
            both = self.encode(pair[:, :1]), self.other_tower(pair[:, 1:]).flatten(1)  # 2 x [N,F]
            features = torch.cat(both, dim=1).reshape(-1, self.features)  # [2N,F]
        main = self.compare(features.reshape(-1, 2 * self.features))
        digits = self.classify(features).reshape(-1, 2, CLASSES) if self.auxiliary is not None else None
        return Scores(main, digits)


def stack(
    layers: tuple[Layer, ...], shape: Shape, *, activation: Activation = "relu", scores: bool = False
) -> nn.Sequential:
    """Modules for `layers` on inputs of `shape`, named by `steps` (conv1, relu1, norm1, pool1, ...).

    With `scores`, no activation follows the last conv or fc layer.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    previous: Step | None = None
    for step in steps(layers, shape, activation=activation, scores=scores):
        if step.flattens:
            modules[f"flatten{step.number}"] = nn.Flatten()
        modules[step.name] = _module(step.layer, step.before)
        if isinstance(step.layer, Pool) and previous is not None and previous.activation_name:
            modules.move_to_end(previous.activation_name)  # the maximum commutes with it, and leaves it less to do
        if step.activation_name:
            modules[step.activation_name] = ACTIVATIONS[step.activation]()
        previous = step
    return nn.Sequential(modules)


ACTIVATIONS: Mapping[Activation, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
"""Modules of the activations. None of them decreases anywhere, so that a maximum may be taken before them."""


def _module(layer: Layer, before: Shape) -> nn.Module:
    match layer:
        case Conv(inputs, outputs, kernel, padded, stride):
            return nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=kernel // 2 if padded else 0)
        case Linear(inputs, outputs):
            return nn.Linear(inputs, outputs)
        case BatchNorm():
            return nn.BatchNorm2d(before[0])
        case Pool(size):
            return nn.MaxPool2d(size)
        case Dropout(probability):
            return MaskedDropout(probability, before)
        case GlobalPool():
            return GlobalMean()
        case Softmax():
            return nn.LogSoftmax(dim=-1)
        case Order(classes):
            return OrderScore(classes)


class GlobalMean(nn.Module):
    """The mean of each channel. (torch.func.vmap has no batching rule for adaptive pooling.)"""

    def forward(self, features: Tensor) -> Tensor:
        """Channel means [M,C] of features [M,C,H,W]."""
        return features.mean((2, 3))


class MaskedDropout(nn.Module):
    """Dropout with masks from the run's own generator, so that they do not depend on other runs in the process.

    Without a mask, it draws from torch's global generator like torch.nn.Dropout.
    """

    def __init__(self, probability: float, shape: Shape) -> None:
        super().__init__()
        self.probability = probability
        self.shape = shape
        self.mask: Tensor | None
        self.register_buffer("mask", None, persistent=False)  # [M,*shape]: 0, or 1 / (1 - probability)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """A mask for `count` inputs: float32 [count,*shape], on the generator's device."""
        kept = torch.empty(count, *self.shape, device=generator.device)
        kept.bernoulli_(1 - self.probability, generator=generator)
        return kept.div_(1 - self.probability)

    def forward(self, features: Tensor) -> Tensor:
        """Masked features [M,*shape]; M is at most the number of inputs that the mask was drawn for."""
        if not self.training or self.mask is None:
            return nn.functional.dropout(features, self.probability, self.training)
        return features * self.mask[: len(features)]


class OrderScore(nn.Module):
    """The main score of two images from the log-probabilities of their classes. It has no trainable parameters.

    For the distributions p and q, P(first <= second) is the sum of p_i q_j over i <= j. The score is its logit. Both
    P and 1 - P are summed in log space, so the score stays finite if a probability rounds to 0 or 1. Paper, section
    VIII (extension).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        upper = torch.ones(classes, classes, dtype=torch.bool).triu()
        self.classes = classes
        self.register_buffer("in_order", upper.flatten().nonzero().flatten(), persistent=False)  # i <= j
        self.register_buffer("out_of_order", (~upper).flatten().nonzero().flatten(), persistent=False)  # i > j

    def forward(self, features: Tensor) -> Tensor:
        """Logits [N,1] from log-probabilities [N,2*classes], those of the first image first."""
        first, second = features.reshape(-1, 2, self.classes).unbind(1)
        joint = (first.unsqueeze(2) + second.unsqueeze(1)).flatten(1)  # [N,classes*classes]
        in_order, out_of_order = self.get_buffer("in_order"), self.get_buffer("out_of_order")
        score: Tensor = joint[:, in_order].logsumexp(1) - joint[:, out_of_order].logsumexp(1)
        return score.unsqueeze(1)


def count_parameters(network: nn.Module) -> int:
    """Number of trainable values in a module."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)
