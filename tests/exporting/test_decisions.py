"""Decisions of files in lower precision: which pairs are compared, and how many decisions may change."""

import numpy as np
import pytest

from pairnet.data.sources import load_dataset
from pairnet.errors import AccuracyError, DecisionsError, ValuesError
from pairnet.exporting import decisions
from pairnet.exporting import export as exporting
from pairnet.exporting.decisions import Limits, changed, check_changed, check_drop, check_finite, further_pairs
from pairnet.exporting.export import export
from pairnet.records.seeds import Seeds, seeds_of_draw

pytest_plugins = ("trained_runs",)

LIMITS = Limits(max_drop=0.5, max_changed=1)


@pytest.mark.parametrize("data", ["mnist5k", "glyphs:200", "glyphs:20000"])
def test_further_pairs_are_different_and_of_the_test_images(data):
    dataset = load_dataset(data)
    pairs, images = further_pairs(seeds_of_draw(0), dataset), len(dataset.test)
    assert len(np.unique(pairs.indices, axis=0)) == len(pairs)
    assert (pairs.indices[:, 0] != pairs.indices[:, 1]).all()
    assert 0 <= pairs.indices.min() <= pairs.indices.max() < images
    assert len(pairs) <= decisions.FURTHER_PAIRS
    assert len(pairs) > 0.8 * min(decisions.FURTHER_PAIRS, 50 * images)
    digits = dataset.test.take(pairs.indices[:5])[1]
    assert (digits == pairs.digits[:5]).all()


def test_a_seed_of_the_run_is_not_used_for_further_pairs(monkeypatch):
    used, real = [], decisions.draw_test

    def spy(dataset, *, count, seed):
        used.append(seed)
        return real(dataset, count=count, seed=seed)

    monkeypatch.setattr(decisions, "draw_test", spy)
    first = decisions.FIRST_SEED
    further_pairs(Seeds(train_draw=1, test_draw=first + 1, weights=2, order=first + 3), load_dataset("glyphs:20000"))
    assert used == [first, first + 2][: len(used)]
    assert len(used) > 1


def outputs(probability, digits=None):
    found = {"probability": np.array(probability, np.float32)}
    return found if digits is None else found | {"digits": np.eye(10, dtype=np.float32)[digits]}


def test_each_output_is_counted_by_its_decisions():
    one = outputs([0.1, 0.6, 0.5, 0.9], [[1, 2], [3, 4], [5, 6], [7, 8]])
    other = outputs([0.4, 0.4, 0.51, np.nan], [[1, 2], [3, 5], [6, 5], [7, 8]])
    assert changed(one, other) == {"probability": 3, "digits": 3}


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("source", ["PyTorch", "the file"])
def test_values_that_are_not_finite_are_counted_and_refused(source, wrong):
    right, broken = outputs([0.1, 0.2, 0.3]), outputs([0.1, wrong, wrong])
    check_finite("m", right, right, "some pairs")
    file, torch = (right, broken) if source == "PyTorch" else (broken, right)
    with pytest.raises(ValuesError, match=rf"from {source} for some pairs, got probability \[1\] = {wrong} and 2 such"):
        check_finite("m", file, torch, "some pairs")


@pytest.mark.parametrize(("output", "each"), [("probability", 1), ("digits", 2)])
def test_one_percent_of_all_decisions_together_may_change(output, each):
    draw = {"probability": 0, "digits": 0}
    check_changed("m", draw | {output: 40 * each}, draw | {output: 70 * each}, (1000, 10_000), LIMITS)
    with pytest.raises(
        DecisionsError, match=rf"at most 1 % of {11000 * each:,} decisions of {output} .* got {110 * each + 1}"
    ):
        check_changed("m", draw | {output: 40 * each}, draw | {output: 70 * each + 1}, (1000, 10_000), LIMITS)


def test_the_accuracy_of_digits_may_fall_as_little_as_that_of_the_answer():
    right = outputs(np.ones(1000), np.full((1000, 2), 3))
    targets = {"probability": np.ones(1000, bool), "digits": np.full((1000, 2), 3)}
    for wrong, refused in ((10, False), (11, True)):  # of 2,000 digits
        digits = np.full((1000, 2), 3)
        digits[:wrong, 0] = 4
        file = outputs(np.ones(1000), digits)
        if refused:
            with pytest.raises(AccuracyError, match=r"expected digits to lose at most 0\.5 percentage points"):
                check_drop("m", file, right, targets, LIMITS)
        else:
            check_drop("m", file, right, targets, LIMITS)


def test_a_file_that_changes_too_many_decisions_is_refused_and_leaves_nothing(trained, digits5k, tmp_path, monkeypatch):
    monkeypatch.setattr(decisions, "FURTHER_PAIRS", 300)
    real = exporting._outputs

    def wrong_digits(sessions, pairs):
        found = real(sessions, pairs)
        turned = np.arange(len(pairs)) % 50 == 0  # 2 % of the pairs, both digits
        return found | {"digits": np.where(turned[:, None, None], 1 - found["digits"], found["digits"])}

    monkeypatch.setattr(exporting, "_outputs", wrong_digits)
    options = {"dataset": digits5k, "precision": "fp16", "with_digits": True, "max_drop": 100}
    with pytest.raises(DecisionsError, match=r"m\.onnx as fp16: expected at most 1 % of 1,000 decisions of digits"):
        export(trained("final_model"), tmp_path / "m.onnx", **options)
    assert list(tmp_path.iterdir()) == []
    export(trained("final_model"), tmp_path / "m.onnx", **options, max_changed=2.1)
