"""The seeds of a run: of its pairs, its weights, the order of its batches and its dropout masks."""

from dataclasses import asdict, dataclass, fields

from pairnet.errors import ArgumentError


@dataclass(frozen=True, kw_only=True)
class Seeds:
    """Every seed of a run, each 0..2**63-1.  ArgumentError for another one."""

    train_draw: int
    test_draw: int
    weights: int
    order: int  # of the batches
    masks: int | None = None  # of dropout; None: they follow from `weights`

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            if value is not None and not 0 <= value < 2**63:
                raise ArgumentError(f"expected the seed `{each.name}` in 0..2**63-1, got {value}: choose another one")

    def identity(self) -> dict[str, int]:
        """The seeds that distinguish runs: a field that was added later counts where it is given."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def by_stream(self) -> dict[str, int]:
        """The seed of each stream, as studies name them; masks follow the weights if they have none of their own."""
        masks = self.weights if self.masks is None else self.masks
        return {
            "pairs": self.train_draw,
            "test": self.test_draw,
            "weights": self.weights,
            "order": self.order,
            "masks": masks,
        }


def seeds_of_draw(number: int) -> Seeds:
    """The seeds that follow from the number of a draw: those of every row of a table, so rows compare draw by draw."""
    return Seeds(train_draw=2 * number, test_draw=2 * number + 1, weights=number, order=number)


APART = Seeds(train_draw=0, test_draw=0, weights=0, order=0)
"""Stands in a setting for seeds that do not follow from the number of a draw."""
