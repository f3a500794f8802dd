"""Runs: what tells them apart, what they draw, and how a trained net is kept and found again."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pairnet.data.pairs import moments
from pairnet.errors import RecordError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.study.runs import (
    RECORD,
    WEIGHTS,
    Run,
    draw,
    evaluate_saved,
    fingerprint,
    load_net,
    load_record,
    newest,
    train_and_save,
    with_dropout,
)
from pairnet.training.calibration import BINS
from pairnet.training.loop import predict

RUN = Run(row="conv_1", variant=find_variant("conv_1"), recipe=Recipe(epochs=1), pairs=100)


@pytest.mark.parametrize(
    "changes",
    [
        {"row": "other"},
        {"variant": find_variant("conv_3")},
        {"variant": replace(find_variant("conv_1"), net="fc(392,1)")},
        {"recipe": Recipe(epochs=2)},
        {"recipe": Recipe(epochs=1, loss_ratio=1.0)},
        {"pairs": 99},
        {"seed": 1},
        {"fold": 0},
        {"fold": 0, "folds": 5},
        {"device": "cuda"},
    ],
)
def test_another_configuration_has_another_fingerprint(glyph_set, changes):
    assert fingerprint(replace(RUN, **changes), glyph_set) != fingerprint(RUN, glyph_set)


def test_other_images_have_another_fingerprint_and_the_same_ones_the_same(glyph_set):
    assert fingerprint(RUN, replace(glyph_set, checksum="0")) != fingerprint(RUN, glyph_set)
    assert fingerprint(replace(RUN), replace(glyph_set, origin="elsewhere")) == fingerprint(RUN, glyph_set)


def test_rows_of_one_seed_share_their_draws_and_seeds_do_not(glyph_set):
    ours, test = draw(RUN, glyph_set)
    theirs, same_test = draw(replace(RUN, variant=find_variant("fc_1"), row="fc_1"), glyph_set)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(test.indices, same_test.indices)
    assert len(ours) == len(test) == 100
    other, other_test = draw(replace(RUN, seed=1), glyph_set)
    assert not np.array_equal(ours.indices, other.indices)
    assert not np.array_equal(test.indices, other_test.indices)
    assert not np.array_equal(ours.indices, test.indices)


def test_pairs_are_drawn_from_training_images_and_held_out_ones_from_test_images(glyph_set):
    for pairs, images in zip(draw(RUN, glyph_set), (glyph_set.train, glyph_set.test), strict=True):
        pooled = images.take(pairs.indices)[0].reshape(-1, 2, 14, 2, 14, 2).sum((3, 5), dtype=np.uint16)
        assert np.array_equal(pairs.pixels, pooled)
        assert np.array_equal(pairs.digits, images.take(pairs.indices)[1])


def test_every_seed_of_a_run_changes_with_its_seed():
    first, second = RUN.seeds, replace(RUN, seed=1).seeds
    assert all(first[name] != second[name] for name in first)
    assert first["train_draw"] != first["test_draw"]


@pytest.mark.parametrize("seed", [-1, 2**62])
def test_seeds_out_of_range_are_told(seed):
    with pytest.raises(ValueError, match=f"--seed lies in 0.*, not {seed}"):
        replace(RUN, seed=seed)


def test_folds_part_the_training_draw(glyph_set):
    whole, _ = draw(RUN, glyph_set)
    seen = []
    for fold in range(4):
        training, held_out = draw(replace(RUN, fold=fold), glyph_set)
        assert len(training) == 75
        images = {tuple(pair) for pair in training.indices.tolist()} | {
            tuple(pair) for pair in held_out.indices.tolist()
        }
        assert images == {tuple(pair) for pair in whole.indices.tolist()}
        seen += held_out.indices[:, 0].tolist()
    assert sorted(seen) == sorted(whole.indices[:, 0].tolist())


def test_too_few_images_are_told_the_option(glyph_set):
    with pytest.raises(ValueError, match=r"--pairs 1000 or less"):
        draw(replace(RUN, pairs=1001), glyph_set)


def test_dropout_is_set_in_the_tower():
    changed = with_dropout(find_variant("final_model"), 0.25)
    assert changed.tower.endswith("P(2) D(0.25)")
    assert with_dropout(find_variant("final_model"), 0.4) == find_variant("final_model")
    with pytest.raises(ValueError, match="a_w_net has no dropout"):
        with_dropout(find_variant("a_w_net"), 0.1)


@pytest.fixture(scope="module")
def saved(glyph_set, tmp_path_factory):
    return train_and_save(RUN, glyph_set, tmp_path_factory.mktemp("runs"))


def test_a_saved_net_scores_exactly_as_it_did(glyph_set, saved):
    assert saved.fresh
    assert evaluate_saved(saved.folder, glyph_set) == saved.record.accuracy
    record, net = load_net(saved.folder)
    assert record == load_record(saved.folder) == saved.record
    assert not net.training


def test_recorded_bins_count_the_targets_of_the_held_out_pairs(glyph_set, saved):
    _, held_out = draw(RUN, glyph_set)
    probability = predict(load_net(saved.folder)[1], held_out, moments(draw(RUN, glyph_set)[0])).numpy()
    in_order = [0] * BINS
    for p, target in zip(probability, held_out.targets, strict=True):
        in_order[min(int(p * BINS), BINS - 1)] += int(target)
    assert [bin_[2] for bin_ in saved.record.calibration] == in_order
    assert sum(in_order) != len(held_out) - sum(in_order)


def test_the_same_run_is_not_trained_twice_unless_forced(glyph_set, saved):
    again = train_and_save(RUN, glyph_set, saved.folder.parent)
    assert (again.fresh, again.folder, again.record) == (False, saved.folder, saved.record)
    forced = train_and_save(RUN, glyph_set, saved.folder.parent, force=True)
    assert forced.fresh
    assert forced.record.epochs == saved.record.epochs
    assert sorted(path.name for path in saved.folder.parent.iterdir()) == [saved.folder.name]


def test_the_newest_run_of_a_variant_is_found(glyph_set, saved, tmp_path):
    assert newest(saved.folder.parent, "conv_1") == saved.folder
    assert newest(saved.folder.parent, "conv_2") is None
    assert newest(tmp_path / "none", "conv_1") is None


def test_other_images_are_refused_unless_wanted(glyph_set, saved):
    with pytest.raises(RecordError, match="these images have 0"):
        evaluate_saved(saved.folder, replace(glyph_set, checksum="0" * 64))
    assert evaluate_saved(saved.folder, replace(glyph_set, checksum="0" * 64), any_images=True) > 0


def copy_of(saved, tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    for name in (RECORD, WEIGHTS):
        (folder / name).write_bytes((saved.folder / name).read_bytes())
    return folder


def test_folders_that_are_no_runs_are_told_what_is_missing(saved, tmp_path):
    with pytest.raises(RecordError, match=r"is no saved run: expected record.json and weights.safetensors"):
        load_net(tmp_path)
    folder = copy_of(saved, tmp_path)
    (folder / RECORD).write_text("{")
    with pytest.raises(RecordError, match=r"record.json: not a run record"):
        load_net(folder)


@pytest.mark.parametrize("damage", ["truncated", "other net", "empty"])
def test_weights_that_do_not_fit_are_told(glyph_set, saved, tmp_path, damage):
    folder = copy_of(saved, tmp_path)
    weights = (folder / WEIGHTS).read_bytes()
    if damage == "truncated":
        (folder / WEIGHTS).write_bytes(weights[:-10])
    elif damage == "empty":
        (folder / WEIGHTS).write_bytes(b"")
    else:
        other = train_and_save(
            replace(RUN, variant=find_variant("conv_3"), row="conv_3"), glyph_set, tmp_path / "other"
        )
        (folder / WEIGHTS).write_bytes((other.folder / WEIGHTS).read_bytes())
    with pytest.raises(RecordError, match="does not hold the weights of conv_1"):
        load_net(folder)


def test_a_net_of_a_changed_table_is_told(saved, tmp_path):
    folder = copy_of(saved, tmp_path)
    values = json.loads((folder / RECORD).read_text())
    (folder / RECORD).write_text(json.dumps({**values, "structure": "fc(392,1)"}))
    with pytest.raises(RecordError, match=r"was trained as conv_1 = fc\(392,1\); the table now has"):
        load_net(folder)


def test_saving_that_fails_leaves_nothing(glyph_set, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        train_and_save(RUN, glyph_set, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
