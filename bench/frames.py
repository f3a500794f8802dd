"""Pictures of form cells and sheets: the printed lines that a crop takes along with the digit, and photos of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

TOP, BOTTOM, LEFT, RIGHT = range(4)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Lines along the edges of a picture."""

    sides: tuple[int, ...] = (TOP, BOTTOM, LEFT, RIGHT)
    width: float = 0.01  # of the picture's larger side, at least one pixel
    ink: float = 1.0  # of the pen's
    outside: float = 0.0  # paper between the edge and the line, of the larger side
    gap: float = 0.0  # paper missing at each corner, of the larger side
    double: bool = False  # a second line inside
    touching: bool = False  # the digit reaches one of the sides
    tight: tuple[int, ...] = ()  # sides without a margin
    lean: float = 0.0  # degrees by which the picture is turned: what leaves it is cut
    radius: float = 0.0  # of rounded corners, of the smaller side; 0.5 is a ring
    teeth: float = 1.0  # of the height: the left and right lines begin so far from the lower edge
    dash: float = 0.0  # length of dashes and of the gaps between them, of the larger side
    rules: float = 0.0  # distance of the lines of ruled paper, of the larger side
    around: float = 0.0  # paper on each side beyond all this, of the larger side
    photo: bool = False  # dark on light, saved as a JPEG of quality 80
    light: float = 0.0  # grey levels by which a photo becomes darker, from corner to corner
    noise: float = 0.0  # grey levels: the standard deviation of a photo's noise


KINDS = {
    "none": Frame(sides=()),
    "none, tight crop": Frame(sides=(), tight=(TOP, BOTTOM, LEFT, RIGHT)),
    "none, tight but below": Frame(sides=(), tight=(TOP, LEFT, RIGHT)),
    "thin": Frame(width=0),
    "1 %": Frame(),
    "5 %": Frame(width=0.05),
    "grey": Frame(ink=0.5),
    "1 side": Frame(sides=(TOP,)),
    "1 side, left": Frame(sides=(LEFT,), width=0.03),
    "2 sides": Frame(sides=(BOTTOM, LEFT)),
    "2 opposite sides": Frame(sides=(TOP, BOTTOM), width=0.02),
    "3 sides": Frame(sides=(TOP, LEFT, RIGHT), width=0.02),
    "broken corners": Frame(gap=0.06),
    "double": Frame(double=True),
    "paper outside": Frame(outside=0.03),
    "more paper outside": Frame(outside=0.08, width=0.02),
    "grey, paper outside": Frame(outside=0.03, ink=0.4),
    "dark surroundings": Frame(width=0.12),
    "lean 0.25 degrees": Frame(outside=0.03, lean=0.25),
    "lean 0.5 degrees": Frame(outside=0.03, lean=0.5),
    "lean 1 degree": Frame(outside=0.03, lean=1),
    "lean 2 degrees": Frame(outside=0.03, lean=2),
    "lean 0.5 degrees, thick": Frame(outside=0.03, width=0.04, lean=0.5),
    "lean 1 degree, thick": Frame(outside=0.03, width=0.04, lean=1),
    "lean 0.5 degrees, cut by the edge": Frame(width=0.015, lean=0.5),
    "lean 1 degree, cut by the edge": Frame(width=0.015, lean=1),
    "lean 2 degrees, cut by the edge": Frame(width=0.015, lean=2),
    "rounded corners": Frame(outside=0.03, radius=0.07),
    "more rounded corners": Frame(outside=0.03, radius=0.13),
    "rounded corners, lean 1 degree": Frame(outside=0.03, radius=0.1, lean=1),
    "comb": Frame(sides=(BOTTOM, LEFT, RIGHT), outside=0.03, teeth=0.25),
    "open above": Frame(sides=(BOTTOM, LEFT, RIGHT), outside=0.03),
    "ring": Frame(radius=0.5, width=0.02),
    "dashed": Frame(outside=0.03, dash=0.05),
    "touching": Frame(touching=True),
    "touching, lean 1 degree": Frame(outside=0.03, touching=True, lean=1),
    "touching, 1 side": Frame(sides=(BOTTOM,), touching=True),
    "touching, paper outside": Frame(outside=0.04, touching=True),
    **{
        f"{name}photo, light {light}, noise {noise}": Frame(sides=sides, photo=True, light=light, noise=noise)
        for name, sides in (("", ()), ("1 %, ", (TOP, BOTTOM, LEFT, RIGHT)))
        for light, noise in ((10, 0), (20, 3), (30, 6), (30, 20))
    },
    "ruled": Frame(sides=(), rules=0.15),
    "ruled, light grey, photo, light 20, noise 3": Frame(sides=(), rules=0.15, ink=0.4, photo=True, light=20, noise=3),
    "small in a photo, noise 6": Frame(sides=(), around=3, photo=True, noise=6),
    "small in a photo, light 20, noise 6": Frame(sides=(), around=3, photo=True, light=20, noise=6),
}


def framed(ink: NDArray[np.uint8], frame: Frame, margins: Sequence[int], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The ink [H,W] of a digit, 255 on 0, with the lines of a frame; `margins` around the digit: above, below, ..."""
    height, width = ink.shape
    unit = max(height, width)
    line, outside, gap = max(1, round(frame.width * unit)), round(frame.outside * unit), round(frame.gap * unit)
    if frame.touching:
        side = frame.sides[0] if len(frame.sides) == 1 else int(rng.integers(4))
        cut = max(0, margins[side] - outside - line // 2)
        ink = (ink[cut:], ink[: height - cut], ink[:, cut:], ink[:, : width - cut])[side]
    if not frame.touching and frame.sides:  # as much paper inside as without a frame
        more = outside + (3 if frame.double else 1) * line + round(frame.radius * min(height, width) / 3)
        ink = np.pad(ink, more)
    level = np.uint8(round(255 * frame.ink))
    lines = np.zeros_like(ink)
    if frame.radius:
        image = Image.fromarray(lines)
        corners = (outside, outside, ink.shape[1] - 1 - outside, ink.shape[0] - 1 - outside)
        radius = frame.radius * min(ink.shape)
        ImageDraw.Draw(image).rounded_rectangle(corners, radius, outline=int(level), width=line)
        lines = np.asarray(image)
    else:
        for step in range(2 if frame.double else 1):
            _draw(lines, frame.sides, outside + 2 * step * line, line, gap, level)
    if frame.teeth < 1:
        lines[: round(lines.shape[0] * (1 - frame.teeth))] = 0
    if frame.dash:
        length = max(2, round(frame.dash * unit))
        rows, columns = (np.arange(side) // length % 2 for side in lines.shape)
        lines[(rows[:, None] + columns) % 2 > 0] = 0
    if frame.rules:
        distance = round(frame.rules * unit)
        for row in range(distance // 2, lines.shape[0], distance):
            lines[row : row + line] = level
    both = np.pad(np.maximum(ink, lines), round(frame.around * unit))
    return np.asarray(Image.fromarray(both).rotate(frame.lean, Image.Resampling.BICUBIC)) if frame.lean else both


def _draw(lines: NDArray[np.uint8], sides: tuple[int, ...], start: int, line: int, gap: int, level: np.uint8) -> None:
    for side in sides:
        turned = lines.T if side in (LEFT, RIGHT) else lines
        turned = turned[::-1] if side in (BOTTOM, RIGHT) else turned
        ends = slice(start + gap, turned.shape[1] - start - gap)
        turned[start : start + line, ends] = level


def photographed(picture: NDArray[np.uint8], frame: Frame, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture [H,W] in the light and with the noise of `frame`, as JPEG stores it."""
    down, across = (np.linspace(0, frame.light / 2, side) for side in picture.shape)
    levels = picture - down[:, None] - across + rng.normal(0, frame.noise, picture.shape)
    file = BytesIO()
    Image.fromarray(np.clip(levels, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=80)
    return np.asarray(Image.open(file))
