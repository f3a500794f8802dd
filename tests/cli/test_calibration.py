"""`pairnet calibration`: the command and its figure."""

import json
import os

import numpy as np
import pytest
from record_examples import record

from pairnet.models.variants import find_variant
from pairnet.records.store import append
from pairnet.study.execution import reliability


@pytest.fixture
def study(tmp_path):
    bins = reliability(np.array([0.95, 0.9], np.float32), np.array([1, 0], np.float32))
    for number, label in enumerate(("final_model", "order_net")):
        append(tmp_path, record(number, label=label, calibration=bins, test_pairs=2))
    append(tmp_path, record(2, label="old"))
    return tmp_path


@pytest.fixture
def calibration(command_line, study):
    """Runs `pairnet calibration` on the study -> (exit status, stdout, stderr)."""
    return lambda *arguments: command_line("calibration", *arguments, "--runs", study)


def test_the_command_prints_and_draws(calibration, tmp_path):
    status, out, _ = calibration("final_model", "order_net", "--output", "reliability.svg", "--json")
    assert (status, json.loads(out)["order_net"]["expected_calibration_error"]) == (0, pytest.approx(0.475))
    assert json.loads(out)["order_net"]["pooled_calibration_error"] == pytest.approx(0.475)
    assert "pooled ECE" in (tmp_path / "reliability.svg").read_text()
    status, out, _ = calibration("final_model", "order_net")
    assert (status, "47.50 %" in out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["w_net"], "expected runs of w_net in "),
        (["w_net"], "got runs of final_model, order_net: did you mean order_net?"),
        (["old"], "got runs of final_model, order_net: name one of these"),
        (["order_net", "--output", "x.gif"], ".gif"),
    ],
)
def test_bad_input_is_refused_in_one_line(calibration, arguments, reason):
    status, _, err = calibration(*arguments)
    *notes, line = err.splitlines()
    assert (status, reason in line) == (2, True)
    assert len(notes) == ("--output" in arguments)


def test_cross_validated_runs_do_not_count_and_saved_networks_do(calibration, study):
    bins = reliability(np.array([0.95, 0.9], np.float32), np.array([1, 0], np.float32))
    append(study, record(3, label="folded", calibration=bins, fold=0, pairs=8, wrong=None))
    status, _, err = calibration("folded")
    assert (status, "expected runs of folded in" in err) == (2, True)
    (study / "fc_3-1").mkdir()
    saved = record(4, label="fc_3", variant=find_variant("fc_3"), calibration=bins, test_pairs=2)
    (study / "fc_3-1" / "record.json").write_text(saved.to_json())
    status, out, _ = calibration("order_net", "fc_3", "--json")
    found = json.loads(out)
    assert (status, found["order_net"]["runs"], found["fc_3"]["runs"]) == (0, 1, 1)
    assert found["fc_3"]["setting"] == "25 epochs, 1,000 pairs of mnist5k, 2 for testing"


def test_runs_of_different_settings_are_never_put_together(calibration, study):
    bins = reliability(np.array([0.5], np.float32), np.array([1], np.float32))
    for number in (3, 4):  # two draws of other pairs
        append(study, record(number, label="order_net", calibration=bins, pairs=200, test_pairs=1))
    status, out, err = calibration("order_net", "--json")
    assert (status, json.loads(out)["order_net"]["runs"]) == (0, 2)
    assert err == (
        "order_net: 2 runs of 25 epochs, 200 pairs of mnist5k, 1 for testing; left out: 1 of 25 epochs, 1,000 pairs of "
        "mnist5k, 2 for testing\n"
    )
    status, out, err = calibration("order_net", "--json", "--pairs", 1000)
    assert (status, err) == (0, "order_net: 1 run of 25 epochs, 1,000 pairs of mnist5k, 2 for testing\n")
    assert json.loads(out)["order_net"]["expected_calibration_error"] == pytest.approx(0.475)
    status, _, err = calibration("order_net", "--data", "mnist")
    assert status == 2
    settings = "25 epochs, 1,000 pairs of mnist5k, 2 for testing or 25 epochs, 200 pairs of mnist5k, 1 for testing"
    assert f"has {settings}: select" in err


def test_a_full_disk_is_named_by_the_path_that_could_not_be_written(calibration, tmp_path, monkeypatch):
    def full(figure, path):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pairnet.reporting.figures.rendering.save", full)
    status, _, err = calibration("order_net", "--output", "figure.svg")
    assert (status, err.splitlines()[-1]) == (1, "pairnet: figure.svg: No space left on device")
    assert not (tmp_path / "figure.svg").exists()


def test_the_error_of_the_networks_is_not_that_of_their_mixture(calibration, study):
    """One network says 0.9 where all are in order, another where 8 of 10 are: together they look calibrated."""
    for number, in_order in ((5, 10), (6, 8)):
        probabilities, targets = np.full(10, 0.9, np.float32), np.arange(10) < in_order
        bins = reliability(probabilities, targets.astype(np.float32))
        append(study, record(number, label="two", variant=find_variant("fc_2"), calibration=bins, test_pairs=10))
    found = json.loads(calibration("two", "--json")[1])["two"]
    assert (found["expected_calibration_error"], found["std"]) == (pytest.approx(0.1), pytest.approx(0, abs=1e-6))
    assert found["pooled_calibration_error"] == pytest.approx(0, abs=1e-6)
    assert "10.00 ± 0.00 %" in calibration("two")[1]
