"""Calibration: bins and their error against hand arithmetic, the command, the figure."""

import json
import os

import numpy as np
import pytest
from record_examples import record

from pairnet.cli import app
from pairnet.cli.common import run_app
from pairnet.models.variants import find_variant
from pairnet.records.calibration import BINS, expected_calibration_error, pooled
from pairnet.records.store import append
from pairnet.study.execution import reliability


def test_every_pair_is_counted_in_the_bin_of_its_probability():
    probability = np.array([0.0, 0.01, 0.5, 0.999, 1.0], np.float32)
    bins = reliability(probability, np.array([0, 1, 1, 1, 0], np.float32))
    assert len(bins) == BINS
    assert bins[0] == (2, pytest.approx(0.01), 1)
    assert bins[BINS // 2] == (1, 0.5, 1)
    assert bins[-1] == (2, pytest.approx(1.999), 1)
    assert sum(count for count, _, _ in bins) == 5
    assert reliability(np.array([0.2], np.float32), np.array([1], np.float32))[3] == (1, pytest.approx(0.2), 1)


def test_the_error_is_the_mean_distance_of_probability_and_fraction():
    rng = np.random.default_rng(0)
    probability = rng.random(200_000).astype(np.float32)
    target = (rng.random(200_000) < probability).astype(np.float32)
    assert expected_calibration_error(reliability(probability, target)) < 0.005
    certain = np.ones(1000, np.float32)
    right = (np.arange(1000) < 900).astype(np.float32)
    assert expected_calibration_error(reliability(certain, right)) == pytest.approx(0.1)


def test_pooled_bins_equal_the_bins_of_all_pairs():
    rng = np.random.default_rng(1)
    probability, target = rng.random(300).astype(np.float32), rng.integers(0, 2, 300).astype(np.float32)
    whole = reliability(probability, target)
    parts = pooled([reliability(probability[:100], target[:100]), reliability(probability[100:], target[100:])])
    assert [(n, k) for n, _, k in parts] == [(n, k) for n, _, k in whole]
    assert np.allclose([s for _, s, _ in parts], [s for _, s, _ in whole], atol=1e-5)


@pytest.fixture
def study(tmp_path):
    bins = reliability(np.array([0.95, 0.9], np.float32), np.array([1, 0], np.float32))
    for number, label in enumerate(("final_model", "order_net")):
        append(tmp_path, record(number, label=label, calibration=bins, test_pairs=2))
    append(tmp_path, record(2, label="old"))
    return tmp_path


def test_the_command_prints_and_draws(study, capsys):
    figure = study / "reliability.svg"
    command = ["calibration", "final_model", "order_net", "--runs", str(study)]
    assert run_app(app, [*command, "--output", str(figure), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["order_net"]["expected_calibration_error"] == pytest.approx(0.475)
    assert "ECE" in figure.read_text()
    assert run_app(app, command) == 0
    assert "47.50 %" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["w_net"], "expected runs of w_net in "),
        (["w_net"], "got runs of final_model, order_net: did you mean order_net?"),
        (["old"], "got runs of final_model, order_net: name one of these"),
        (["order_net", "--output", "x.gif"], ".gif"),
    ],
)
def test_bad_input_is_refused_in_one_line(study, capsys, arguments, reason):
    assert run_app(app, ["calibration", *arguments, "--runs", str(study)]) == 2
    *notes, err = capsys.readouterr().err.splitlines()
    assert reason in err
    assert len(notes) == ("--output" in arguments)


def test_cross_validated_runs_do_not_count_and_saved_networks_do(study, capsys):
    bins = reliability(np.array([0.95, 0.9], np.float32), np.array([1, 0], np.float32))
    append(study, record(3, label="folded", calibration=bins, fold=0, pairs=8, wrong=None))
    assert run_app(app, ["calibration", "folded", "--runs", str(study)]) == 2
    assert "expected runs of folded in" in capsys.readouterr().err
    (study / "fc_3-1").mkdir()
    saved = record(4, label="fc_3", variant=find_variant("fc_3"), calibration=bins, test_pairs=2)
    (study / "fc_3-1" / "record.json").write_text(saved.to_json())
    assert run_app(app, ["calibration", "order_net", "fc_3", "--runs", str(study), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["order_net"]["runs"], found["fc_3"]["runs"]) == (1, 1)
    assert found["fc_3"]["setting"] == "25 epochs, 1,000 pairs of mnist5k, 2 for testing"


def test_runs_of_different_settings_are_never_put_together(study, capsys):
    bins = reliability(np.array([0.5], np.float32), np.array([1], np.float32))
    for number in (3, 4):  # two draws of other pairs
        append(study, record(number, label="order_net", calibration=bins, pairs=200, test_pairs=1))
    command = ["calibration", "order_net", "--runs", str(study), "--json"]
    assert run_app(app, command) == 0
    out, err = capsys.readouterr()
    assert err == (
        "order_net: 2 runs of 25 epochs, 200 pairs of mnist5k, 1 for testing; left out: 1 of 25 epochs, 1,000 pairs of "
        "mnist5k, 2 for testing\n"
    )
    assert json.loads(out)["order_net"]["runs"] == 2
    assert run_app(app, [*command, "--pairs", "1000"]) == 0
    out, err = capsys.readouterr()
    assert err == "order_net: 1 run of 25 epochs, 1,000 pairs of mnist5k, 2 for testing\n"
    assert json.loads(out)["order_net"]["expected_calibration_error"] == pytest.approx(0.475)
    assert run_app(app, [*command, "--data", "mnist"]) == 2
    assert (
        "has 25 epochs, 1,000 pairs of mnist5k, 2 for testing or 25 epochs, 200 pairs of mnist5k, 1 for testing: select"
        in capsys.readouterr().err
    )


def test_a_full_disk_is_named_by_the_path_that_could_not_be_written(study, capsys, monkeypatch):
    def full(figure, path):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pairnet.reporting.figures.drawing.save", full)
    figure = study / "figure.svg"
    assert run_app(app, ["calibration", "order_net", "--runs", str(study), "--output", str(figure)]) == 1
    assert capsys.readouterr().err.splitlines()[-1] == f"pairnet: {figure}: No space left on device"
    assert not figure.exists()
