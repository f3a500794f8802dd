"""Records of finished runs, for tests of everything that reads records."""

from dataclasses import fields, replace

from pairnet.models.variants import find_variant
from pairnet.records.record import Epoch, RunRecord
from pairnet.records.run import Images, Run
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

IMAGES = Images(name="mnist5k", source="mnist5k", origin="“embedded”", checksum="c" * 64, classes=10)

_RUN = {field.name for field in fields(Run)}


def run_of(name="fc_1", number=0, **changes):
    """The run of a built-in variant for seed `number`, on images that do not exist, with some fields changed."""
    return Run(
        **{
            "variant": find_variant(name),
            "images": IMAGES,
            "label": name,
            "test_pairs": 1000,
            "seed": number,
            **changes,
        }
    )


def record(number=0, **changes):
    """A valid record of fc_1 for seed `number`, with some fields of the run or the record changed.

    The results follow from the accuracy.
    """
    run = run_of(number=number, **{name: value for name, value in changes.items() if name in _RUN})
    accuracy = changes.get("accuracy", 0.7)
    last = replace(EPOCH, validation_accuracy=accuracy)
    made = RunRecord(
        fingerprint=run.fingerprint,
        run=run,
        environment=environment("cpu", engine="processes"),
        parameters=96_433,
        mean=33.3,
        std=75.1,
        epochs=(EPOCH, last),
        accuracy=0.7,
        seconds=1.5,
        wrong=tuple((at, 0.25) for at in range(round(run.held_out * (1 - accuracy)))),
    )
    return replace(made, **{name: value for name, value in changes.items() if name not in _RUN})


def rerun(made, **changes):
    """The record of a run with some fields of the run changed, and with the fingerprint that follows."""
    run = replace(made.run, **changes)
    return replace(made, run=run, fingerprint=run.fingerprint)
