"""Training settings of a variant. The default of each field is the paper's recipe."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from pairnet.errors import ArgumentError

MOST_EPOCHS = 100_000
"""Epochs of a run: its record lists each of them."""

MOST_PAIRS = 1_000_000
"""Pairs of a run: in memory they take a gigabyte. No batch is larger."""

LARGEST = 1e30
"""Largest learning rate, weight of a loss, decay, and magnitude of a warp: float32 has room for more."""

Optimiser = Literal["adam", "adamw", "sgd"]
Schedule = Literal["constant", "cosine", "linear"]


@dataclass(frozen=True, kw_only=True)
class Warp:
    """Largest magnitudes of small random warps of the 14x14 images, drawn again for each image in each epoch.

    Raises ArgumentError for a value that is negative or not finite.
    """

    rotation: float = 12.0  # degrees
    scale: float = 0.12  # the factor of each axis is in 1 - scale .. 1 + scale
    shear: float = 0.1
    shift: float = 1.0  # pixels, in x and in y
    elastic: float = 0.0  # pixels: standard deviation of a smooth displacement, from a 4x4 grid of normal samples

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            _check_size(name, value)


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one network is trained. Paper, section III.

    `loss_ratio` weights the main loss against the auxiliary loss: loss_ratio * BCE + CE(first) + CE(second), each a
    mean over the batch. It has no effect on a variant that does not classify digits: the loss is then only BCE. The
    fields from `optimiser` on extend the paper.

    `weight_decay` applies to kernels and matrices, not to biases and BN. With adamw it is decoupled: a step multiplies
    them by 1 - learning rate * weight_decay. With adam and sgd it is an L2 penalty: weight_decay * parameter is added
    to the gradient, before its averages or the momentum.

    Raises ArgumentError for a value out of bounds.
    """

    epochs: int = 25
    batch: int = 25  # not stated in the paper; its accuracies are reproduced with 25, but not with 100
    learning_rate: float = 1e-3  # the largest one, if a schedule changes it
    loss_ratio: float = 0.5
    optimiser: Optimiser = "adam"
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)  # of adam and adamw; sgd does not use them
    momentum: float = 0.9  # of sgd, without dampening and not Nesterov's; adam and adamw do not use it
    schedule: Schedule = "constant"  # how the learning rate decreases to 0
    warm_up: float = 0.0  # fraction of the steps in which the learning rate increases from 0
    warp: Warp | None = None
    recalibrate: bool = False  # at the end, compute BN's statistics again from all training pairs, without warps

    def __post_init__(self) -> None:
        for name, most in (("epochs", MOST_EPOCHS), ("batch", MOST_PAIRS)):
            _require(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
            _require(getattr(self, name) <= most, name, f"at most {most:,}", getattr(self, name))
        rate = self.learning_rate
        _require(math.isfinite(rate) and rate > 0, "learning_rate", "finite and above 0", rate)
        for name in ("loss_ratio", "weight_decay"):
            _check_size(name, getattr(self, name))
        _check_size("learning_rate", rate)
        betas = self.betas
        _require(len(betas) == 2 and all(0 <= beta < 1 for beta in betas), "betas", "two values in [0, 1)", betas)
        _require(0 <= self.momentum < 1, "momentum", "a value in [0, 1)", self.momentum)
        _require(0 <= self.warm_up < 1, "warm_up", "a fraction in [0, 1)", self.warm_up)
        for name, known in (("optimiser", get_args(Optimiser)), ("schedule", get_args(Schedule))):
            _require(getattr(self, name) in known, name, f"one of {', '.join(known)}", f'"{getattr(self, name)}"')

    def learning_rate_at(self, progress: float) -> float:
        """The learning rate at `progress`, the finished fraction of all steps, in [0, 1)."""
        if progress < self.warm_up:
            return self.learning_rate * progress / self.warm_up
        remaining = (1 - progress) / (1 - self.warm_up)  # 1 -> 0
        match self.schedule:
            case "cosine":
                return self.learning_rate * (1 - math.cos(math.pi * remaining)) / 2
            case "linear":
                return self.learning_rate * remaining
        return self.learning_rate

    def to_dict(self) -> dict[str, Any]:
        """Plain values for a record."""
        return {**asdict(self), "betas": list(self.betas)}

    def identity(self) -> dict[str, Any]:
        """The settings that distinguish recipes: those of the paper, and each other one that is not at its default.

        So records stay valid when a field is added whose default changes nothing.
        """
        usual = Recipe().to_dict()
        always = ("epochs", "batch", "learning_rate", "loss_ratio")
        return {name: value for name, value in self.to_dict().items() if name in always or value != usual[name]}


def steps_of_epoch(recipe: Recipe, pairs: int, folds: int | None = None) -> int:
    """Number of batches in an epoch; of a cross-validated run, whose first fold is held out, of the other pairs."""
    trained = pairs if folds is None else pairs - -(-pairs // folds)
    return max(1, -(-trained // recipe.batch))


def _check_size(name: str, value: float) -> None:
    _require(math.isfinite(value) and value >= 0, name, "finite and at least 0", value)
    _require(value <= LARGEST, name, f"at most {LARGEST:g}", value)


def _require(valid: bool, name: str, expected: str, given: object) -> None:
    if not valid:
        raise ArgumentError(f"expected `{name}` to be {expected}, got {given}: choose another value")
