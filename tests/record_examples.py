"""Records of finished runs, for tests of everything that reads records."""

from dataclasses import replace

from pairnet.models.variants import find_variant
from pairnet.records.record import DataFacts, Epoch, RunRecord, Seeds, fingerprint_of
from pairnet.study.environment import environment

EPOCH = Epoch(
    train_loss=0.5,
    train_auxiliary_loss=None,
    train_accuracy=0.75,
    validation_loss=0.1 + 0.2,
    validation_auxiliary_loss=None,
    validation_accuracy=0.7,
    validation_digit_accuracy=None,
)


def record(number=0, **changes):
    """A valid record of fc_1 for seed `number`, with some fields changed; the results follow from the accuracy."""
    accuracy, pairs = changes.get("accuracy", 0.7), changes.get("test_pairs", 1000)
    last = replace(EPOCH, validation_accuracy=accuracy)
    wrong = tuple((at, 0.25) for at in range(round(pairs * (1 - accuracy))))
    made = RunRecord(
        fingerprint="to be computed",
        label="fc_1",
        variant=find_variant("fc_1"),
        parameters=96_433,
        data=DataFacts(name="mnist5k", source="mnist5k", origin="“embedded”", checksum="c" * 64, classes=10),
        pairs=1000,
        test_pairs=1000,
        seeds=Seeds(train_draw=2 * number, test_draw=2 * number + 1, weights=number, order=number),
        fold=None,
        folds=4,
        mean=33.3,
        std=75.1,
        epochs=(EPOCH, last),
        measurements=2,
        accuracy=0.7,
        seconds=1.5,
        environment=environment("cpu", engine="processes"),
        wrong=wrong,
    )
    made = replace(made, **changes)
    return replace(made, fingerprint=fingerprint_of(made))
