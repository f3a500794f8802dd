"""Digits as strokes: the centre lines of given images, and pictures of them drawn with a round pen of any width."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

ENLARGED = 6  # times, before thinning: a hole of one pixel stays open
SMOOTHED = 6  # times each point moves towards its neighbours: no steps when drawn large
FAITHFUL = 0.75
NEIGHBOURS = ((-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1))  # clockwise from above


@dataclass(frozen=True, kw_only=True, eq=False)
class Strokes:
    """The centre lines of one digit: straight segments between points, in any unit, y down."""

    points: NDArray[np.float64]  # [P,2]: y, x
    segments: NDArray[np.int64]  # [S,2]: indices of points


def thinned(ink: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The centre lines of [N,H,W], one pixel wide: Zhang and Suen, 1984, A fast parallel algorithm for thinning."""
    ink = np.pad(ink, ((0, 0), (1, 1), (1, 1)))
    changed = True
    while changed:
        changed = False
        for first in (True, False):
            around = np.stack([np.roll(ink, (-dy, -dx), (1, 2)) for dy, dx in NEIGHBOURS])
            count = around.sum(0)
            turns = (~around & np.roll(around, -1, 0)).sum(0)
            north, east, south, west = around[0], around[2], around[4], around[6]
            if first:
                free = ~(north & east & south) & ~(east & south & west)
            else:
                free = ~(north & east & west) & ~(north & south & west)
            remove = ink & (count >= 2) & (count <= 6) & (turns == 1) & free
            changed |= bool(remove.any())
            ink &= ~remove
    return ink[:, 1:-1, 1:-1]


def strokes(images: NDArray[np.uint8]) -> list[Strokes | None]:
    """The strokes of light digits on dark.  [N,28,28] -> N, None for a digit that its centre lines do not represent.

    That are those with filled loops or blots: centre lines, redrawn with a pen of the digit's own mean width, must
    share at least FAITHFUL of the pixels that either has.
    """
    side = images.shape[1] * ENLARGED
    enlarged = [Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC) for each in images]
    large = np.stack([np.asarray(each) > 127 for each in enlarged])
    found = [_linked(line) for line in thinned(large)]
    return [each if _likeness(each, ink) >= FAITHFUL else None for each, ink in zip(found, large, strict=True)]


def _likeness(digit: Strokes, ink: NDArray[np.bool_]) -> float:
    """Pixels that ink [H,W] and its redrawn strokes share, as a fraction of those that either has."""
    length = np.hypot(*(digit.points[digit.segments[:, 0]] - digit.points[digit.segments[:, 1]]).T).sum()
    canvas = Image.new("L", ink.shape[::-1])
    _draw(canvas, digit.points, digit.segments, pen=float(ink.sum() / max(length, 1)))
    redrawn = np.asarray(canvas) > 0
    return float((ink & redrawn).sum() / max((ink | redrawn).sum(), 1))


def _linked(line: NDArray[np.bool_]) -> Strokes:
    """Centre lines [H,W] as smooth segments between neighbours."""
    number = np.full(np.add(line.shape, 2), -1)
    points = np.argwhere(line)
    number[1:-1, 1:-1][line] = np.arange(len(points))
    segments = []
    for dy, dx in NEIGHBOURS[:4]:
        others = number[points[:, 0] + 1 + dy, points[:, 1] + 1 + dx]
        segments.append(np.stack((np.flatnonzero(others >= 0), others[others >= 0]), 1))
    linked = np.concatenate(segments)
    return Strokes(points=_smoothed(points.astype(np.float64), linked), segments=linked)


def _smoothed(points: NDArray[np.float64], segments: NDArray[np.int64]) -> NDArray[np.float64]:
    """Points that moved to the mean of themselves and their neighbours, again and again; ends stay."""
    degree = np.bincount(segments.ravel(), minlength=len(points))
    for _ in range(SMOOTHED):
        total = points.copy()
        np.add.at(total, segments[:, 0], points[segments[:, 1]])
        np.add.at(total, segments[:, 1], points[segments[:, 0]])
        points = np.where(degree[:, None] > 1, total / (degree[:, None] + 1), points)
    return points


def drawn(digit: Strokes, *, height: int, pen: float, margins: Sequence[int], smooth: bool) -> NDArray[np.uint8]:
    """A picture of a digit, 255 on 0: `height` pixels are its larger side, drawn with a round pen of `pen` pixels.

    margins: empty pixels above, below, left and right of it.
    smooth: grey edges, as most programs draw; otherwise each pixel is ink or not.
    """
    fine = (4 if height <= 400 else 2) if smooth else 1
    low, high = digit.points.min(0), digit.points.max(0)
    scale = max(height - pen, 1) / max(float((high - low).max()), 1e-9)
    size = np.ceil((high - low) * scale + pen).astype(int)
    above, below, left, right = margins
    canvas = Image.new("L", (fine * int(size[1] + left + right), fine * int(size[0] + above + below)))
    at = fine * ((digit.points - low) * scale + pen / 2 + (above, left)) - 0.5
    _draw(canvas, at, digit.segments, pen=fine * pen)
    return np.asarray(canvas.reduce(fine) if fine > 1 else canvas)


def _draw(canvas: Image.Image, points: NDArray[np.float64], segments: NDArray[np.int64], *, pen: float) -> None:
    """Draws lines with round joints and ends."""
    draw = ImageDraw.Draw(canvas)
    width, radius = max(1, round(pen)), pen / 2
    for start, end in segments:
        draw.line((*points[start, ::-1], *points[end, ::-1]), fill=255, width=width)
    if width > 2:
        for y, x in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
