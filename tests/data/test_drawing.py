"""The pairs of a run: what is shared between runs, what is held out, and which images are refused."""

from dataclasses import replace

import numpy as np
import pytest

from pairnet.data.drawing import choose_sizes, draw, draw_held_out
from pairnet.data.pairs import folds
from pairnet.errors import ArgumentError, DataError
from pairnet.models.variants import find_variant
from pairnet.records.run import Run


@pytest.fixture(scope="module")
def run(glyph_set):
    return Run(variant=find_variant("conv_1"), images=glyph_set.images, pairs=100)


def test_rows_of_one_seed_share_their_draws_and_seeds_do_not(glyph_set, run):
    ours, test = draw(run, glyph_set)
    theirs, same_test = draw(replace(run, variant=find_variant("fc_1")), glyph_set)
    assert np.array_equal(ours.indices, theirs.indices)
    assert np.array_equal(test.indices, same_test.indices)
    assert len(ours) == len(test) == 100
    other, other_test = draw(replace(run, seed=1), glyph_set)
    assert not np.array_equal(ours.indices, other.indices)
    assert not np.array_equal(test.indices, other_test.indices)
    assert not np.array_equal(ours.indices, test.indices)


def test_the_number_of_test_pairs_does_not_change_the_training_pairs(glyph_set, run):
    training, test = draw(replace(run, test_pairs=40), glyph_set)
    assert (len(training), len(test)) == (100, 40)
    assert np.array_equal(training.indices, draw(run, glyph_set)[0].indices)


def test_pairs_are_drawn_from_training_images_and_held_out_ones_from_test_images(glyph_set, run):
    for pairs, images in zip(draw(run, glyph_set), (glyph_set.train, glyph_set.test), strict=True):
        pooled = images.take(pairs.indices)[0].reshape(-1, 2, 14, 2, 14, 2).sum((3, 5), dtype=np.uint16)
        assert np.array_equal(pairs.pixels, pooled)
        assert np.array_equal(pairs.digits, images.take(pairs.indices)[1])


def test_folds_split_the_training_draw_and_each_draw_in_its_own_way(glyph_set, run):
    splits = []
    for one in (run, replace(run, seed=1)):
        whole, _ = draw(one, glyph_set)
        splits.append(folds(one.pairs, 4, one.seeds.train_draw))
        for fold, (kept, out) in enumerate(splits[-1]):
            training, held_out = draw(replace(one, fold=fold), glyph_set)
            assert np.array_equal(training.indices, whole.indices[kept])
            assert np.array_equal(held_out.indices, whole.indices[out])
    assert not np.array_equal(splits[0][0][1], splits[1][0][1])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pairs": 1001}, r"2002 training images, glyphs:2000 has 2000: choose `pairs` of at most 1000"),
        ({"test_pairs": 1001}, r"2002 test images, glyphs:2000 has 2000: choose `test_pairs` of at most 1000"),
    ],
    ids=str,
)
def test_too_few_images_name_the_parameter(glyph_set, run, changes, reason):
    with pytest.raises(ArgumentError, match=reason):
        draw(replace(run, **changes), glyph_set)


@pytest.mark.parametrize("changes", [{}, {"test_pairs": 40}, {"fold": 2}, {"fold": 0, "folds": 7}], ids=str)
def test_held_out_pairs_are_drawn_alone_as_with_the_others(glyph_set, run, changes):
    other = replace(run, **changes)
    training, held_out = draw(other, glyph_set)
    assert np.array_equal(draw_held_out(other, glyph_set).indices, held_out.indices)
    assert len(held_out) == other.held_out
    if other.fold is not None:
        assert len(training) == other.pairs - other.held_out


def test_other_images_are_refused(glyph_set, run):
    others = replace(run, images=replace(glyph_set.images, checksum="0" * 64, name="others"))
    for function in (draw, draw_held_out):
        with pytest.raises(DataError, match="conv_1: expected the images it was made with, others, SHA-256 0000"):
            function(others, glyph_set)


def test_sizes_suit_the_images(glyph_set):
    assert choose_sizes(glyph_set, pairs=1200).pairs == 1200  # refused when it is drawn, with the name of the parameter
