"""The paper's notation for layers, "conv(2,10,5)* BN P(2) fc(128,64)": parsing, shape checking, counting.

| token         | layer                                                                                  |
|---------------|----------------------------------------------------------------------------------------|
| conv(i,o,k)   | convolution, i to o channels, k x k kernel, padded to keep the size; `*`: not padded   |
| fc(a,b)       | fully-connected, a to b features; whatever comes in is flattened                       |
| BN            | batch normalisation of the channels before it                                          |
| P(k)          | k x k max-pooling with stride k                                                        |
| D(p)          | dropout with probability p                                                             |

A ReLU follows each conv and fc without being noted (before BN, as in the paper), except the last layer of a net that
ends in scores; that is for `nets.py` to know.
"""

import math
import re
from dataclasses import dataclass

LARGEST_SIZE = 1_000_000
"""Of a channel, feature or kernel count in the notation: a typing error is not to take all memory."""

Shape = tuple[int, ...]
"""[C,H,W] of one image stack, or [F] after a fully-connected layer; the batch axis is left out."""


class NotationError(ValueError):
    """A structure that cannot be read, or whose layers do not fit one another."""


@dataclass(frozen=True)
class Conv:
    """conv(inputs,outputs,kernel), or conv(inputs,outputs,kernel)* without padding."""

    inputs: int
    outputs: int
    kernel: int
    padded: bool = True

    def __str__(self) -> str:
        return f"conv({self.inputs},{self.outputs},{self.kernel}){'' if self.padded else '*'}"

    def output(self, shape: Shape) -> Shape:
        """[inputs,H,W] -> [outputs,H',W']."""
        channels, height, width = _image(self, shape)
        if channels != self.inputs:
            raise NotationError(f"{self} receives {channels} channels ({_show(shape)}), not {self.inputs}")
        if self.padded and self.kernel % 2 == 0:
            raise NotationError(f"{self}: an even kernel cannot keep the size; write {self}*")
        lost = 0 if self.padded else self.kernel - 1
        if min(height, width) <= lost:
            raise NotationError(f"{self} needs images of at least {self.kernel}x{self.kernel}, not {height}x{width}")
        return self.outputs, height - lost, width - lost

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs * self.kernel**2 + 1)

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications (each with its addition) for one input of `shape`."""
        return math.prod(self.output(shape)) * self.inputs * self.kernel**2


@dataclass(frozen=True)
class Linear:
    """fc(inputs,outputs)."""

    inputs: int
    outputs: int

    def __str__(self) -> str:
        return f"fc({self.inputs},{self.outputs})"

    def output(self, shape: Shape) -> Shape:
        """Any shape of `inputs` values -> [outputs]."""
        if math.prod(shape) != self.inputs:
            raise NotationError(f"{self} receives {math.prod(shape)} inputs ({_show(shape)}), not {self.inputs}")
        return (self.outputs,)

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs + 1)

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications (each with its addition) for one input."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class BatchNorm:
    """BN, with a scale and a shift for each channel."""

    def __str__(self) -> str:
        return "BN"

    def output(self, shape: Shape) -> Shape:
        """[C,H,W] -> [C,H,W]."""
        return _image(self, shape)

    def parameters(self, shape: Shape) -> int:
        """Scale and shift; the running statistics are not trained and not counted."""
        return 2 * shape[0]

    def multiply_adds(self, shape: Shape) -> int:
        """One for each value."""
        return math.prod(shape)


@dataclass(frozen=True)
class Pool:
    """P(size): max-pooling; what does not fill a window at the right or lower edge is dropped."""

    size: int

    def __str__(self) -> str:
        return f"P({self.size})"

    def output(self, shape: Shape) -> Shape:
        """[C,H,W] -> [C,H//size,W//size]."""
        channels, height, width = _image(self, shape)
        if min(height, width) < self.size:
            raise NotationError(f"{self} needs images of at least {self.size}x{self.size}, not {height}x{width}")
        return channels, height // self.size, width // self.size

    def parameters(self, shape: Shape) -> int:
        """None."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """None."""
        return 0


@dataclass(frozen=True)
class Dropout:
    """D(probability)."""

    probability: float

    def __str__(self) -> str:
        return f"D({self.probability:g})"

    def output(self, shape: Shape) -> Shape:
        """The same shape."""
        if not 0 <= self.probability < 1:
            raise NotationError(f"{self}: a dropout probability lies in [0, 1)")
        return shape

    def parameters(self, shape: Shape) -> int:
        """None."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """None: dropout is not there when a trained net is used."""
        return 0


Layer = Conv | Linear | BatchNorm | Pool | Dropout

_TOKEN = re.compile(r"(conv|fc|BN|P|D)(?:\(([\d.,]+)\))?(\*?)")


def parse(text: str) -> tuple[Layer, ...]:
    """The layers that `text` names, in their order.

    NotationError names the first part that cannot be read, and what could stand there.
    """
    tokens = re.sub(r"\(([^()]*)\)", lambda inner: re.sub(r"\s", "", inner[0]), text).split()
    if not tokens:
        raise NotationError("a structure needs at least one layer")
    return tuple(_layer(token) for token in tokens)


def _layer(token: str) -> Layer:
    match = _TOKEN.fullmatch(token)
    if match:
        name, numbers, star = match[1], (match[2] or "").split(","), match[3]
        try:
            if name == "BN" and match[2] is None and not star:
                return BatchNorm()
            if name == "D" and not star:
                (probability,) = map(float, numbers)
                return Dropout(probability)
            sizes = tuple(map(int, numbers))
            if min(sizes) < 1 or max(sizes) > LARGEST_SIZE:
                raise NotationError(f"{token}: sizes lie in 1..{LARGEST_SIZE:,}")
            if name == "conv" and len(sizes) == 3:
                return Conv(*sizes, padded=star == "")
            if name == "fc" and len(sizes) == 2 and not star:
                return Linear(*sizes)
            if name == "P" and len(sizes) == 1 and not star:
                return Pool(*sizes)
        except NotationError:
            raise
        except ValueError:
            pass  # numbers that are none, or too many of them: said below
    raise NotationError(f'"{token}" is no layer: expected conv(i,o,k), conv(i,o,k)*, fc(a,b), BN, P(k) or D(p)')


def show(layers: tuple[Layer, ...]) -> str:
    """The notation of `layers`; parse(show(layers)) == layers."""
    return " ".join(map(str, layers))


def shapes(layers: tuple[Layer, ...], shape: Shape) -> list[Shape]:
    """The input `shape` and then the shape after each layer.  NotationError names the first layer that does not fit."""
    found = [shape]
    for layer in layers:
        found.append(layer.output(found[-1]))
    return found


def output_shape(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """The shape that comes out of the last layer."""
    return shapes(layers, shape)[-1]


def count_parameters(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Trainable values of `layers` on an input of `shape`."""
    return sum(layer.parameters(before) for layer, before in zip(layers, shapes(layers, shape), strict=False))


def count_multiply_adds(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Multiply-adds of one pass of one input of `shape`."""
    return sum(layer.multiply_adds(before) for layer, before in zip(layers, shapes(layers, shape), strict=False))


def _image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise NotationError(f"{layer} needs images [C,H,W], but {_show(shape)} features come in")
    return shape[0], shape[1], shape[2]


def _show(shape: Shape) -> str:
    return "x".join(map(str, shape))
