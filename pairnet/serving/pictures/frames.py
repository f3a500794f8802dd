"""Owns the lines at the edge of a picture, such as those of a form's cell: found, and left out of the picture."""

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import PictureError

LARGEST = 512  # sides of the map on which lines are searched
FAINT = 0.12  # of the picture's range; a level that differs more from the paper's is no paper
COVERED = 0.85  # of a side, without its outer tenths: a line may be broken at the corners
SKEW = 0.025  # of the larger side: a line may lean, or be drawn by hand, within so many rows
DEPTH = 0.16  # of the larger side: lines lie within it, and within a quarter of their own
STAINED = 0.05  # of the paper outside a line
TALL = 0.3  # of the height inside: what is less is the bar of an angular 8


T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line along one side of the map."""

    start: int  # rows outside it
    end: int  # rows up to its inner edge


def inside_lines(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of a picture [H,W] inside the lines along its edges; all of it if it has none.

    The bar of a closely cropped 7 or 2 is such a line, too. So lines belong to the digit if other ink touches them and
    they do not run from corner to corner along the edge, or if they are on one or two sides and other ink reaches the
    other edges. PictureError for other lines that are touched, except a single one of three or four: those of a cell.
    """
    paper, contrast = _paper(pixels)
    marks, rows, columns = _marks(pixels, paper, FAINT * contrast)
    views = _views(marks)
    inside = _views(pixels[rows[:-1]][:, columns[:-1]])
    lines = [
        line if line and abs(_middle_level(view, line.end + 1) - paper) <= FAINT * contrast / 4 else None  # no shadow
        for line, view in zip(map(_line, views), inside, strict=True)
    ]
    found = [line for line in lines if line]
    if not found:
        return pixels
    height, width = marks.shape
    above, below, left, right = (line.end if line else 0 for line in lines)
    inner = marks[above : height - below, left : width - right]
    if not inner.any() or np.ptp(np.flatnonzero(inner.any(1))) + 1 < TALL * inner.shape[0]:
        return pixels  # nothing but the lines: they are the digit
    edges = (inner[0], inner[-1], inner[:, 0], inner[:, -1])
    touched = sum(bool(edge.any()) for line, edge in zip(lines, edges, strict=True) if line)
    reaches = all(bool(edge.any()) for line, edge in zip(lines, edges, strict=True) if not line)
    whole = all(view[0].all() for view, line in zip(views, lines, strict=True) if line)  # from corner to corner
    one = len(found) > 2 and touched == 1  # the digit of a cell may reach one of its lines
    if (len(found) <= 2 and reaches) or (touched and not whole and not one):
        return pixels
    if touched and not one:
        raise PictureError(
            f"{name}: expected a digit apart from the lines at the edge, got one that touches them: crop the picture "
            "to the digit, inside the lines",
            "lines",
        )
    top, bottom = rows[above], rows[height - below]
    return pixels[top:bottom, columns[left] : columns[width - right]]


def _paper(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """The most frequent level of a picture, among those nearby, and the range of its levels."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    low, high = np.flatnonzero(counts)[[0, -1]]
    start = max(0, int(np.convolve(counts, np.ones(17), "same").argmax()) - 8)
    return start + int(counts[start : start + 17].argmax()), int(high - low)


def _views(values: NDArray[T]) -> tuple[NDArray[T], ...]:
    """A map [H,W] with its upper, lower, left and right edge on top."""
    return values, values[::-1], values.T, values.T[::-1]


def _middle_level(levels: NDArray[np.uint8], row: int) -> float:
    """The median level of a row, without its outer tenths."""
    width = levels.shape[1]
    return float(np.median(levels[row, width // 10 : width - width // 10]))


def _marks(
    pixels: NDArray[np.uint8], paper: int, faint: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """A map of what differs by more than `faint` from `paper`, and the first row and column of each cell and the end.

    A cell is marked if any of its pixels is.
    """
    differs = np.abs(np.arange(256) - paper) > max(faint, 1)
    rows, columns = (np.arange(min(side, LARGEST) + 1) * side // min(side, LARGEST) for side in pixels.shape)
    return (
        np.logical_or.reduceat(np.logical_or.reduceat(differs[pixels], rows[:-1], axis=0), columns[:-1], axis=1),
        rows,
        columns,
    )


def _line(marks: NDArray[np.bool_]) -> Line | None:
    """The line, or the lines, along the upper edge of a map [H,W]; None without one."""
    height, width = marks.shape
    depth, lean = min(int(np.ceil(max(marks.shape) * DEPTH)), height // 4), max(1, round(max(marks.shape) * SKEW))
    middle = marks[: depth + 2 * lean + 1, width // 10 : width - width // 10]
    straight = middle.mean(1) >= COVERED
    leaning = np.array([middle[top : top + lean].any(0).mean() >= COVERED for top in range(depth + lean)])
    beyond = int(np.flatnonzero(~leaning[:depth])[-1]) + 1 if not leaning[:depth].all() else 0
    rows = np.flatnonzero(leaning[:beyond])  # what goes on beyond the depth is more than a line
    if not len(rows):
        return None
    if rows[0] > lean and middle[: rows[0] - lean].mean() > STAINED:  # it swells, as the top of a bold 0 does
        return None
    last = int(rows[-1]) + lean
    found = np.flatnonzero(straight[:last])
    end = int(found[-1]) + 1 if len(found) else last
    while end < depth + lean and middle[end].mean() > COVERED / 2:  # the grey edge of the line
        end += 1
    marked = np.flatnonzero(middle[:end].mean(1) > COVERED / 2)
    return Line(start=int(marked[0]) if len(marked) else int(rows[0]), end=end)
