"""The paper's losses, and the metrics of an epoch: mean losses and accuracies computed from a network's scores."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pairnet.errors import TrainingError
from pairnet.models.networks import Scores
from pairnet.models.variants import Variant
from pairnet.records.record import Epoch


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Means over a set of pairs. The last two are None for a network that does not classify digits."""

    loss: float  # binary cross-entropy of the main score
    accuracy: float  # fraction of 1
    auxiliary_loss: float | None = None  # cross-entropies of both digits, summed
    digit_accuracy: float | None = None  # fraction of 1, over both digits


def main_loss(scores: Scores, target: Tensor) -> Tensor:
    """Binary cross-entropy of the main score, mean over the batch. Paper, section III.

    target float32 [N], 1 if the first digit is equal to or less. Returns a scalar.
    """
    return functional.binary_cross_entropy_with_logits(scores.main, target)


def auxiliary_loss(scores: Scores, digits: Tensor) -> Tensor | None:
    """Cross-entropy of the first digit plus that of the second, each a mean over the batch. Paper, section VI.

    digits int64 [N,2]. Returns a scalar, or None for a network that does not classify digits.
    """
    if scores.digits is None:
        return None
    return 2 * functional.cross_entropy(scores.digits.flatten(0, 1), digits.flatten())


def total_loss(scores: Scores, target: Tensor, digits: Tensor, loss_ratio: float | Tensor) -> Tensor:
    """loss_ratio * BCE + CE + CE, or only BCE for a network that does not classify digits. Paper, section VI.

    target float32 [N], digits int64 [N,2]. Returns a scalar.
    """
    main, auxiliary = main_loss(scores, target), auxiliary_loss(scores, digits)
    return main if auxiliary is None else loss_ratio * main + auxiliary


@torch.inference_mode()
def compute_metrics(sets: Sequence[tuple[Scores, Tensor, Tensor]]) -> list[Metrics]:
    """The metrics of each set of scores, targets [n] and digits [n,2].

    All values are copied from the device to the host at once, at the end.
    """
    values = []
    for scores, target, digits in sets:
        values += [main_loss(scores, target), ((scores.main > 0) == (target > 0)).float().mean()]
        if (auxiliary := auxiliary_loss(scores, digits)) is not None and scores.digits is not None:
            values += [auxiliary, (scores.digits.argmax(-1) == digits).float().mean()]
    names = ("loss", "accuracy", "auxiliary_loss", "digit_accuracy")[: len(values) // len(sets)]
    on_host = torch.stack(values).reshape(len(sets), -1).tolist()
    return [Metrics(**dict(zip(names, row, strict=True))) for row in on_host]


def make_epoch(training: Metrics, validation: Metrics | None) -> Epoch:
    """The history entry of one epoch; `validation` is None after an epoch without a measurement."""
    return Epoch(
        train_loss=training.loss,
        train_auxiliary_loss=training.auxiliary_loss,
        train_accuracy=training.accuracy,
        validation_loss=None if validation is None else validation.loss,
        validation_auxiliary_loss=None if validation is None else validation.auxiliary_loss,
        validation_accuracy=None if validation is None else validation.accuracy,
        validation_digit_accuracy=None if validation is None else validation.digit_accuracy,
    )


def check_finite(variant: Variant, number: int, epoch: Epoch) -> None:
    """Raise TrainingError, "diverged", if a loss of epoch `number` is infinite or not a number."""
    for loss in (epoch.train_loss, epoch.train_auxiliary_loss, epoch.validation_loss, epoch.validation_auxiliary_loss):
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(
                f"{variant.name}: expected a finite loss, got {loss} in epoch {number}: lower the learning rate",
                "diverged",
                number,
            )


def detach_scores(scores: Scores) -> Scores:
    """The same values without their gradient history."""
    return Scores(scores.main.detach(), None if scores.digits is None else scores.digits.detach())


def concatenate_scores(batches: Sequence[Scores]) -> Scores:
    """The scores of several batches as those of one, in their order."""
    digits = [scores.digits for scores in batches if scores.digits is not None]
    return Scores(torch.cat([scores.main for scores in batches]), torch.cat(digits) if digits else None)
