"""A record of a finished run, for tests of what reads records."""

from pairnet.study.records import RunRecord, environment
from pairnet.training.history import Epoch

EPOCH = Epoch(
    train_loss=0.5,
    train_auxiliary_loss=None,
    train_accuracy=0.75,
    validation_loss=0.1 + 0.2,
    validation_auxiliary_loss=None,
    validation_accuracy=0.7,
    validation_digit_accuracy=None,
)


def record(number=0):
    return RunRecord(
        fingerprint=f"f{number}",
        row="fc_1",
        variant="fc_1",
        structure="fc(392,1)",
        parameters=393,
        recipe={"epochs": 1},
        data={"name": "mnist5k", "origin": "“embedded”"},
        pairs=1000,
        seeds={"train_draw": 0, "test_draw": 1, "weights": 0, "order": 0},
        fold=None,
        folds=4,
        mean=33.3,
        std=75.1,
        epochs=(EPOCH, EPOCH),
        accuracy=0.7,
        seconds=1.5,
        environment=environment("cpu"),
    )
