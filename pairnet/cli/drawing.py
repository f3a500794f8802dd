"""Owns the drawing of 28x28 images in a terminal."""

import numpy as np
from numpy.typing import NDArray
from rich.text import Text

SHADES = " ·:-=+*#%@"  # from dark to light


def drawn(pixels: NDArray[np.uint8], *, colour: bool, half: bool = False) -> Text:
    """An image [28,28] as 14 lines of 28 characters, each for two pixels: grey blocks if `colour`, else SHADES.

    With `half`, 7 lines of 14 characters: each pixel is the mean of 2x2.
    """
    if half:
        pixels = pixels.reshape(14, 2, 14, 2).mean((1, 3)).astype(np.uint8)
    upper, lower = pixels[0::2], pixels[1::2]  # [14,28]
    lines = []
    for top, bottom in zip(upper.tolist(), lower.tolist(), strict=True):
        line = Text()
        for a, b in zip(top, bottom, strict=True):
            if colour:
                line.append("▀", f"rgb({a},{a},{a}) on rgb({b},{b},{b})")
            else:
                line.append(SHADES[(a + b) * len(SHADES) // 511])
        lines.append(line)
    return Text("\n").join(lines)
