"""The history of one run: losses and accuracies of each epoch. Does not import torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """The metrics of one epoch. Losses are means over pairs, and accuracies are fractions of 1.

    The auxiliary loss is the sum over both digits. Training metrics are collected during the epoch, with dropout and
    while the weights change. Validation metrics are measured at the end of the epoch on the held-out pairs, and are
    None after an epoch without a measurement (the last epoch always has one). Auxiliary metrics are None for a variant
    that does not classify digits.
    """

    train_loss: float
    train_auxiliary_loss: float | None
    train_accuracy: float
    validation_loss: float | None
    validation_auxiliary_loss: float | None
    validation_accuracy: float | None
    validation_digit_accuracy: float | None

    @property
    def measured(self) -> bool:
        """Whether the held-out pairs were evaluated after this epoch."""
        return self.validation_accuracy is not None
