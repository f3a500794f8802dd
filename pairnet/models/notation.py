"""The paper's notation for layers, such as "conv(2,10,5)* BN P(2) fc(128,64)": parsing, shape checks, and counts.

| token         | layer                                                                                  |
|---------------|----------------------------------------------------------------------------------------|
| conv(i,o,k)   | convolution, i to o channels, k x k kernel, padded to keep the size; `*`: not padded   |
| conv(i,o,k)*s | not padded, with stride s                                                              |
| fc(a,b)       | fully-connected, a to b features; the input is flattened                               |
| BN            | batch normalisation of each channel                                                    |
| P(k)          | k x k max-pooling with stride k                                                        |
| D(p)          | dropout with probability p                                                             |

Extensions of the paper:

| token         | layer                                                                                  |
|---------------|----------------------------------------------------------------------------------------|
| G             | global average pooling: the mean of each channel                                       |
| softmax       | class scores -> class probabilities (in training: their logarithms)                    |
| order(c)      | two images' probabilities of c ordered classes -> P(first <= second), no parameters    |

The notation leaves out the activation that follows each conv and fc (before BN, as in the paper), except the last one
before scores or a softmax; see steps.py. It is one for a whole network: `Variant.activation`, ReLU in the paper.
"""

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from pairnet.errors import NotationError

LARGEST_SIZE = 1_000_000
"""Largest number of channels, features or kernel pixels, so that a typing error does not fill the memory."""

Activation = Literal["relu", "none", "sigmoid", "tanh"]
"""The function after a hidden layer; "none" leaves its values as they are."""

Shape = tuple[int, ...]
"""[C,H,W] of an image stack, or [F] after a fully-connected layer, without the batch axis."""


class _Counted:
    """Counts of a layer without parameters and multiplications, the default of all layers."""

    def parameters(self, shape: Shape) -> int:
        """Number of trainable values for inputs of `shape`."""
        return 0

    def multiply_adds(self, shape: Shape) -> int:
        """Number of multiplications (each with its addition) for one input of `shape` in inference."""
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
            raise NotationError(
                f"{self}: expected {self.inputs} channels, got {channels} ({_show(shape)}): change its first number"
            )
        if self.padded and self.kernel % 2 == 0:
            raise NotationError(f"{self}: expected an odd kernel with padding, got {self.kernel}: write {self}*")
        lost = 0 if self.padded else self.kernel - 1
        if min(height, width) <= lost:
            raise NotationError(_too_small(self, self.kernel, shape))
        return self.outputs, (height - lost - 1) // self.stride + 1, (width - lost - 1) // self.stride + 1

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs * self.kernel**2 + 1)

    def multiply_adds(self, shape: Shape) -> int:
        """One per output, input channel and kernel pixel."""
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
            got, from_shape = math.prod(shape), f" ({_show(shape)})" if len(shape) > 1 else ""
            raise NotationError(
                f"{self}: expected {self.inputs} inputs, got {got}{from_shape}: change its first number"
            )
        return (self.outputs,)

    def parameters(self, shape: Shape) -> int:
        """Weights and biases."""
        return self.outputs * (self.inputs + 1)

    def multiply_adds(self, shape: Shape) -> int:
        """One per output and input."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class BatchNorm(_Counted):
    """BN: batch normalisation with a scale and a shift for each channel."""

    def __str__(self) -> str:
        return "BN"

    def output(self, shape: Shape) -> Shape:
        """[C,H,W] -> [C,H,W]."""
        return _image(self, shape)

    def parameters(self, shape: Shape) -> int:
        """Scale and shift; running statistics are not trained and not counted."""
        return 2 * shape[0]

    def multiply_adds(self, shape: Shape) -> int:
        """One per value."""
        return math.prod(shape)


@dataclass(frozen=True)
class Pool(_Counted):
    """P(size): max-pooling; rows and columns at the lower and right edge that do not fill a window are dropped."""

    size: int

    def __str__(self) -> str:
        return f"P({self.size})"

    def output(self, shape: Shape) -> Shape:
        """[C,H,W] -> [C,H//size,W//size]."""
        channels, height, width = _image(self, shape)
        if min(height, width) < self.size:
            raise NotationError(_too_small(self, self.size, shape))
        return channels, height // self.size, width // self.size


@dataclass(frozen=True)
class Dropout(_Counted):
    """D(probability)."""

    probability: float

    def __str__(self) -> str:
        return f"D({Decimal(repr(self.probability)).normalize():f})"  # never 1e-05, which cannot be parsed

    def output(self, shape: Shape) -> Shape:
        """The same shape."""
        if not 0 <= self.probability < 1:
            raise NotationError(
                f"{self}: expected a probability in [0, 1), got {self.probability:g}: choose another one"
            )
        return shape


@dataclass(frozen=True)
class GlobalPool(_Counted):
    """G: global average pooling, the mean of each channel."""

    def __str__(self) -> str:
        return "G"

    def output(self, shape: Shape) -> Shape:
        """[C,H,W] -> [C]."""
        return (_image(self, shape)[0],)

    def multiply_adds(self, shape: Shape) -> int:
        """One per value."""
        return math.prod(shape)


@dataclass(frozen=True)
class Softmax(_Counted):
    """softmax: class scores -> class probabilities."""

    def __str__(self) -> str:
        return "softmax"

    def output(self, shape: Shape) -> Shape:
        """[C] -> [C]."""
        if len(shape) != 1:
            raise NotationError(f"softmax: expected scores [C], got images ({_show(shape)}): add an fc or G before it")
        return shape

    def multiply_adds(self, shape: Shape) -> int:
        """One per value."""
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
            raise NotationError(
                f"{self}: expected {2 * self.classes} probabilities, got {math.prod(shape)} inputs: "
                f"end the tower in {self.classes} classes"
            )
        return (1,)

    def multiply_adds(self, shape: Shape) -> int:
        """One per pair of classes in order."""
        return self.classes * (self.classes + 1) // 2


Layer = Conv | Linear | BatchNorm | Pool | Dropout | GlobalPool | Softmax | Order

_TOKEN = re.compile(r"(conv|fc|BN|P|D|G|softmax|order)(?:\(([0-9.,]+)\))?(\*[0-9]*)?")
_BARE: dict[str, Layer] = {"BN": BatchNorm(), "G": GlobalPool(), "softmax": Softmax()}


def parse(text: str) -> tuple[Layer, ...]:
    """The layers in `text`. Raises NotationError with the first token that is not valid, and the valid ones."""
    tokens = re.sub(r"\(([^()]*)\)", lambda inner: re.sub(r"\s", "", inner[0]), text).split()
    if not tokens:
        raise NotationError("expected at least one layer, got an empty structure: add one, such as fc(392,1)")
    return tuple(_layer(token) for token in tokens)


def _layer(token: str) -> Layer:
    if token in _BARE:
        return _BARE[token]
    match = _TOKEN.fullmatch(token)
    if match and match[2]:
        try:
            numbers = [float(number) if match[1] == "D" else int(number) for number in match[2].split(",")]
            sizes = [int(number) for number in numbers]
            stride = int(match[3][1:] or 1) if match[3] else 1
        except (ValueError, OverflowError):  # 1.5 channels, or thousands of digits
            numbers, sizes, stride = [], [], 1
        if match[1] != "D" and not all(1 <= size <= LARGEST_SIZE for size in (*sizes, stride)):
            raise NotationError(
                f"{_quoted(token)}: expected sizes in 1..{LARGEST_SIZE:,}: change the number out of bounds"
            )
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
        f"expected conv(i,o,k), conv(i,o,k)*, conv(i,o,k)*s, fc(a,b), BN, P(k), D(p), G, softmax or order(c), "
        f"got {_quoted(token)}: correct it, and separate layers with spaces"
    )


def show(layers: tuple[Layer, ...]) -> str:
    """The notation of `layers`; parse(show(layers)) == layers."""
    return " ".join(map(str, layers))


def shapes(layers: tuple[Layer, ...], shape: Shape) -> list[Shape]:
    """The input `shape`, followed by the shape after each layer. Raises NotationError with the first misfit."""
    found = [shape]
    for layer in layers:
        found.append(layer.output(found[-1]))
    return found


def output_shape(layers: tuple[Layer, ...], shape: Shape) -> Shape:
    """The output shape of the last layer."""
    return shapes(layers, shape)[-1]


def count_parameters(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Number of trainable values of `layers` on inputs of `shape`."""
    return sum(layer.parameters(before) for layer, before in zip(layers, shapes(layers, shape), strict=False))


def count_multiply_adds(layers: tuple[Layer, ...], shape: Shape) -> int:
    """Number of multiply-adds of `layers` for one input of `shape`."""
    return sum(layer.multiply_adds(before) for layer, before in zip(layers, shapes(layers, shape), strict=False))


def _image(layer: Layer, shape: Shape) -> tuple[int, int, int]:
    if len(shape) != 3:
        raise NotationError(f"{layer}: expected images [C,H,W], got {_show(shape)} features: move it before fc or G")
    return shape[0], shape[1], shape[2]


def _too_small(layer: Layer, size: int, shape: Shape) -> str:
    given = f"{shape[1]}x{shape[2]}"
    return f"{layer}: expected images of at least {size}x{size}, got {given}: use a smaller window or less pooling"


def _quoted(token: str) -> str:
    """A token in one short line, with control characters escaped."""
    return '"' + (ascii(token)[1:-1] if len(token) <= 40 else ascii(token[:40])[1:-1] + "...") + '"'


def _show(shape: Shape) -> str:
    return "x".join(map(str, shape))
