"""What a run says of a network that pairnet did not train: its weights, its origin, the scale of its pixels."""

import math
from dataclasses import dataclass, replace
from typing import Annotated

from msgspec import Meta

from pairnet.errors import ArgumentError
from pairnet.wording import is_plain, shown

LONGEST_ORIGIN = 100
"""Characters of an origin: it is part of the name of a row."""

Digest = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Level = Annotated[float, Meta(ge=0, le=255)]


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """A network that was trained elsewhere, as its owner describes it.

    `origin` says who or what trained it, on one line; networks of one origin are the draws of one row. `mean` and `std`
    of the pixels, in grey levels 0..255, are None if they are those of the run's training pairs.

    ArgumentError for an origin that is not plain text, and for a mean and std that normalise nothing.
    """

    weights: Digest  # SHA-256 over name, type, shape and bytes of every tensor
    origin: Annotated[str, Meta(max_length=LONGEST_ORIGIN)] = ""
    mean: Level | None = None
    std: Level | None = None

    def __post_init__(self) -> None:
        if not is_plain(self.origin) or len(self.origin) > LONGEST_ORIGIN:
            raise ArgumentError(
                f"expected `origin` to be at most {LONGEST_ORIGIN} printable characters without square brackets, got "
                f"{shown(self.origin)}: shorten it, or write it on one line"
            )
        if (self.mean is None) != (self.std is None):
            raise ArgumentError("expected both `mean` and `std`, or neither, got one of them: state both")
        if self.mean is not None and not (math.isfinite(self.mean) and 0 <= self.mean <= 255):
            raise ArgumentError(f"expected `mean` in grey levels, 0 to 255, got {self.mean}: state that of the pixels")
        if self.std is not None and not (math.isfinite(self.std) and 0 < self.std <= 255):
            raise ArgumentError(
                f"expected `std` in grey levels, above 0 to 255, got {self.std}: state that of the pixels"
            )

    @property
    def words(self) -> str:
        """What stands behind the name of a network wherever it is shown."""
        return f"trained elsewhere: {self.origin}" if self.origin else "trained elsewhere"

    @property
    def shared(self) -> "Elsewhere":
        """What the draws of one row have in common."""
        return replace(self, weights="", mean=None, std=None)
