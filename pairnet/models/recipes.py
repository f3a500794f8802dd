"""What training does to a variant: the paper's recipe is the default of each field."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Warp:
    """The largest magnitudes of small random warps of the 14x14 images, drawn anew for each image in each epoch."""

    rotation: float = 12.0  # degrees
    scale: float = 0.12  # the factor of each axis lies in 1 - scale .. 1 + scale
    shear: float = 0.1
    shift: float = 1.0  # pixels, in x and in y
    elastic: float = 0.0  # pixels: standard deviation of a smooth displacement, from a 4x4 grid of normal ones

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(f"{name} of a warp must be finite and not negative, not {value}")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one net is trained (paper, section III).

    loss_ratio weighs the main loss against the auxiliary one: loss_ratio * BCE + CE(first) + CE(second), each a mean
    over the batch. It has no part where a variant classifies no digits: the loss is then BCE alone. The fields from
    `optimiser` on go beyond the paper.
    """

    epochs: int = 25
    batch: int = 25  # not stated in the paper; with 25 its accuracies come out, with 100 they do not
    learning_rate: float = 1e-3  # the largest one, where a schedule changes it
    loss_ratio: float = 0.5
    optimiser: Literal["adam", "adamw"] = "adam"
    weight_decay: float = 0.0  # of kernels and matrices; biases and BN are left alone
    betas: tuple[float, float] = (0.9, 0.999)
    schedule: Literal["constant", "cosine", "linear"] = "constant"  # how the learning rate falls to 0
    warm_up: float = 0.0  # fraction of the steps in which the learning rate rises from 0
    warp: Warp | None = None
    recalibrate: bool = False  # at the end, BN's statistics are taken anew over all training pairs, not warped

    def __post_init__(self) -> None:
        for name in ("epochs", "batch"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, not {getattr(self, name)}")
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, not {self.learning_rate}")
        for name in ("loss_ratio", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must not be negative, not {getattr(self, name)}")
        if not 0 <= self.warm_up < 1:
            raise ValueError(f"warm_up is a fraction in [0, 1), not {self.warm_up}")
        for name, known in (("optimiser", ("adam", "adamw")), ("schedule", ("constant", "cosine", "linear"))):
            if getattr(self, name) not in known:
                raise ValueError(f'{name} is one of {", ".join(known)}, not "{getattr(self, name)}"')

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at `progress`, the fraction of all steps that are done, in [0, 1)."""
        if progress < self.warm_up:
            return self.learning_rate * progress / self.warm_up
        left = (1 - progress) / (1 - self.warm_up)  # 1 -> 0
        match self.schedule:
            case "cosine":
                return self.learning_rate * (1 - math.cos(math.pi * left)) / 2
            case "linear":
                return self.learning_rate * left
        return self.learning_rate

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for a record."""
        return {**asdict(self), "betas": list(self.betas)}

    def identity(self) -> dict[str, Any]:
        """What tells recipes apart: the paper's settings, and the others where they are in use.

        So a record stays valid when a field is added here whose default changes nothing.
        """
        usual = Recipe().to_dict()
        always = ("epochs", "batch", "learning_rate", "loss_ratio")
        return {name: value for name, value in self.to_dict().items() if name in always or value != usual[name]}
