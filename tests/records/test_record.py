"""Records: round trip, validation of everything that is read, fingerprints."""

import dataclasses
import json
import re
from dataclasses import replace

import pytest
from record_examples import record, run_of

from pairnet.errors import RecordError
from pairnet.host import revision
from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.records.reading import read_record
from pairnet.records.record import FailedRun
from pairnet.records.run import Run
from pairnet.study.environment import environment

RUN_KEYS = {field.name for field in dataclasses.fields(Run)}


def edited(**changes):
    """The JSON of a valid record with some values replaced, of the record or of its run."""
    plain = json.loads(record().to_json())
    run = {**plain["run"], **{key: value for key, value in changes.items() if key in RUN_KEYS}}
    return json.dumps({**plain, "run": run, **{key: each for key, each in changes.items() if key not in RUN_KEYS}})


def test_a_record_is_one_line_and_survives_the_round_trip():
    line = record().to_json()
    assert "\n" not in line
    assert read_record(line) == read_record(line.encode()) == record()


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_a_record_carries_the_whole_network(variant):
    made = record(variant=variant)
    assert read_record(made.to_json()).run.variant == variant


def test_a_failed_run_survives_the_round_trip():
    run = run_of(fold=2)
    place = environment("cpu", engine="processes")
    failed = FailedRun(fingerprint=run.fingerprint, run=run, label="fc_1", error="the loss is nan", environment=place)
    assert read_record(failed.to_json()) == failed


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"accuracy": 7}, "accuracy"),
        ({"accuracy": -0.001}, "accuracy"),
        ({"accuracy": 1.001}, "accuracy"),
        ({"elsewhere": {"weights": "f" * 64, "mean": 255.001, "std": 9.0}}, "mean"),
        ({"accuracy": "x"}, "accuracy"),
        ({"accuracy": None}, "accuracy"),
        ({"seconds": "x"}, "seconds"),
        ({"seconds": -1}, "seconds"),
        ({"own_seeds": 3}, "own_seeds"),
        ({"own_seeds": {}}, "train_draw"),
        ({"seed": -1}, "seed"),
        ({"run": []}, "run"),
        ({"run": {}}, "variant"),
        ({"images": []}, "images"),
        ({"images": {}}, "name"),
        ({"epochs": []}, "epochs"),
        ({"epochs": 5}, "epochs"),
        ({"epochs": [5]}, "epochs"),
        ({"epochs": [{"loss": 1}]}, "train_loss"),
        ({"variant": {}}, "name"),
        ({"variant": {"name": "fc_1", "parameters": 1, "net": "fc(1,", "recipe": {}}}, "fc(1,"),
        ({"variant": {"name": "fc_1", "parameters": 1, "net": "fc(392,1)", "recipe": {"epochs": 0}}}, "epochs"),
        (
            {"variant": {"name": "fc_1", "parameters": 1, "net": "fc(392,1)", "recipe": {"optimiser": "magic"}}},
            "optimiser",
        ),
        ({"std": 0}, "std"),
        ({"pairs": 0}, "pairs"),
        ({"wrong": [["a", 1]]}, "wrong"),
        ({"environment": {"versions": 3}}, "environment"),
        ({"schema": 99}, "schema 3 or older, got 99"),
        ({"schema": "x"}, "schema"),
    ],
)
def test_a_value_that_no_run_writes_is_refused_and_named(change, where):
    with pytest.raises(RecordError) as error:
        read_record(edited(**change))
    assert where in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "text",
    [b"{", b"[]", b"{}", b'"x"', b"3", b"null", b"\xff", b'{"epochs": 3}', b"", b"[" * 100_000, b'{"x":' * 100_000],
    ids=lambda text: repr(text[:12]),
)
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(RecordError) as error:
        read_record(text)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "change",
    [
        {"pairs": 999},
        {"fold": 1},
        {"seed": 2},
        {"own_seeds": {"train_draw": 2, "test_draw": 1, "weights": 0, "order": 0}},
    ],
    ids=["pairs", "fold", "seed", "seeds"],
)
def test_settings_that_were_edited_do_not_fit_the_fingerprint(change):
    with pytest.raises(
        RecordError,
        match=r"^fc_1, (draw [02]|pairs 1, .*)(, fold 2/4)?: expected fingerprint .*: it was edited, or a newer",
    ):
        read_record(edited(**change))


def test_a_long_value_is_quoted_from_its_beginning_and_its_place_stays():
    content = json.loads(record(0).to_json())
    content["run"]["variant"]["recipe"]["optimiser"] = "wrong" + "x" * 500
    with pytest.raises(RecordError) as error:
        read_record(json.dumps(content))
    assert ", got something else: Invalid enum value 'wrongx" in str(error.value)
    assert str(error.value).endswith(" - at `$.run.variant.recipe.optimiser`")


def test_an_unmeasured_last_epoch_is_refused():
    last = dataclasses.asdict(record().epochs[-1])
    with pytest.raises(RecordError, match="last epoch"):
        read_record(edited(epochs=[{**last, "validation_accuracy": None}]))


BINS = [[100, 50.0, 50]] * 10 + [[0, 0.0, 0]] * 5


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"calibration": BINS[1:]}, "15 calibration bins"),
        ({"calibration": [[0, 0.0, 0]] * 15}, "calibration bins of 1000 held-out pairs, got"),
        ({"calibration": [[100, 5.0, 5]] * 15}, "calibration bins of 1000 held-out pairs, got"),
        ({"calibration": [[5, 0.0, 0], [-5, 0.0, 0], *BINS[2:]]}, "counts and sums within them"),
        ({"calibration": [[10, 1e308, 5], *BINS[1:]]}, "counts and sums within them"),
        ({"calibration": [[10, 5.0, 11], *BINS[1:]]}, "counts and sums within them"),
        ({"accuracy": 0.99}, "expected an accuracy of 0.7000, as in the last epoch, got 0.9900"),
        ({"wrong": [[3, 0.25]]}, "expected 300 wrong pairs, got 1"),
        ({"wrong": [[at, 2.5] for at in range(300)]}, "probabilities from 0 to 1"),
        ({"wrong": [[at, 0.5] for at in range(300, 0, -1)]}, "in order"),
        ({"wrong": [[at, 0.5] for at in range(900, 1200)]}, "wrong pairs below 1000, got 1199"),
        ({"seconds": 1e308}, "seconds"),
        ({"mean": 256}, "mean"),
    ],
    ids=str,
)
def test_results_that_contradict_each_other_are_refused(change, where):
    with pytest.raises(RecordError, match=re.escape(where)) as error:
        read_record(edited(**change))
    assert str(error.value).startswith("fc_1, draw 0: ") or where in ("seconds", "mean")
    assert read_record(edited(calibration=BINS)).calibration[0] == (100, 50.0, 50)


def test_what_an_environment_does_not_say_is_empty():
    content = json.loads(record(0).to_json())
    for name in ("gpu", "node", "engine", "kernels"):
        content["environment"].pop(name, None)
    found = read_record(json.dumps(content)).environment
    assert (found.gpu, found.node, found.engine, found.kernels) == (None, "", "", "")


def test_fields_of_a_newer_version_are_ignored():
    assert read_record(edited(novel=1)) == record()


FROZEN = {
    "fc_1": "c1a533cdcf669c048550461c",
    "fc_2": "1bd91244fc3661fba01507e9",
    "fc_3": "7b4515668c771ea3119bc39e",
    "conv_1": "e400be2868719c9e2a7b9254",
    "conv_2": "903a17180f62f700cadaa68f",
    "conv_3": "d845164279c59551f08472f2",
    "cnn_base": "89fc5f2f3129d40ad7233dae",
    "no_w_net": "072144593100c6d1913cb4ec",
    "w_net": "e44eb346e124c174a7cb8fc4",
    "a_net": "d61a395e2450701b9317b645",
    "a_w_net": "687283eec072782ed93db8cf",
    "final_model": "35d77db9c413c2ca2171bf19",
    "a_w_net_bn": "3d0cc7e90f43223b5d66f941",
    "final_model_bn": "3c8f7e736f14a82321f28911",
    "order_net": "2934bfe1e7617e3c954504d1",
    "order_net_s": "c492a422674cd86306993ecb",
    "order_net_xs": "82bb1f4fe379239786a4adc3",
    "order_net_fast": "faf0a6ea7553740d945f1caa",
}
"""Fingerprints of `record` with each variant, computed before a recipe had a momentum."""


def test_fingerprints_of_recorded_runs_stay_as_they_are():
    for variant in VARIANTS:
        assert record(variant=variant).fingerprint == FROZEN.get(variant.name, record(variant=variant).fingerprint)
    every = Recipe(
        epochs=2,
        batch=10,
        learning_rate=0.5,
        loss_ratio=2.0,
        optimiser="adamw",
        weight_decay=0.1,
        betas=(0.5, 0.75),
        schedule="linear",
        warm_up=0.25,
        warp=Warp(),
        recalibrate=True,
    )
    made = record(variant=replace(find_variant("fc_1"), recipe=every))
    assert made.fingerprint == "49cf820838d923bfb0afe664"


def with_recipe(**settings):
    return record(variant=replace(find_variant("fc_1"), recipe=Recipe(**settings)))


def test_a_record_keeps_the_momentum_and_its_fingerprint_tells_it_apart():
    made = [with_recipe(), *(with_recipe(optimiser="sgd", momentum=momentum) for momentum in (0.0, 0.5, 0.9))]
    assert len({each.fingerprint for each in made}) == 4
    for each in made:
        assert read_record(each.to_json()) == each


def test_a_record_from_before_there_was_a_momentum_is_read():
    made = json.loads(record().to_json())
    del made["run"]["variant"]["recipe"]["momentum"]
    assert read_record(json.dumps(made)) == record()


def test_names_and_labels_do_not_change_the_fingerprint():
    run = record().run
    for changed in (
        replace(run, label="another"),
        replace(run, variant=replace(run.variant, name="mine")),
        replace(run, variant=replace(run.variant, note="a note")),
        replace(run, variant=replace(run.variant, net=run.variant.net.replace(" ", "   ").replace(",", ", "))),
    ):
        assert changed.fingerprint == run.fingerprint


def test_a_number_that_is_not_finite_is_not_written():
    with pytest.raises(ValueError, match="not JSON compliant"):
        replace(record(), seconds=float("nan")).to_json()


def test_the_environment_names_versions_hardware_node_and_revision():
    found = environment("cpu", engine="processes")
    assert {"python", "pairnet", "torch", "numpy"} <= found.versions.keys()
    assert found.hardware.endswith("cores")
    assert (found.engine, found.gpu) == ("processes", None)
    assert found.node
    assert revision()
