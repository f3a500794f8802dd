"""A row of the variant table -> a torch module."""

import threading
from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pairnet.models.notation import (
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
    shapes,
)
from pairnet.models.variants import IMAGE, PAIR, Variant, check

_SEEDING = threading.Lock()
"""Guards torch's global generator, while initial weights are drawn from it."""


class Scores(NamedTuple):
    """What a net says of a batch of N pairs; logits, before sigmoid and soft-max."""

    main: Tensor  # [N]: the first digit is equal or less than the second
    digits: Tensor | None  # [N,2,10]: each image's class; None without an auxiliary classifier


def build(variant: Variant, *, seed: int | None = None) -> "JointNet | TwinNet":
    """A fresh net for `variant`, its weights drawn from `seed` (from torch's global generator where None).

    The kernels are stored channels-last, which the CPU's and the GPU's convolutions prefer. NotationError where the
    row's layers do not fit one another.
    """
    check(variant)
    with _SEEDING, torch.random.fork_rng(devices=[], enabled=seed is not None):
        if seed is not None:
            torch.manual_seed(seed)
        net = JointNet(variant) if variant.net else TwinNet(variant)
    for parameter in net.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.to(memory_format=torch.channels_last)
    return net


class JointNet(nn.Module):
    """Takes the pair as one image of two channels (the paper's baselines)."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        self.layers = stack(variant.net_layers, PAIR, scores=True)

    def forward(self, pair: Tensor) -> Scores:
        """pair [N,2,14,14], normalised -> Scores."""
        return Scores(self.layers(pair).flatten(), None)


class TwinNet(nn.Module):
    """Looks at each image alone, through one tower (weight sharing) or one for each, and compares the features."""

    def __init__(self, variant: Variant) -> None:
        super().__init__()
        features = output_shape(variant.tower_layers, IMAGE)
        self.features = features[0] * (features[1] * features[2] if len(features) == 3 else 1)
        self.shared = variant.shared
        self.tower = stack(variant.tower_layers, IMAGE)
        self.other_tower = None if variant.shared else stack(variant.tower_layers, IMAGE)
        self.head = stack(variant.head_layers, (2 * self.features,), scores=True)
        self.auxiliary: nn.Module | None = None
        if variant.auxiliary:
            self.auxiliary = stack(variant.auxiliary_layers, features, scores=True)
        elif variant.orders:
            self.auxiliary = nn.Identity()  # the tower's log-probabilities are digit scores already

    def encode(self, images: Tensor) -> Tensor:
        """Features of single images through the (first) tower: [M,1,14,14] -> [M,F]."""
        features: Tensor = self.tower(images)
        return features.flatten(1)

    def compare(self, features: Tensor) -> Tensor:
        """The main score from both images' features, side by side: [N,2F] -> [N]."""
        scores: Tensor = self.head(features)  # [N,1]
        return scores.flatten()

    def classify(self, features: Tensor) -> Tensor:
        """Digit scores from single images' features: [M,F] -> [M,10].  ValueError without an auxiliary classifier."""
        if self.auxiliary is None:
            raise ValueError("this net has no auxiliary classifier")
        scores: Tensor = self.auxiliary(features)
        return scores

    def forward(self, pair: Tensor) -> Scores:
        """pair [N,2,14,14], normalised -> Scores.  With a shared tower both images go through it as one batch of 2N."""
        if self.other_tower is None:
            features = self.encode(pair.reshape(-1, *IMAGE))  # [2N,F], first and second in turn
        else:
            both = self.encode(pair[:, :1]), self.other_tower(pair[:, 1:]).flatten(1)  # 2 x [N,F]
            features = torch.cat(both, dim=1).reshape(-1, self.features)  # [2N,F]
        main = self.compare(features.reshape(-1, 2 * self.features))
        digits = self.classify(features).reshape(-1, 2, 10) if self.auxiliary is not None else None
        return Scores(main, digits)


def stack(layers: tuple[Layer, ...], shape: Shape, *, scores: bool = False) -> nn.Sequential:
    """Modules for `layers` on inputs of `shape`, named as the paper would (conv1, relu1, norm1, pool1, ...).

    A ReLU follows each conv and fc, but not the last one where `scores`, or a softmax of them, come out.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict()
    last = max((index for index, layer in enumerate(layers) if isinstance(layer, Conv | Linear)), default=-1)
    number = 0
    for index, (layer, before) in enumerate(zip(layers, shapes(layers, shape), strict=False)):
        match layer:
            case Conv(inputs, outputs, kernel, padded, stride):
                number += 1
                padding = kernel // 2 if padded else 0
                modules[f"conv{number}"] = nn.Conv2d(inputs, outputs, kernel, stride=stride, padding=padding)
            case Linear(inputs, outputs):
                number += 1
                if len(before) == 3:
                    modules[f"flatten{number}"] = nn.Flatten()
                modules[f"fc{number}"] = nn.Linear(inputs, outputs)
            case BatchNorm():
                modules[f"norm{number}"] = nn.BatchNorm2d(before[0])
            case Pool(size):
                modules[f"pool{number}"] = nn.MaxPool2d(size)
                if isinstance(layers[index - 1], Conv):  # the largest of what ReLU lets through: a quarter of the work
                    modules.move_to_end(f"relu{number}")
            case Dropout(probability):
                modules[f"dropout{number}"] = MaskedDropout(probability, before)
            case GlobalPool():
                modules[f"mean{number}"] = GlobalMean()
            case Softmax():
                modules["softmax"] = nn.LogSoftmax(dim=-1)
            case Order(classes):
                modules["order"] = OrderScore(classes)
        if isinstance(layer, Conv | Linear) and not (index == last and (scores or isinstance(layers[-1], Softmax))):
            modules[f"relu{number}"] = nn.ReLU()
    return nn.Sequential(modules)


class GlobalMean(nn.Module):
    """The mean of each channel; torch's own pooling has no rule for a stack of nets."""

    def forward(self, features: Tensor) -> Tensor:
        """[M,C,H,W] -> [M,C]."""
        return features.mean((2, 3))


class MaskedDropout(nn.Module):
    """Dropout whose masks come from a generator of the run's own, so that a run sees the same ones in any company.

    Without a mask it draws from torch's global generator, as torch's does.
    """

    def __init__(self, probability: float, shape: Shape) -> None:
        super().__init__()
        self.probability = probability
        self.shape = shape
        self.mask: Tensor | None
        self.register_buffer("mask", None, persistent=False)  # [M,*shape]: 0, or 1 / (1 - probability)

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """A mask for `count` inputs -> float32 [count,*shape], on the generator's device."""
        kept = torch.empty(count, *self.shape, device=generator.device)
        kept.bernoulli_(1 - self.probability, generator=generator)
        return kept.div_(1 - self.probability)

    def forward(self, features: Tensor) -> Tensor:
        """features [M,*shape], M at most the mask's."""
        if not self.training or self.mask is None:
            return nn.functional.dropout(features, self.probability, self.training)
        return features * self.mask[: len(features)]


class OrderScore(nn.Module):
    """The main score of two images from their class log-probabilities; nothing in it is trained.

    With p and q the two distributions, P(first <= second) = sum over i <= j of p_i q_j, and the score is its logit,
    both sides summed in log space: it stays finite where a probability rounds to 0 or 1.  Paper, section VIII
    (extension).
    """

    def __init__(self, classes: int) -> None:
        super().__init__()
        upper = torch.ones(classes, classes, dtype=torch.bool).triu()
        self.classes = classes
        self.register_buffer("in_order", upper.flatten().nonzero().flatten(), persistent=False)  # i <= j
        self.register_buffer("out_of_order", (~upper).flatten().nonzero().flatten(), persistent=False)  # i > j

    def forward(self, features: Tensor) -> Tensor:
        """Log-probabilities, first then second, [N,2*classes] -> logit [N,1]."""
        first, second = features.reshape(-1, 2, self.classes).unbind(1)
        joint = (first.unsqueeze(2) + second.unsqueeze(1)).flatten(1)  # [N,classes*classes]
        in_order, out_of_order = self.get_buffer("in_order"), self.get_buffer("out_of_order")
        score: Tensor = joint[:, in_order].logsumexp(1) - joint[:, out_of_order].logsumexp(1)
        return score.unsqueeze(1)


def count_parameters(net: nn.Module) -> int:
    """Trainable values in a built module."""
    return sum(parameter.numel() for parameter in net.parameters() if parameter.requires_grad)
