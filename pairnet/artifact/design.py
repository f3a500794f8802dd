"""The contract of an exported file: which part of a network it holds, its inputs, its outputs, and their shapes."""

import math
from dataclasses import dataclass
from typing import Literal

from pairnet.errors import ArgumentError
from pairnet.models import notation
from pairnet.models.variants import CLASSES, IMAGE, PAIR, Variant

Part = Literal["joint", "encoder", "head"]
"""The whole network; one image -> features; the features of two images -> probability."""

InputKind = Literal["images", "pairs"]
"""Raw grey levels, uint8 28x28; or pooled and normalised pixels, float32 14x14."""

Precision = Literal["fp32", "fp16", "int8"]

Axes = tuple[str | int, ...]
"""A shape whose batch axis has a name: ("N", 2, 28, 28)."""

SIDE = 28
DEFAULT_OPSET = 18
OLDEST_OPSET, NEWEST_OPSET = 13, 22


@dataclass(frozen=True, kw_only=True)
class Port:
    """One input or output of a file."""

    name: str
    dtype: str  # NumPy's name
    axes: Axes

    def __str__(self) -> str:
        """For messages: "pair uint8 (N,2,28,28)"."""
        return f"{self.name} {self.dtype} ({','.join(map(str, self.axes))})"


@dataclass(frozen=True, kw_only=True)
class Design:
    """Everything that determines a file, except its weights.

    Raises ArgumentError for options that the variant does not support.
    """

    variant: Variant
    part: Part = "joint"
    input_kind: InputKind = "images"
    with_digits: bool = False
    half: bool = False  # float16 weights and arithmetic; inputs, outputs and normalisation keep their types
    opset: int = DEFAULT_OPSET

    def __post_init__(self) -> None:
        variant = self.variant
        if not OLDEST_OPSET <= self.opset <= NEWEST_OPSET:
            raise ArgumentError(f"`opset`: expected {OLDEST_OPSET} to {NEWEST_OPSET}, got {self.opset}")
        if self.with_digits and not variant.classifies_digits:
            raise ArgumentError(
                f"`with_digits`: expected a variant that classifies digits, got {variant.name}, which has no auxiliary "
                "classifier: omit `with_digits`"
            )
        if self.part != "joint" and (variant.net or not variant.shared):
            raise ArgumentError(
                f"`split`: expected a variant with one encoder for both images, got {variant.name}: omit `split`"
            )

    @property
    def features(self) -> int:
        """Number of values that the encoder computes from one image."""
        return math.prod(notation.output_shape(self.variant.tower_layers, IMAGE))

    @property
    def inputs(self) -> tuple[Port, ...]:
        """Inputs of the file; a head's have the features of the variant."""
        return input_ports(self.part, self.input_kind, self.features if self.part == "head" else 0)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """Outputs of the file; an encoder's have the features of the variant."""
        return output_ports(self.part, self.features if self.part == "encoder" else 0, with_digits=self.with_digits)


def input_ports(part: Part, input_kind: InputKind, features: int) -> tuple[Port, ...]:
    """Inputs of one part: "pair"; of an encoder "image"; of a head "first" and "second", each [N,features]."""
    if part == "head":
        # Different names: ONNX Runtime takes axes of one name to have one size, but one row may meet many.
        return tuple(Port(name=name, dtype="float32", axes=(f"N_{name}", features)) for name in ("first", "second"))
    name, channels = ("image", 1) if part == "encoder" else ("pair", 2)
    if input_kind == "images":
        return (Port(name=name, dtype="uint8", axes=("N", channels, SIDE, SIDE)),)
    return (Port(name=name, dtype="float32", axes=("N", channels, *PAIR[1:])),)


def output_ports(part: Part, features: int, *, with_digits: bool) -> tuple[Port, ...]:
    """Outputs of one part: "probability" and optionally "digits"; of an encoder "features" [N,features]."""
    if part == "encoder":
        return (Port(name="features", dtype="float32", axes=("N", features)),)
    probability = Port(name="probability", dtype="float32", axes=("N",))
    if not with_digits:
        return (probability,)
    return probability, Port(name="digits", dtype="float32", axes=("N", 2, CLASSES))
