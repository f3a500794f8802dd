"""The walk over the layers of a structure: the name of each one, its input shape, and the activation that follows.

PyTorch modules (networks.py) and ONNX nodes (exporting) are both built from it, so that their names agree.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from pairnet.models import notation
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
)


@dataclass(frozen=True, kw_only=True)
class Step:
    """One layer of a structure, in its place."""

    layer: Layer
    name: str  # conv1, norm1, pool1, ...
    number: int  # of the last conv or fc up to here, counted from 1
    before: Shape  # input shape without the batch axis
    activation: Activation  # the one that follows

    @property
    def activation_name(self) -> str:
        """The name of the activation that follows: relu1, ...; empty if none does."""
        return "" if self.activation == "none" else f"{self.activation}{self.number}"

    @property
    def flattens(self) -> bool:
        """Whether the input of an fc layer is an image stack, which must be flattened first."""
        return isinstance(self.layer, Linear) and len(self.before) == 3


def steps(
    layers: tuple[Layer, ...],
    shape: Shape,
    *,
    activation: Activation = "relu",
    scores: bool = False,
    number: int = 0,
) -> Iterator[Step]:
    """The steps of `layers` on an input of `shape`, named as in the paper (conv1, norm1, pool1, ...).

    `activation` follows each conv and fc, but not the last one if its outputs are scores (`scores`) or inputs of a
    softmax. `number` is the number of conv and fc layers that were built before these. Raises NotationError if the
    layers do not fit.
    """
    weighted = [index for index, layer in enumerate(layers) if isinstance(layer, Conv | Linear)]
    linear_end = scores or isinstance(layers[-1], Softmax)
    for index, (layer, before) in enumerate(zip(layers, notation.shapes(layers, shape), strict=False)):
        following: Activation = "none"
        if isinstance(layer, Conv | Linear):
            number += 1
            following = "none" if linear_end and index == weighted[-1] else activation
        yield Step(layer=layer, name=_name(layer, number), number=number, before=before, activation=following)


def _name(layer: Layer, number: int) -> str:
    match layer:
        case Conv():
            return f"conv{number}"
        case Linear():
            return f"fc{number}"
        case BatchNorm():
            return f"norm{number}"
        case Pool():
            return f"pool{number}"
        case Dropout():
            return f"dropout{number}"
        case GlobalPool():
            return f"mean{number}"
        case Softmax():
            return "softmax"
        case Order():
            return "order"
