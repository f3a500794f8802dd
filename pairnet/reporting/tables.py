"""Tables in a terminal of any width: what names a row is there, whole; columns without room are left out."""

import copy
from collections.abc import Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderResult
from rich.table import Column, Table

SHORT, LONG = 0.4, 0.7
"""Parts of the terminal that names take: with up to LONG they are on one line, longer ones have at least SHORT."""

FOLDED = 12
"""Least columns of the terminal for text that goes on in the next line."""


class FittingTable(Table):
    """A table that leaves out columns in a terminal without room for them, and says which.

    Rich by itself makes columns narrower, those whose text may go on in the next line first, until nothing is left of
    them: names of rows, for example.
    """

    names: int = 1
    """Number of columns at the left that say what a row is about; they always stay."""

    shares: tuple[float, float] = (SHORT, LONG)
    """Parts of the terminal that names take at least, and up to which they are on one line."""

    least: Sequence[str] = ()
    """Headings of the columns that are left out first, after those that are empty, in this order. The others follow,
    from the right."""

    def fits(self, width: int) -> bool:
        """Whether no column with a text is left out in so many columns of a terminal."""
        columns, kept = self._fitted(width)
        return all(at in kept or _is_empty(column) for at, column in enumerate(columns))

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The parts of the table, for rich."""
        columns, kept = self._fitted(options.max_width)
        fitted = copy.copy(self)
        fitted.columns = [columns[at] for at in kept]
        if self.min_width is not None:
            fitted.min_width = min(self.min_width, options.max_width)
        left_out = [str(column.header) for at, column in enumerate(columns) if at not in kept and not _is_empty(column)]
        if missing := ", ".join(filter(None, left_out)):
            fitted.caption = f"{self.caption or ''}\nno room here for: {missing}".strip()
        yield from Table.__rich_console__(fitted, console, options)

    def _fitted(self, width: int) -> tuple[list[Column], list[int]]:
        """Copies of all columns, those of names as wide as they have to be, and the numbers of those with room."""
        columns = [copy.copy(column) for column in self.columns]
        room = width / self.names
        for column in columns[: self.names]:
            column.overflow = "fold"
            column.no_wrap = _longest(column) <= self.shares[1] * room
            if not column.no_wrap:
                column.min_width = min(max(_word(column), int(self.shares[0] * room)), int(self.shares[1] * room))
        ranks = {heading: rank for rank, heading in enumerate(self.least)}
        order = sorted(
            range(self.names, len(columns)),
            key=lambda at: (not _is_empty(columns[at]), ranks.get(str(columns[at].header), len(ranks)), -at),
        )
        kept = list(range(len(columns)))
        while order and _needed([columns[at] for at in kept], self.padding) > width:
            kept.remove(order.pop(0))
        return columns, kept


def _needed(columns: Sequence[Column], padding: tuple[int, int, int, int]) -> int:
    """The width of a table in which nothing is cut off."""
    _, right, _, left = padding
    return sum(_least(column) + left + right + 1 for column in columns) + 1  # a line on each side of each column


def _least(column: Column) -> int:
    """The width in which nothing of a column is cut off."""
    if column.no_wrap:
        return _longest(column)
    if column.min_width is not None:
        return column.min_width
    return min(_word(column), FOLDED) if column.overflow == "fold" else _word(column)


def _is_empty(column: Column) -> bool:
    """Whether a column says nothing about any row."""
    cells = list(column.cells)
    return bool(cells) and not any(str(cell).strip() for cell in cells)


def _word(column: Column) -> int:
    return max((cell_len(word) for line in _lines(column) for word in line.split()), default=0)


def _longest(column: Column) -> int:
    return max(map(cell_len, _lines(column)), default=0)


def _lines(column: Column) -> list[str]:
    return [line for cell in (column.header, *column.cells) for line in str(cell).split("\n")]
