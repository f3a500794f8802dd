"""Owns the lines at the edge of a picture, such as those of a form's cell: found, and left out of the picture."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from pairnet.errors import PictureError
from pairnet.serving.pictures.components import MOST, Components, cell_map, components, spread

FAINT = 0.12  # of the picture's range; a level that differs more from the paper's is no paper
COVERED = 0.85  # of a side, without its outer tenths: a line may be broken at the corners
SKEW = 0.025  # of the larger side: a line may lean, or be drawn by hand, within so many rows
DEPTH = 0.16  # of the larger side: lines lie within it, and within a quarter of their own
STAINED = 0.05  # of the paper outside a line
STEEP = 0.045  # of a side: a line that leans may rise by so much, 2.6 degrees
SHARPER = 1.05  # times as sharp as it is: what is less is no lean
KNOWN = 0.5  # of a line that leans, in the picture
CORNER = 0.2  # of the larger side: rounded corners lie within it
STRIP = 0.08  # of the larger side: the teeth of a comb lie within it
PIECE = 0.04  # of the larger side: shorter pieces are speckles
ACROSS = 0.97  # of a picture's side: a line from edge to edge
TALL = 0.3  # of the height inside: what is less is the bar of an angular 8


T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, kw_only=True, eq=False)
class Line:
    """A line along one side of the map, which may lean: column x of it is moved by drop[x] rows."""

    start: int  # rows outside it
    end: int  # rows up to its inner edge
    drop: NDArray[np.int64]  # [W], at most 0

    def edge(self) -> NDArray[np.int64]:
        """The first row inside the line, of each column [W]."""
        return np.maximum(self.end + self.drop, 0)


def inside_lines(name: str, pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The part of a picture [H,W] inside the lines along its edges; all of it if it has none.

    The bar of a closely cropped 7 or 2 is such a line, too. So lines belong to the digit if other ink touches them and
    they do not run from corner to corner along the edge, or if they are on one or two sides and other ink reaches the
    other edges. PictureError for other lines that are touched, except a single one of three or four: those of a cell.
    """
    paper, contrast = paper_level(pixels)
    marks, rows, columns = _marks(pixels, paper, FAINT * contrast)
    views = _views(marks)
    inside = _views(pixels[rows[:-1]][:, columns[:-1]])
    lines = [
        line if line and abs(_middle_level(view, line) - paper) <= FAINT * contrast / 4 else None  # no shadow
        for line, view in zip(map(_line, views), inside, strict=True)
    ]
    found = [line for line in lines if line]
    if not found:
        _check_no_pieces(name, marks)
        return pixels
    outside = _outside(marks, lines)
    inner = marks & ~outside
    if not inner.any():
        return pixels
    top, bottom, left, right = _bounds(outside)
    if np.ptp(np.flatnonzero(inner.any(1))) + 1 < TALL * (bottom - top):
        return pixels  # nothing but the lines: they are the digit
    touches = [bool(_along(view, line).any()) for view, line in zip(_views(inner), lines, strict=True)]
    touched = sum(touch for touch, line in zip(touches, lines, strict=True) if line)
    reaches = all(touch for touch, line in zip(touches, lines, strict=True) if not line)
    whole = all(_is_whole(view, line) for view, line in zip(views, lines, strict=True) if line)
    one = len(found) > 2 and touched == 1  # the digit of a cell may reach one of its lines
    if (len(found) <= 2 and reaches) or (touched and not whole and not one):
        return pixels
    if touched and not one:
        raise PictureError(
            f"{name}: expected a digit apart from the lines at the edge, got one that touches them: crop the picture "
            "to the digit, inside the lines",
            "lines",
        )
    _check_no_pieces(name, inner[top:bottom, left:right])
    part = pixels[rows[top] : rows[bottom], columns[left] : columns[right]]
    cells = outside[top:bottom, left:right]
    if not cells.any():
        return part
    blank = spread(cells, rows[top : bottom + 1], columns[left : right + 1])
    return np.where(blank, np.uint8(paper), part)


def check_not_ruled(name: str, pixels: NDArray[np.uint8]) -> None:
    """PictureError for lines across a picture [H,W], from edge to edge, as on ruled or squared paper.

    Four are no digit's; three are none if other ink is above or below all of them, nor two with ink on both sides:
    an 8 or a crossed 7 that fills its crop has bars, too.
    """
    paper, contrast = paper_level(pixels)
    marks = _marks(pixels, paper, FAINT * contrast)[0]
    if marks.mean() > 0.5:  # light that changes is no ink
        return
    for view in (marks, marks.T):
        lean = min(_lean(view), len(view))
        near = np.lib.stride_tricks.sliding_window_view(view, lean, 0).any(-1)  # [rows, W]
        steps = np.flatnonzero(np.diff(np.pad(near.mean(1) >= ACROSS, 1).astype(np.int8)))
        count = len(steps) // 2
        if count < 2:
            continue
        beyond = sum(bool(part.any()) for part in (view[: max(0, steps[0] - lean)], view[steps[-1] + 2 * lean :]))
        if count > 3 or beyond > 3 - count:
            raise PictureError(
                f"{name}: expected a digit on plain paper, got {count} lines across the picture: crop the picture to "
                "the digit, between the lines, or write on paper without lines",
                "lines",
            )


def _outside(marks: NDArray[np.bool_], lines: Sequence[Line | None]) -> NDArray[np.bool_]:
    """What of a map [H,W] lies on the outer side of a line's inner edge, or is a rest of the lines.

    Rests are parts that reach the edge of a line and lie within the rows in which a line may lean, or in a corner, as
    that of rounded lines and the teeth of a comb.
    """
    outside = np.zeros_like(marks)
    for view, line in zip(_views(outside), lines, strict=True):
        if line:
            view |= np.arange(len(view))[:, None] < line.edge()
    found = components(marks & ~outside)
    if not 0 < len(found.boxes) <= MOST:
        return outside
    rest, near = np.zeros(len(found.boxes) + 1, bool), np.zeros_like(marks)
    for labels, view, line in zip(_views(found.labels), _views(near), lines, strict=True):
        if line:
            rest[_along(labels, line)] = True
            view |= np.arange(len(view))[:, None] < line.edge() + _lean(marks)
    rest[found.labels[~near]] = False
    rest[0] = False
    rest[1:] |= _in_corners(found, lines)
    return outside | rest[found.labels]


def _check_no_pieces(name: str, marks: NDArray[np.bool_]) -> None:
    """PictureError for pieces of lines at the edge of a map [H,W], as a crop leaves them of lines that lean.

    Apart from other ink, they reach the edge and lie close to it. A broken digit, closely cropped, has such pieces,
    too, but its other ink reaches the other edges, except one.
    """
    views = _views(marks)
    if not any(view[0].any() for view in views):
        return
    found = components(marks)
    if len(found.boxes) > MOST:
        return
    least = max(2, round(STRIP * max(marks.shape)))
    pieces = np.append(False, found.sides() >= PIECE * max(marks.shape))
    pieces[found.labels[least:-least, least:-least]] = False
    labels = _views(np.where(pieces[found.labels], found.labels, 0))
    pieces[np.setdiff1d(np.arange(len(pieces)), np.concatenate([view[0] for view in labels]))] = False
    piece = pieces[found.labels]
    digit = marks & ~piece
    free = [side for side, taken in zip(_views(digit), _views(piece), strict=True) if not taken[0].any()]
    if piece.any() and digit.any() and sum(not side[0].any() for side in free) >= min(2, len(free)):
        raise PictureError(
            f"{name}: expected a digit apart from the edge, got pieces of lines there: crop the picture to the digit, "
            "inside the lines",
            "lines",
        )


def _in_corners(found: Components, lines: Sequence[Line | None]) -> NDArray[np.bool_]:
    """Which parts [N] reach a line and lie in a corner of the map, or in a strip along a side next to the line."""
    height, width = found.labels.shape
    size = max(height, width)
    gaps = (found.boxes[:, 0], height - found.boxes[:, 2], found.boxes[:, 1], width - found.boxes[:, 3])
    far = (found.boxes[:, 2], height - found.boxes[:, 0], found.boxes[:, 3], width - found.boxes[:, 1])
    inset = [int(line.edge().max()) if line else 0 for line in lines]
    chosen = np.zeros(len(found.boxes), bool)
    for side, line in enumerate(lines):
        if line is None:
            continue
        for other in (2, 3) if side < 2 else (0, 1):
            corner = (far[side] <= inset[side] + CORNER * size) & (far[other] <= inset[other] + CORNER * size)
            strip = (far[other] <= inset[other] + STRIP * size) & (lines[other] is None)
            chosen |= (gaps[side] <= inset[side] + 1) & (corner | strip)
    return chosen


def _bounds(outside: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The rows and columns of a map [H,W] that are not all outside: first and end of each."""
    rows, columns = (np.flatnonzero(~outside.all(axis)) for axis in (1, 0))
    return int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1


def _is_whole(marks: NDArray[np.bool_], line: Line) -> bool:
    """Whether a line runs from corner to corner along the upper edge of a map [H,W]."""
    if not line.drop.any():
        return bool(marks[0].all())
    row = int(-line.drop.min()) // 2  # the first of which one half is in the picture
    known = row + line.drop >= 0
    return bool(marks[row + line.drop[known], np.flatnonzero(known)].all())


def _along(values: NDArray[T], line: Line | None) -> NDArray[T]:
    """The row inside a line, or at the upper edge, of [H,W] -> [W]."""
    return values[0] if line is None else values[np.minimum(line.edge(), len(values) - 1), np.arange(values.shape[1])]


def paper_level(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    """The most frequent level of a picture, among those nearby, and the range of its levels."""
    counts = np.bincount(pixels.ravel(), minlength=256)
    low, high = np.flatnonzero(counts)[[0, -1]]
    start = max(0, int(np.convolve(counts, np.ones(17), "same").argmax()) - 8)
    return start + int(counts[start : start + 17].argmax()), int(high - low)


def _views(values: NDArray[T]) -> tuple[NDArray[T], ...]:
    """A map [H,W] with its upper, lower, left and right edge on top."""
    return values, values[::-1], values.T, values.T[::-1]


def _middle_level(levels: NDArray[np.uint8], line: Line) -> float:
    """The median level of the second row inside a line, without its outer tenths."""
    width = levels.shape[1]
    row = np.minimum(line.edge() + 1, len(levels) - 1)
    return float(np.median(levels[row, np.arange(width)][width // 10 : width - width // 10]))


def _marks(
    pixels: NDArray[np.uint8], paper: int, faint: float
) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """A map of what differs by more than `faint` from `paper`, and the first row and column of each cell and the end.

    A cell is marked if any of its pixels is.
    """
    differs = np.abs(np.arange(256) - paper) > max(faint, 1)
    return cell_map(differs[pixels])


def _lean(marks: NDArray[np.bool_]) -> int:
    """The rows within which a line of a map may lean, or be drawn by hand."""
    larger: int = max(marks.shape)
    return max(1, round(larger * SKEW))


def _line(marks: NDArray[np.bool_]) -> Line | None:
    """The line, or the lines, along the upper edge of a map [H,W]; None without one."""
    height, width = marks.shape
    depth, lean = min(int(np.ceil(max(marks.shape) * DEPTH)), height // 4), _lean(marks)
    band, ends = marks[: depth + 2 * lean + 1], slice(width // 10, width - width // 10)
    drop = _drop(band, ends)
    depth -= int(drop.min())
    middle, known = _moved(band, drop, ends)
    share = middle.sum(1) / np.maximum(known.sum(1), 1)
    share[known.mean(1) < KNOWN] = 0
    straight = share >= COVERED
    leaning = np.array([middle[top : top + lean].any(0).mean() >= COVERED for top in range(depth + lean)])
    if drop.any():
        leaning |= straight[: len(leaning)]
    beyond = int(np.flatnonzero(~leaning[:depth])[-1]) + 1 if not leaning[:depth].all() else 0
    rows = np.flatnonzero(leaning[:beyond])  # what goes on beyond the depth is more than a line
    if not len(rows):
        return None
    if rows[0] > lean and middle[: rows[0] - lean].mean() > STAINED:  # it swells, as the top of a bold 0 does
        return None
    last = int(rows[-1]) + lean
    found = np.flatnonzero(straight[:last])
    end = int(found[-1]) + 1 if len(found) else last
    while end < depth + lean and share[end] > COVERED / 2:  # the grey edge of the line
        end += 1
    marked = np.flatnonzero(share[:end] > COVERED / 2)
    return Line(start=int(marked[0]) if len(marked) else int(rows[0]), end=end, drop=drop)


def _drop(band: NDArray[np.bool_], ends: slice) -> NDArray[np.int64]:
    """By how many rows each column of a band [R,W] at the upper edge has to move for its line to be straight -> [W].

    That is where the rows differ most in their ink. All 0 if no line leans.
    """
    width = band.shape[1]
    level, most = np.zeros(width, np.int64), round(width * STEEP)
    window = np.lib.stride_tricks.sliding_window_view(band[:, ends].cumsum(0), most + 1, 0)
    if len(band) <= most + 1 or (window[..., -1] > window[..., 0]).mean(1).max(initial=0) < COVERED:
        return level
    place = np.linspace(0, 1, width)
    best, found = _sharpness(band, level, ends) * SHARPER, level
    for rise in range(-most, most + 1):
        drop = -np.rint(abs(rise) * (place if rise > 0 else 1 - place)).astype(np.int64)
        if abs(rise) > 1 and (sharp := _sharpness(band, drop, ends)) > best:
            best, found = sharp, drop
    return found


def _sharpness(band: NDArray[np.bool_], drop: NDArray[np.int64], ends: slice) -> float:
    middle, known = (each.sum(1) for each in _moved(band, drop, ends))
    return float((middle**2 / np.maximum(known, 1)).sum())


def _moved(
    band: NDArray[np.bool_], drop: NDArray[np.int64], ends: slice
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The columns `ends` of a band [R,W] with each moved down by -drop rows, and what of them is in the picture."""
    rows = np.arange(len(band) - int(drop.min()))[:, None] + drop[ends]
    known = (rows >= 0) & (rows < len(band))
    return band[:, ends][np.clip(rows, 0, len(band) - 1), np.arange(rows.shape[1])] & known, known
