"""Simulated studies: few verdicts are false, intervals cover the truth, and a wrong standard error is noticed."""

import numpy as np
import pytest

from bench.simulated import world
from bench.verdicts import BASE, QUESTIONS, main, out_of_bounds, simulate
from pairnet.reporting import comparison, equivalence, generality, summaries

STUDIES = 50
"""Without an effect, and as many with one."""


@pytest.fixture(scope="module")
def found():
    return simulate(studies=STUDIES, draws=10)


def test_false_verdicts_are_rare_and_intervals_cover_the_truth(found):
    assert out_of_bounds(found) == []
    assert all(len(found[question.name]) >= STUDIES // 2 for question in QUESTIONS)


def test_a_paper_that_had_one_test_set_needs_the_readings(found):
    as_printed = found["paper, no difference: differs as printed, if it had one for all"]
    assert sum(as_printed) > sum(found["paper, no difference: differs"])


def test_effects_are_found(found):
    assert np.mean(found["effect of a point on these images: p < 0.05"]) > 0.8


def test_the_images_of_a_study_are_what_the_model_says():
    rng = np.random.default_rng(0)
    levels = np.array([BASE, BASE + 0.01])
    made = [world(rng, levels=levels) for _ in range(100)]
    here = np.array([each.here for each in made])
    assert here.mean(0) == pytest.approx(levels, abs=4 * here.std() / 10)
    assert here.std(0) == pytest.approx(2 * made[0].images.std() / 100, rel=0.3)  # of the mean over 10,000 images


def test_wrong_standard_errors_are_noticed(monkeypatch):
    """Errors that are a third or a tenth of what they should be, in each of the functions that a study goes through."""

    def narrow(low, high):
        return (2 * low + high) / 3, (low + 2 * high) / 3

    def interval(accuracies):
        return narrow(*real["interval"](accuracies))

    def paired(differences, confidence):
        low, high, _ = real["paired"](differences, confidence)
        low, high = narrow(low, high)
        return low, high, 0.01 if low > 0 or high < 0 else 0.9

    def parts(variances):
        variance, freedom = real["parts"](variances)
        return variance / 100, freedom

    def quantile(probability, freedom):
        return real["quantile"](probability, freedom) / 3

    real = {
        "interval": summaries.interval_of_mean,
        "paired": comparison.paired_test,
        "parts": equivalence.satterthwaite,
        "quantile": generality.quantile,
    }
    monkeypatch.setattr(summaries, "interval_of_mean", interval)
    monkeypatch.setattr(comparison, "paired_test", paired)
    monkeypatch.setattr(equivalence, "satterthwaite", parts)
    monkeypatch.setattr(generality, "quantile", quantile)
    assert {
        "paper, different by the margin: replicated",
        "two rows, no effect on these images: p < 0.05",
        "three rows, a false one with p (Holm) < 0.05",
        "two rows, no effect in general: the wider interval excludes 0",
        "interval of a mean covers that of these images",
        "wider interval of a mean covers that of images in general",
        "interval of a difference covers that of these images",
        "wider interval of a difference covers that of images in general",
    } <= set(out_of_bounds(simulate(studies=30, draws=10)))


def test_the_command_prints_each_question_and_fails_where_one_is_out_of_bounds(capsys, monkeypatch):
    assert main(["--studies", "2", "--draws", "3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in lines[2:-2]] == [f"| {question.name}" for question in QUESTIONS]
    assert lines[-1] == "out of bounds: nothing"
    monkeypatch.setattr("bench.verdicts.out_of_bounds", lambda found: ["something"])
    assert main(["--studies", "2", "--draws", "3"]) == 1
