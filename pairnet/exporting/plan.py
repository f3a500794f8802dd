"""Which files an export writes, decided before anything is trained or loaded for it; no torch."""

from dataclasses import replace
from pathlib import Path

from pairnet.artifact.design import DEFAULT_OPSET, Design, InputKind, Precision
from pairnet.errors import ArgumentError
from pairnet.models.variants import Variant
from pairnet.writing import check_file

DEFAULT_MAX_DROP = 0.5
"""Percentage points of accuracy that an export may lose."""

DEFAULT_MAX_CHANGED = 1.0
"""Percentage of the decisions that an export may change."""


def plan_files(
    variant: Variant,
    output: Path,
    *,
    input_kind: InputKind = "images",
    precision: Precision = "fp32",
    with_digits: bool = False,
    split: bool = False,
    opset: int = DEFAULT_OPSET,
    max_drop: float = DEFAULT_MAX_DROP,
    max_changed: float = DEFAULT_MAX_CHANGED,
    force: bool = False,
) -> list[tuple[Design, ...]]:
    """Groups of files that `exporting.export.export` will write: the joint file; with `split`, an encoder and its head.

    Raises ArgumentError for options that the variant does not support, and for a file that exists (without `force`).
    """
    if not 0 <= max_drop <= 100:  # also refuses nan
        raise ArgumentError(f"`max_drop`: expected 0 to 100 percentage points, got {max_drop:g}")
    if not 0 <= max_changed <= 100:
        raise ArgumentError(f"`max_changed`: expected 0 to 100 percent, got {max_changed:g}")
    joint = Design(
        variant=variant, input_kind=input_kind, with_digits=with_digits, opset=opset, half=precision == "fp16"
    )
    groups: list[tuple[Design, ...]] = [(joint,)]
    if split:
        part = replace(joint, with_digits=False)
        groups.append((replace(part, part="encoder"), replace(part, part="head")))
    for path in (path_of(design, output) for group in groups for design in group):
        check_file(path, force=force)
    return groups


def path_of(design: Design, output: Path) -> Path:
    """NAME.onnx for the joint file, NAME.encoder.onnx and NAME.head.onnx for the parts."""
    return output if design.part == "joint" else output.with_suffix(f".{design.part}.onnx")
