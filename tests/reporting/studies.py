"""Synthetic studies: records of a table's rows whose accuracies are chosen, for tests of everything that reads them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from record_examples import record

from pairnet.records.calibration import BINS, Bin
from pairnet.records.record import Epoch, RunRecord
from pairnet.records.run import Images
from pairnet.study.tables import studies

MNIST = Images(name="mnist", source="mnist", origin="full MNIST", checksum="d" * 64, classes=10)


def epochs(count: int, accuracy: float, *, measured: bool = True) -> tuple[Epoch, ...]:
    """A history in which losses fall, measured after each epoch or at its end only."""
    last = count - 1
    return tuple(
        Epoch(
            train_loss=0.7 - 0.6 * at / count,
            train_auxiliary_loss=4.0 - 3 * at / count,
            train_accuracy=0.5 + 0.4 * at / count,
            validation_loss=0.6 if measured or at == last else None,
            validation_auxiliary_loss=1.0 if measured or at == last else None,
            validation_accuracy=accuracy if measured or at == last else None,
            validation_digit_accuracy=0.9 if measured or at == last else None,
        )
        for at in range(count)
    )


def bins(pairs: int) -> tuple[Bin, ...]:
    """Calibration bins of so many pairs, in the last two bins."""
    half = pairs // 2
    return ((0, 0.0, 0),) * (BINS - 2) + ((half, 0.9 * half, 4 * half // 5), (half, 0.98 * half, 24 * half // 25))


def rows(
    table: str, accuracies: Mapping[str, Sequence[float]], *, folds: int = 4, **changes: object
) -> list[RunRecord]:
    """Records of the rows of a table, one for each accuracy; of a cross-validated one, `folds` around each accuracy."""
    study = studies()[table]
    found = []
    for row in study.rows:
        for draw, accuracy in enumerate(accuracies.get(row.label, ())):
            for fold in range(folds) if study.cross_validated else (None,):
                shifted = accuracy + (0.0 if fold is None else 0.004 * (fold - (folds - 1) / 2))
                usual = {
                    "label": row.label,
                    "variant": row.variant,
                    "images": MNIST,
                    "fold": fold,
                    "folds": folds,
                    "measurements": row.variant.recipe.epochs,
                    "accuracy": round(shifted, 6),
                    "epochs": epochs(row.variant.recipe.epochs, round(shifted, 6)),
                    "calibration": bins(1000 if fold is None else 1000 // folds),
                    "answers_sha256": f"{row.label}-{draw}-{fold}",
                }
                found.append(record(draw, **{**usual, **changes}))
    return found


def relabelled(records: Sequence[RunRecord], label: str) -> list[RunRecord]:
    """The same records under another name."""
    return [replace(each, run=replace(each.run, label=label)) for each in records]
