"""What the sides of a difference of differences are called."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Levels:
    """What the sides of a difference of differences are called in its table of two by two, and in its figure."""

    rows: tuple[str, str]  # of `first` and of `second`
    columns: tuple[str, str]  # of the difference, and of the one that is subtracted from it


def levels_of(corners: tuple[str, str, str, str]) -> Levels:
    """What the sides of a difference of differences are called by the labels of its rows; see `Contrast.corners`.

    By the parts, between commas, that the two labels of a side share, "w_net" of "w_net, pairs 300" and "w_net, pairs
    1000"; both labels where they share none, or where two sides would have one name.
    """
    a, b, c, d = corners
    return Levels(rows=_names((a, c), (b, d)), columns=_names((a, b), (c, d)))


def _names(one: tuple[str, str], other: tuple[str, str]) -> tuple[str, str]:
    first, second = (", ".join(part for part in left.split(", ") if part in right.split(", "))
                     for left, right in (one, other))  # fmt: skip
    return (first, second) if first and second and first != second else (" / ".join(one), " / ".join(other))
