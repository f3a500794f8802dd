"""Checks of the arrays that go into a model and of the arrays that come out, with a message for each failure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import InputError, ModelError

TOLERANCE = 0.01
"""By which a probability may be outside 0..1: sums of rounded float16 or 8-bit terms."""
LARGEST_NORMALISED = 100.0
"""Absolute value of a normalised pixel beyond which an invalid result is blamed on the input."""


def as_array(images: Any, name: str) -> NDArray[Any]:
    """`images` as an array.  Raises InputError for what NumPy cannot convert, such as rows of different lengths."""
    try:
        return np.asarray(images)
    except (ValueError, TypeError) as error:
        raise InputError(f"`{name}`: expected an array, got {type(images).__name__}: {error}") from None


def check_images(images: NDArray[Any], name: str, dtype: type[Any], shape: tuple[int, ...]) -> None:
    """Raises InputError unless `images` are [N,*shape] of `dtype`, N at least 1, and finite."""
    if problem := _problem(images, dtype, shape):
        expected = f"{np.dtype(dtype).name} [N,{','.join(map(str, shape))}]"
        raise InputError(f"`{name}`: expected {expected}, got {shown_array(images)}{problem}")


def check_results(results: Mapping[str, NDArray[Any]], images: NDArray[Any]) -> None:
    """Checks results by name: all finite, "probability" and "digits" in 0..1; rounding errors are clipped.

    Raises InputError if `images`, from which they were computed, are so large that the model's arithmetic (above all
    float16) overflows, and ModelError otherwise.
    """
    for name, values in results.items():
        low, high = (-np.inf, np.inf) if name == "features" else (-TOLERANCE, 1 + TOLERANCE)
        least, most = float(values.min()), float(values.max())  # nan if any value is nan
        if low <= least and most <= high and np.isfinite(least) and np.isfinite(most):
            if name != "features" and (least < 0 or most > 1):
                np.clip(values, 0, 1, out=values)
            continue
        largest = float(np.abs(images).max()) if images.dtype != np.uint8 else 0.0
        if largest > LARGEST_NORMALISED:
            raise InputError(
                f"`pairs`: expected normalised values of a few units, got {largest:g}, which overflows in the "
                "arithmetic of this file: normalise with the file's mean and std"
            )
        expected = "finite values" if name == "features" else "values from 0 to 1"
        raise ModelError(
            f"expected {expected} as {name}, got {least:g} to {most:g}: the file is damaged; export the run again"
        )


def shown_array(images: NDArray[Any]) -> str:
    """Dtype and shape, for messages: "uint8 [3,28,28]"."""
    return f"{images.dtype} [{','.join(map(str, images.shape))}]"


def _problem(images: NDArray[Any], dtype: type[Any], shape: tuple[int, ...]) -> str:
    """The end of the message for images that check_images refuses; empty for others."""
    if images.dtype != dtype:
        if dtype is np.uint8:
            return ": pass raw grey levels 0..255 (images.astype(np.uint8), not scaled)"
        return ": pass float32, pooled to 14x14 and normalised with the file's mean and std"
    if images.shape[1:] != shape:
        return f": {_remedy(images.shape, shape)}"
    if not len(images):
        return ": pass at least one"
    if dtype is np.uint8 or np.isfinite(images).all():
        return ""
    at = np.argwhere(~np.isfinite(images))[0].tolist()
    return f" with {images[tuple(at)]} at {at}: pass finite values"


def _remedy(got: tuple[int, ...], shape: tuple[int, ...]) -> str:
    channels, side = shape[0], shape[-1]
    if got == shape:
        return "add a batch axis, images[None]"
    if got[1:] == (side, side, channels):
        return "move the channel axis to the second place, np.moveaxis(images, -1, 1)"
    if got[1:] == (side, side):
        return "combine two images to a pair, np.stack((first, second), axis=1)"
    if got[1:2] == (channels,) and got[2:] == (14, 14):
        return "pass raw pixels of 28x28, or use a file that was exported for pairs of pooled images"
    return "see Predictor.input_kind for what this file takes"
