"""What an exported file promises: which part of which net it is, what goes in and comes out, what its metadata says."""

import math
from dataclasses import dataclass, replace
from errno import EEXIST
from pathlib import Path
from typing import Literal

from pairnet.models import notation
from pairnet.models.variants import CLASSES, IMAGE, PAIR, Variant

Part = Literal["joint", "encoder", "head"]
"""The whole net; one image -> features; two images' features -> probability."""

Kind = Literal["images", "pairs"]
"""What goes in: grey levels as they are, uint8 28x28; or pooled and normalised, float32 14x14."""

Precision = Literal["fp32", "fp16", "int8"]

Axes = tuple[str | int, ...]
"""A shape whose batch axis has a name: ("N", 2, 28, 28)."""

FORMAT = "1"
SIDE = 28
DEFAULT_OPSET = 18
OLDEST_OPSET, NEWEST_OPSET = 13, 22
DEFAULT_MAX_DROP = 0.5

METADATA = {
    "pairnet": "version of this list of keys",
    "variant": "row of the variant table",
    "structure": "the whole net in the paper's notation",
    "parameters": "trainable values of the whole net",
    "part": "joint, encoder or head",
    "input": "images or pairs",
    "precision": "fp32, fp16 or int8",
    "data": "name of the data source",
    "data_source": "what --data takes to find it again",
    "data_checksum": "SHA-256 of the data set",
    "pairs": "pairs drawn for training, and as many for testing",
    "seeds": "JSON: of the training draw, the test draw, the initial weights, the order of the batches",
    "mean": "of the training pairs' pixels, grey levels 0..255",
    "std": "likewise",
    "recipe": "JSON: epochs, batch, learning_rate, loss_ratio",
    "run": "fingerprint of the run: files with the same one belong together",
    "run_accuracy": "of the net on the recorded test draw, when it had been trained",
    "test_accuracy": "of this very file on that draw, when it was exported; an encoder's and a head's: of both",
    "versions": "JSON: of Python and the packages, by what they did (trained, exported)",
    "revision": "git revision of the code that exported",
    "run_revision": "git revision of the code that trained",
    "weights_sha256": "SHA-256 of the file's initializers; see checking.weights_digest",
}
"""Every key that a file carries, and its meaning. Values are text; numbers read back exactly with float() or int()."""


@dataclass(frozen=True, kw_only=True)
class Port:
    """One input or output of a file."""

    name: str
    dtype: str  # NumPy's name
    axes: Axes


@dataclass(frozen=True, kw_only=True)
class Design:
    """What a file is to be, apart from its weights.  ValueError for what the variant cannot have."""

    variant: Variant
    part: Part = "joint"
    kind: Kind = "images"
    digits: bool = False
    half: bool = False  # float16 weights and arithmetic; inputs, outputs and normalisation stay what they are
    opset: int = DEFAULT_OPSET

    def __post_init__(self) -> None:
        variant = self.variant
        if not OLDEST_OPSET <= self.opset <= NEWEST_OPSET:
            raise ValueError(f"--opset must lie in {OLDEST_OPSET}..{NEWEST_OPSET}, not {self.opset}")
        if self.digits and not variant.classifies_digits:
            raise ValueError(f"{variant.name} has no auxiliary classifier, so no digits: leave out --with-digits")
        if self.part != "joint" and (variant.net or not variant.shared):
            raise ValueError(f"{variant.name} has no encoder that both images share: leave out --split")

    @property
    def features(self) -> int:
        """Values that an encoder makes of one image."""
        return math.prod(notation.output_shape(self.variant.tower_layers, IMAGE))

    @property
    def inputs(self) -> tuple[Port, ...]:
        """pair; encoder: image; head: first and second."""
        if self.part == "head":
            # a name for each, since ONNX Runtime takes axes of one name to be of one size, and one row may meet many
            return tuple(
                Port(name=name, dtype="float32", axes=(f"N_{name}", self.features)) for name in ("first", "second")
            )
        name, channels = ("image", 1) if self.part == "encoder" else ("pair", 2)
        if self.kind == "images":
            return (Port(name=name, dtype="uint8", axes=("N", channels, SIDE, SIDE)),)
        return (Port(name=name, dtype="float32", axes=("N", channels, *PAIR[1:])),)

    @property
    def outputs(self) -> tuple[Port, ...]:
        """probability, perhaps digits; encoder: features."""
        if self.part == "encoder":
            return (Port(name="features", dtype="float32", axes=("N", self.features)),)
        probability = Port(name="probability", dtype="float32", axes=("N",))
        if not self.digits:
            return (probability,)
        return probability, Port(name="digits", dtype="float32", axes=("N", 2, CLASSES))


def plan(
    variant: Variant,
    output: Path,
    *,
    kind: Kind = "images",
    precision: Precision = "fp32",
    digits: bool = False,
    split: bool = False,
    opset: int = DEFAULT_OPSET,
    max_drop: float = DEFAULT_MAX_DROP,
    force: bool = False,
) -> list[tuple[Design, ...]]:
    """What exporting.export will write: the joint file, and with `split` an encoder and its head.

    ValueError for what the variant cannot have, FileExistsError for what is there already.
    """
    if not 0 <= max_drop <= 100:  # nan neither
        raise ValueError(f"--max-drop must lie in 0..100 percentage points, not {max_drop:g}")
    joint = Design(variant=variant, kind=kind, digits=digits, opset=opset, half=precision == "fp16")
    groups: list[tuple[Design, ...]] = [(joint,)]
    if split:
        alone = replace(joint, digits=False)
        groups.append((replace(alone, part="encoder"), replace(alone, part="head")))
    for path in (path_of(design, output) for group in groups for design in group):
        if path.exists() and not force:
            raise FileExistsError(EEXIST, "is there already: --force replaces it, --output names another", str(path))
    return groups


def path_of(design: Design, output: Path) -> Path:
    """NAME.onnx for the joint file, NAME.encoder.onnx and NAME.head.onnx for the parts."""
    return output if design.part == "joint" else output.with_suffix(f".{design.part}.onnx")
