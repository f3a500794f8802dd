"""What a model is given: arrays checked before they run, and a line that says what was wrong with them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import InputError


def checked(images: NDArray[Any], name: str, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """The same images, where they are [N,*shape] of `dtype`, N at least 1, and finite; InputError where not."""
    sound = images.dtype == dtype and images.shape[1:] == shape and len(images) > 0
    if sound and (dtype is np.uint8 or np.isfinite(images).all()):
        return images
    raise InputError(_complaint(images, name, dtype, shape))


def check_answers(outputs: Sequence[NDArray[Any]], feeds: Mapping[str, NDArray[Any]]) -> None:
    """InputError where finite `feeds` were so large that a net's arithmetic, above all float16, could not hold them."""
    if any(value.dtype == np.uint8 for value in feeds.values()) or all(np.isfinite(each).all() for each in outputs):
        return
    name, values = max(feeds.items(), key=lambda feed: float(np.abs(feed[1]).max()))
    raise InputError(
        f"{name}: expected values that were normalised, a few units at most, came {np.abs(values).max():g}, which "
        "overflows in this file's arithmetic: normalise with the file's mean and std"
    )


def _complaint(images: NDArray[Any], name: str, dtype: type[Any], shape: tuple[int, ...]) -> str:
    """What is wrong with images that _checked refuses."""
    expected = f"{name}: expected {np.dtype(dtype).name} [N,{','.join(map(str, shape))}], came {show(images)}"
    if images.dtype != dtype:
        if dtype is np.uint8:
            return f"{expected}: send grey levels 0..255 as they are (images.astype(np.uint8), not scaled)"
        return f"{expected}: send float32, pooled to 14x14 and normalised with the file's mean and std"
    if images.shape[1:] != shape:
        return f"{expected}: {_remedy(images.shape, shape)}"
    if not len(images):
        return f"{expected}: there is nothing to answer; send at least one"
    at = np.argwhere(~np.isfinite(images))[0].tolist()
    return f"{expected} with {images[tuple(at)]} at {at}: send finite values"


def _remedy(came: tuple[int, ...], shape: tuple[int, ...]) -> str:
    channels, side = shape[0], shape[-1]
    if came == shape:
        return "a single one needs a batch axis, images[None]"
    if came[1:] == (side, side, channels):
        return "the channel axis comes second, np.moveaxis(images, -1, 1)"
    if came[1:] == (side, side):
        return "two images make a pair, np.stack((first, second), axis=1)"
    if came[1:2] == (channels,) and came[2:] == (14, 14):
        return "it takes raw pixels of 28x28; a file exported with --input pairs takes pooled ones"
    return "see Predictor.takes for what this file was exported for"


def show(images: NDArray[Any]) -> str:
    """Dtype and shape, for messages: "uint8 [3,28,28]"."""
    return f"{images.dtype} [{','.join(map(str, images.shape))}]"
