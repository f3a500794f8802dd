"""What training does to a variant: the paper's recipe is the default of each field."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one net is trained (paper, section III).

    loss_ratio weighs the main loss against the auxiliary one: loss_ratio * BCE + CE(first) + CE(second), each a mean
    over the batch. It has no part where a variant classifies no digits: the loss is then BCE alone.
    """

    epochs: int = 25
    batch: int = 25  # not stated in the paper; with 25 its accuracies come out, with 100 they do not
    learning_rate: float = 1e-3
    loss_ratio: float = 0.5

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        if not self.loss_ratio >= 0:
            raise ValueError(f"loss_ratio must not be negative, not {self.loss_ratio}")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return asdict(self)
