"""The paper's notation for layers, "conv(2,10,5)* BN P(2) fc(128,64)": parsing, shape checking, counting.

| token         | layer                                                                                  |
|---------------|----------------------------------------------------------------------------------------|
| conv(i,o,k)   | convolution, i to o channels, k x k kernel, padded to keep the size; `*`: not padded   |
| conv(i,o,k)*s | not padded, and moved by s pixels at a time                                            |
| fc(a,b)       | fully-connected, a to b features; whatever comes in is flattened                       |
| BN            | batch normalisation of the channels before it                                          |
| P(k)          | k x k max-pooling with stride k                                                        |
| D(p)          | dropout with probability p                                                             |

and, beyond the paper,

| token         | layer                                                                                  |
|---------------|----------------------------------------------------------------------------------------|
| G             | global average pooling: the mean of each channel                                       |
| softmax       | class scores -> class probabilities (their logarithms, while training)                 |
| order(c)      | two images' probabilities of c ordered classes -> P(first <= second), no parameters    |

A ReLU follows each conv and fc without being noted (before BN, as in the paper), except the last layer of what ends in
scores, or in a softmax of them; that is for `nets.py` to know.
"""

import math
import re
from dataclasses import dataclass

from pairnet.errors import NotationError

LARGEST_SIZE = 1_000_000
"""Of a channel, feature or kernel count in the notation: a typing error is not to take all memory."""

Shape = tuple[int, ...]
"""[C,H,W] of one image stack, or [F] after a fully-connected layer; the batch axis is left out."""


class _Counted:
    """What holds for a layer that has nothing to train and nothing to multiply."""

    def parameters(self, shape: Shape) -> int:
        """Trainable values for inputs of `shape`."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """Multiplications, each with its addition, for one input of `shape`, as the trained net is used."""
        return 0


@dataclass(frozen=True)
class Conv(_Counted):
    """conv(inputs,outputs,kernel), conv(inputs,outputs,kernel)* without padding, or conv(...)*stride."""

    inputs: int
    outputs: int
    kernel: int
    padded: bool = True
    stride: int = 1

    def __str__(self) -> str:
        star = "" if self.padded else f"*{self.stride if self.stride > 1 else ''}"
        return f"conv({self.inputs},{self.outputs},{self.kernel}){star}"

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
        return self.outputs, (height - lost - 1) // self.stride + 1, (width - lost - 1) // self.stride + 1

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs * self.kernel**2 + 1)

    def multiply_adds(self, shape: Shape) -> int:
        """Each output takes a kernel over all input channels."""
        return math.prod(self.output(shape)) * self.inputs * self.kernel**2


@dataclass(frozen=True)
class Linear(_Counted):
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
        """Each output takes all inputs."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class BatchNorm(_Counted):
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
class Pool(_Counted):
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


@dataclass(frozen=True)
class Dropout(_Counted):
    """D(probability)."""

    probability: float

    def __str__(self) -> str:
        return f"D({self.probability:g})"

    def output(self, shape: Shape) -> Shape:
        """The same shape."""
        if not 0 <= self.probability < 1:
            raise NotationError(f"{self}: a dropout probability lies in [0, 1)")
        return shape


@dataclass(frozen=True)
class GlobalPool(_Counted):
    """G: the mean over each channel's pixels."""

    def __str__(self) -> str:
        return "G"

    def output(self, shape: Shape) -> Shape:
        """[C,H,W] -> [C]."""
        return (_image(self, shape)[0],)

    def multiply_adds(self, shape: Shape) -> int:
        """One for each value."""
        return math.prod(shape)


@dataclass(frozen=True)
class Softmax(_Counted):
    """softmax over the scores before it."""

    def __str__(self) -> str:
        return "softmax"

    def output(self, shape: Shape) -> Shape:
        """[C] -> [C]."""
        if len(shape) != 1:
            raise NotationError(f"softmax needs scores [C], but images come in ({_show(shape)})")
        return shape

    def multiply_adds(self, shape: Shape) -> int:
        """One for each value."""
        return shape[0]


@dataclass(frozen=True)
class Order(_Counted):
    """order(classes): P(first <= second) from both images' class probabilities."""

    classes: int

    def __str__(self) -> str:
        return f"order({self.classes})"

    def output(self, shape: Shape) -> Shape:
        """[2*classes] -> [1]."""
        if math.prod(shape) != 2 * self.classes:
            raise NotationError(f"{self} receives {math.prod(shape)} inputs, not twice {self.classes} probabilities")
        return (1,)

    def multiply_adds(self, shape: Shape) -> int:
        """One for each pair of classes in order."""
        return self.classes * (self.classes + 1) // 2


Layer = Conv | Linear | BatchNorm | Pool | Dropout | GlobalPool | Softmax | Order

_TOKEN = re.compile(r"(conv|fc|BN|P|D|G|softmax|order)(?:\(([\d.,]+)\))?(\*\d*)?")
_BARE: dict[str, Layer] = {"BN": BatchNorm(), "G": GlobalPool(), "softmax": Softmax()}


def parse(text: str) -> tuple[Layer, ...]:
    """The layers that `text` names.  NotationError names the first part that cannot be read, and what could be."""
    tokens = re.sub(r"\(([^()]*)\)", lambda inner: re.sub(r"\s", "", inner[0]), text).split()
    if not tokens:
        raise NotationError("a structure needs at least one layer")
    return tuple(_layer(token) for token in tokens)


def _layer(token: str) -> Layer:
    if token in _BARE:
        return _BARE[token]
    match = _TOKEN.fullmatch(token)
    if match and match[2]:
        try:
            numbers = [float(number) if match[1] == "D" else int(number) for number in match[2].split(",")]
        except ValueError:
            numbers = []
        sizes = [int(number) for number in numbers]
        stride = int(match[3][1:] or 1) if match[3] else 1
        if match[1] != "D" and not all(1 <= size <= LARGEST_SIZE for size in (*sizes, stride)):
            raise NotationError(f"{token}: sizes lie in 1..{LARGEST_SIZE:,}")
        match match[1], sizes, match[3]:
            case "conv", [inputs, outputs, kernel], star:
                return Conv(inputs, outputs, kernel, padded=star is None, stride=stride)
            case "fc", [inputs, outputs], None:
                return Linear(inputs, outputs)
            case "P", [size], None:
                return Pool(size)
            case "order", [classes], None:
                return Order(classes)
            case "D", [_], None:
                return Dropout(numbers[0])
    raise NotationError(
        f'"{token}" is no layer: expected conv(i,o,k), conv(i,o,k)*, conv(i,o,k)*s, fc(a,b), BN, P(k), D(p), '
        "G, softmax or order(c)"
    )


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
