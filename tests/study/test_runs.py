"""Runs: what distinguishes them, and what they draw."""

from dataclasses import replace

import numpy as np
import pytest
from pairnet.study.runs import Run, draw, draw_again, fingerprint, is_answered_by, with_dropout
from record_examples import record

from pairnet.errors import ArgumentError, DataError, NotationError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant


def short(name, **settings):
    """The network called `name` with a recipe of one epoch."""
    return replace(find_variant(name), recipe=Recipe(**{"epochs": 1, **settings}))


RUN = Run(variant=short("conv_1"), pairs=100)


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": short("conv_3")},
        {"variant": short("conv_1", epochs=2)},
        {"variant": short("conv_1", loss_ratio=1.0)},
        {"pairs": 99},
        {"test_pairs": 99},
        {"seed": 1},
        {"fold": 0},
        {"fold": 0, "folds": 5},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_another_setting_has_another_fingerprint(glyph_set, changes):
    assert fingerprint(replace(RUN, **changes), glyph_set) != fingerprint(RUN, glyph_set)


def test_each_split_has_another_fingerprint(glyph_set):
    splits = [(fold, folds) for folds in (4, 5) for fold in range(folds)]
    found = {fingerprint(replace(RUN, fold=fold, folds=folds), glyph_set) for fold, folds in splits}
    assert len(found) == len(splits)


def test_a_shared_and_an_own_tower_have_different_fingerprints(glyph_set):
    shared, own = short("w_net"), replace(short("no_w_net"), name="w_net")
    assert fingerprint(Run(variant=shared), glyph_set) != fingerprint(Run(variant=own), glyph_set)


@pytest.mark.parametrize("changes", [{"label": "other"}, {"measurements": 1}, {"test_pairs": 100}], ids=str)
def test_what_changes_no_result_does_not_change_the_fingerprint(glyph_set, changes):
    assert fingerprint(replace(RUN, **changes), glyph_set) == fingerprint(RUN, glyph_set)


def test_other_images_have_another_fingerprint_and_the_same_ones_the_same(glyph_set):
    assert fingerprint(RUN, replace(glyph_set, checksum="0")) != fingerprint(RUN, glyph_set)
    assert fingerprint(RUN, replace(glyph_set, origin="elsewhere")) == fingerprint(RUN, glyph_set)


def test_a_record_answers_a_run_if_it_was_measured_often_enough():
    measured_twice = record()
    run = Run(variant=replace(find_variant("fc_1"), recipe=Recipe(epochs=25)))
    assert is_answered_by(replace(run, measurements=2), measured_twice)
    assert not is_answered_by(replace(run, measurements=3), measured_twice)
    two_epochs = replace(run, variant=replace(run.variant, recipe=Recipe(epochs=2)), measurements=10)
    assert is_answered_by(two_epochs, measured_twice)  # it cannot be measured more often


def test_rows_of_one_seed_share_their_draws_and_seeds_do_not(glyph_set):
    ours, test = draw(RUN, glyph_set)
    theirs, same_test = draw(replace(RUN, variant=short("fc_1")), glyph_set)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(test.indices, same_test.indices)
    assert len(ours) == len(test) == 100
    other, other_test = draw(replace(RUN, seed=1), glyph_set)
    assert not np.array_equal(ours.indices, other.indices)
    assert not np.array_equal(test.indices, other_test.indices)
    assert not np.array_equal(ours.indices, test.indices)


def test_the_number_of_test_pairs_does_not_change_the_training_pairs(glyph_set):
    training, test = draw(replace(RUN, test_pairs=40), glyph_set)
    assert (len(training), len(test)) == (100, 40)
    assert np.array_equal(training.indices, draw(RUN, glyph_set)[0].indices)


def test_pairs_are_drawn_from_training_images_and_held_out_ones_from_test_images(glyph_set):
    for pairs, images in zip(draw(RUN, glyph_set), (glyph_set.train, glyph_set.test), strict=True):
        pooled = images.take(pairs.indices)[0].reshape(-1, 2, 14, 2, 14, 2).sum((3, 5), dtype=np.uint16)
        assert np.array_equal(pairs.pixels, pooled)
        assert np.array_equal(pairs.digits, images.take(pairs.indices)[1])


def test_every_seed_of_a_run_changes_with_its_seed():
    first, second = RUN.seeds, replace(RUN, seed=1).seeds
    for name in ("train_draw", "test_draw", "weights", "order"):
        assert getattr(first, name) != getattr(second, name)
    assert first.train_draw != first.test_draw


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"seed": -1}, r"`seed` in 0..2\*\*62-1, got -1"),
        ({"seed": 2**62}, "`seed`"),
        ({"pairs": 0}, "`pairs` of at least 1, got 0"),
        ({"test_pairs": 0}, "`test_pairs` of at least 1"),
        ({"measurements": 0}, "`measurements` of at least 1"),
        ({"fold": 4}, "`fold` in 0..folds-1 .*, got 4 of 4"),
        ({"folds": 1}, "2 `folds` or more, got None of 1"),
    ],
    ids=str,
)
def test_numbers_out_of_bounds_are_refused(changes, reason):
    with pytest.raises(ArgumentError, match=reason):
        replace(RUN, **changes)


def test_a_network_whose_layers_do_not_fit_is_refused():
    with pytest.raises(NotationError, match=r"conv_1: .*fc\(391,1\)"):
        Run(variant=replace(find_variant("conv_1"), net="fc(391,1)"))


def test_folds_split_the_training_draw(glyph_set):
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pairs": 1001}, r"2002 training images, glyphs has 2000: choose `pairs` of at most 1000"),
        ({"test_pairs": 1001}, r"2002 test images, glyphs has 2000: choose `test_pairs` of at most 1000"),
        ({"pairs": 3, "fold": 0}, "`pairs` of at least 4, the number of folds"),
    ],
    ids=str,
)
def test_too_few_images_name_the_parameter(glyph_set, changes, reason):
    with pytest.raises(ArgumentError, match=reason):
        draw(replace(RUN, **changes), glyph_set)


def test_a_recorded_run_draws_the_same_pairs_again(glyph_set):
    data = replace(record().data, checksum=glyph_set.checksum)
    made = record(4, variant=short("fc_1"), pairs=60, test_pairs=50, data=data)
    training, test = draw_again(made, glyph_set)
    expected = draw(Run(variant=short("fc_1"), pairs=60, test_pairs=50, seed=4), glyph_set)
    assert np.array_equal(training.indices, expected[0].indices)
    assert np.array_equal(test.indices, expected[1].indices)
    with pytest.raises(DataError, match="expected the images it was made with"):
        draw_again(record(), glyph_set)


def test_dropout_is_set_in_the_tower():
    changed = with_dropout(find_variant("final_model"), 0.25)
    assert changed.tower.endswith("P(2) D(0.25)")
    assert with_dropout(find_variant("final_model"), 0.4) == find_variant("final_model")
    with pytest.raises(ArgumentError, match="a_w_net has no dropout"):
        with_dropout(find_variant("a_w_net"), 0.1)
