"""Owns the connected parts of a map of ink: which there are, whether others surround them, whether one is a stroke."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pairnet.serving.pictures.strokes import pen_width

MAP_SIDE = 512  # cells of a map of a picture, at most
MOST = 5000  # parts that are told apart; a map with more is noise
NOTABLE = 0.2  # of the ink's larger side: a part that may be the digit
COVERED = 0.35  # of a part's side that has other ink in front of it: more than half of a dashed line has
STROKE = 2.2  # times as long as wide; a disc is 1.5, a square 1.6
THIN = 6  # times as long as wide: certainly a stroke
COARSE = 3  # cells that become one, to measure what is thick


@dataclass(frozen=True, kw_only=True, eq=False)
class Components:
    """The N connected parts of a map [H,W]; cells that meet at a corner are connected."""

    labels: NDArray[np.int64]  # [H,W]: 0 is paper, 1 to N
    boxes: NDArray[np.int64]  # [N,4]: first row, first column, end of the rows, end of the columns

    def sides(self) -> NDArray[np.int64]:
        """The larger side of each part -> [N]."""
        larger: NDArray[np.int64] = (self.boxes[:, 2:] - self.boxes[:, :2]).max(1, initial=0)
        return larger


def cell_map(marks: NDArray[np.bool_]) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.int64]]:
    """A map of marked pixels [H,W] with at most MAP_SIDE cells a side: a cell is marked if any of its pixels is.

    Also the first row and the first column of each cell, with the ends.
    """
    rows, columns = (np.arange(min(side, MAP_SIDE) + 1) * side // min(side, MAP_SIDE) for side in marks.shape)
    return (
        np.logical_or.reduceat(np.logical_or.reduceat(marks, rows[:-1], axis=0), columns[:-1], axis=1),
        rows,
        columns,
    )


def spread(marks: NDArray[np.bool_], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.bool_]:
    """The pixels [H,W] of the marked cells of a map; `rows` and `columns` as `cell_map` returns them."""
    return np.repeat(np.repeat(marks, np.diff(rows), 0), np.diff(columns), 1)


def components(ink: NDArray[np.bool_]) -> Components:
    """The connected parts of [H,W], found from runs of cells in rows that meet those of the row above."""
    rows, starts, ends = _runs(ink)
    parent = list(range(len(rows)))

    def root(run: int) -> int:
        while parent[run] != run:
            parent[run] = parent[parent[run]]
            run = parent[run]
        return run

    first = np.searchsorted(rows, np.arange(ink.shape[0] + 1))
    for row in range(1, ink.shape[0]):
        above, here = int(first[row - 1]), int(first[row])
        while above < first[row] and here < first[row + 1]:
            if starts[here] <= ends[above] and starts[above] <= ends[here]:
                parent[root(here)] = root(above)
            if ends[above] < ends[here]:
                above += 1
            else:
                here += 1
    roots, which = np.unique([root(run) for run in range(len(rows))], return_inverse=True)
    labels = np.zeros(ink.shape, np.int64)
    labels[ink] = np.repeat(which + 1, ends - starts)
    boxes = np.zeros((len(roots), 4), np.int64)
    boxes[:, :2] = max(ink.shape)
    for column, (function, values) in enumerate(
        ((np.minimum, rows), (np.minimum, starts), (np.maximum, rows + 1), (np.maximum, ends))
    ):
        function.at(boxes[:, column], which, values)
    return Components(labels=labels, boxes=boxes)


def _runs(ink: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Runs of marked cells in the rows of [H,W]: the row, the first column and the end of each."""
    steps = np.diff(np.pad(ink, ((0, 0), (1, 1))).astype(np.int8), axis=1)
    rows, starts = np.nonzero(steps == 1)
    return rows, starts, np.nonzero(steps == -1)[1]


def surrounded(ink: NDArray[np.bool_], found: Components) -> bool:
    """Whether a part that may be the digit has other ink on three or four of its sides, as one in a box or a comb."""
    least = NOTABLE * max(np.ptp(each) + 1 for each in np.nonzero(ink))
    for label in np.flatnonzero(found.sides() >= least) + 1:
        top, left, bottom, right = found.boxes[label - 1]
        other = ink & (found.labels != label)
        across, down = other[:, left:right], other[top:bottom]
        sides = (across[:top].any(0), across[bottom:].any(0), down[:, :left].any(1), down[:, right:].any(1))
        if sum(float(side.mean()) >= COVERED for side in sides) > 2:
            return True
    return False


def has_stroke(found: Components) -> bool:
    """Whether one of the largest parts of a map of FINE cells is longer than wide: dots and blots are not."""
    sides = found.sides()
    for label in np.argsort(-sides)[:3] + 1:
        top, left, bottom, right = found.boxes[label - 1]
        part = found.labels[top:bottom, left:right] == label
        if sides[label - 1] >= THIN * pen_width(part):
            return True
        coarse = part[::COARSE, ::COARSE]  # a disc is not wider than the distances that are told apart
        if not coarse.any() or max(coarse.shape) >= STROKE * pen_width(coarse):
            return True
    return False
