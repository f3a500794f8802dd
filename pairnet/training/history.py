"""The history of one run: losses and accuracies, epoch by epoch; no torch."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """One epoch: losses are means per pair (auxiliary: both digits summed), accuracies fractions of 1.

    Training figures are collected as the batches go by (dropout on, weights moving), validation figures at the end of
    the epoch on the pairs held out from training, and are None after an epoch that was not measured (the last one
    always is). Auxiliary figures are None for a variant that classifies no digits.
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
