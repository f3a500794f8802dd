"""Runs: what distinguishes them, their seeds and their bounds."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from record_examples import IMAGES, record

from pairnet.errors import ArgumentError, NotationError
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.run import Run, name_of, seeds_text
from pairnet.records.seeds import Seeds, seeds_of_draw


def short(name, **settings):
    """The network called `name` with a recipe of one epoch."""
    return replace(find_variant(name), recipe=Recipe(**{"epochs": 1, **settings}))


RUN = Run(variant=short("conv_1"), images=IMAGES, pairs=100)


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": short("conv_3")},
        {"variant": short("conv_1", epochs=2)},
        {"variant": short("conv_1", loss_ratio=1.0)},
        {"variant": replace(short("conv_1"), activation="none")},
        {"pairs": 99},
        {"test_pairs": 99},
        {"seed": 1},
        {"fold": 0},
        {"fold": 0, "folds": 5},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_another_setting_has_another_fingerprint(changes):
    assert replace(RUN, **changes).fingerprint != RUN.fingerprint


def test_each_split_has_another_fingerprint():
    splits = [(fold, folds) for folds in (4, 5) for fold in range(folds)]
    found = {replace(RUN, fold=fold, folds=folds).fingerprint for fold, folds in splits}
    assert len(found) == len(splits)


def test_a_shared_and_an_own_tower_have_different_fingerprints():
    shared, own = short("w_net"), replace(short("no_w_net"), name="w_net")
    assert replace(RUN, variant=shared).fingerprint != replace(RUN, variant=own).fingerprint


@pytest.mark.parametrize("changes", [{"label": "other"}, {"measurements": 1}, {"test_pairs": 100}], ids=str)
def test_what_changes_no_result_does_not_change_the_fingerprint(changes):
    assert replace(RUN, **changes).fingerprint == RUN.fingerprint


def test_other_images_have_another_fingerprint_and_the_same_ones_the_same():
    assert replace(RUN, images=replace(IMAGES, checksum="0")).fingerprint != RUN.fingerprint
    assert replace(RUN, images=replace(IMAGES, origin="elsewhere", source="there")).fingerprint == RUN.fingerprint


def test_a_record_answers_a_run_if_it_was_measured_often_enough():
    measured_twice = record()
    run = Run(variant=replace(find_variant("fc_1"), recipe=Recipe(epochs=25)), images=IMAGES)
    assert measured_twice.answers(replace(run, measurements=2))
    assert not measured_twice.answers(replace(run, measurements=3))
    two_epochs = replace(run, variant=replace(run.variant, recipe=Recipe(epochs=2)), measurements=10)
    assert measured_twice.answers(two_epochs)  # it cannot be measured more often


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
        ({"pairs": 3, "fold": 0}, "`pairs` of at least 4, the number of folds"),
        ({"seed": 2**31, "fold": 0}, r"`seed` in 0..2\*\*31-1 for a cross-validated run, got 2147483648"),
        ({"own_seeds": Seeds(train_draw=2**32, test_draw=0, weights=0, order=0), "fold": 0}, "`train_draw` in 0..2"),
    ],
    ids=str,
)
def test_numbers_out_of_bounds_are_refused(changes, reason):
    with pytest.raises(ArgumentError, match=reason):
        replace(RUN, **changes)


def test_the_largest_seeds_are_those_that_messages_name():
    assert replace(RUN, seed=2**62 - 1).seeds.test_draw == 2**63 - 1
    assert replace(RUN, seed=2**31 - 1, fold=0).seed == 2**31 - 1


def test_a_network_whose_layers_do_not_fit_is_refused():
    with pytest.raises(NotationError, match=r"conv_1: .*fc\(391,1\)"):
        Run(variant=replace(find_variant("conv_1"), net="fc(391,1)"), images=IMAGES)


@pytest.mark.parametrize("name", ["train_draw", "test_draw", "weights", "order", "masks"])
@pytest.mark.parametrize("value", [-1, 2**63])
def test_seeds_out_of_bounds_are_refused(name, value):
    with pytest.raises(ArgumentError, match=rf"seed `{name}` in 0\.\.2\*\*63-1, got {value}"):
        replace(seeds_of_draw(0), **{name: value})


def test_seeds_that_are_chosen_apart_make_another_run_and_one_value_for_each_run():
    ours = seeds_of_draw(3)
    assert replace(RUN, seed=3, own_seeds=ours) == replace(RUN, seed=3)
    assert replace(RUN, seed=3, own_seeds=replace(ours, masks=3)) == replace(RUN, seed=3)  # masks follow from weights
    apart = [replace(RUN, seed=3, own_seeds=replace(ours, **{name: 9})) for name in ("weights", "order", "masks")]
    assert len({run.fingerprint for run in (*apart, replace(RUN, seed=3))}) == 4
    assert len({run.setting for run in apart}) == 1
    assert len({run.draw for run in (*apart, replace(RUN, seed=3))}) == 4  # each is a repetition of its own
    assert replace(RUN, seed=3, fold=1).draw == replace(RUN, seed=3, fold=2).draw == (3,)
    assert [run.seeds.weights for run in apart] == [9, 3, 3]


def test_a_setting_is_the_first_run_of_its_row():
    runs = [replace(RUN, seed=seed, fold=fold, label=f"{seed}", measurements=2) for seed in (0, 7) for fold in (1, 3)]
    (setting,) = {run.setting for run in runs}
    assert (setting.seed, setting.fold, setting.folds, setting.label) == (0, 0, 4, "")
    assert setting.setting == setting


def test_the_folds_of_a_draw_hold_out_each_pair_once():
    for pairs, folds in ((100, 4), (103, 4), (5, 5), (7, 3)):
        runs = [replace(RUN, pairs=pairs, fold=fold, folds=folds) for fold in range(folds)]
        assert sum(run.held_out for run in runs) == pairs
    assert replace(RUN, test_pairs=70).held_out == 70


def test_a_run_is_named_in_one_short_line():
    assert name_of(record(3).run) == "fc_1, draw 3"
    assert name_of(record(fold=1).run) == "fc_1, draw 0, fold 2/4"
    assert name_of(record(label="a\n\tb\u2028c").run) == "a b c, draw 0"
    long = name_of(record(label="x" * 10_000).run)
    assert long.endswith("x..., draw 0")
    assert len(long.removesuffix(", draw 0")) == 60
    assert name_of(record(label="x" * 60).run) == f"{'x' * 60}, draw 0"


def test_a_run_from_json_is_the_same_and_as_bounded():
    for run in (RUN, replace(RUN, fold=2), replace(RUN, own_seeds=replace(seeds_of_draw(0), masks=5))):
        text = msgspec.json.encode(run)
        assert msgspec.json.decode(text, type=Run) == run
        with pytest.raises(msgspec.ValidationError, match="expected `pairs` of at least 1, got 0"):
            msgspec.json.decode(text.replace(b'"pairs":100', b'"pairs":0'), type=Run)


def test_numbers_of_numpy_are_whole_numbers_and_others_are_refused():
    assert replace(RUN, seed=np.int64(1), pairs=np.int32(100)).fingerprint == replace(RUN, seed=1).fingerprint
    for wrong in (20.0, float("nan"), "20"):
        with pytest.raises(ArgumentError, match="expected `pairs` to be a whole number"):
            replace(RUN, pairs=wrong)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"variant": "w_net"}, "`variant` to be Variant, got str: give find_variant"),
        ({"images": "mnist"}, "`images` to be Images, got str: give dataset.images"),
        ({"device": ""}, "`device`"),
    ],
)
def test_values_of_another_kind_are_refused_with_what_to_give(change, reason):
    with pytest.raises(ArgumentError, match=reason):
        replace(RUN, **change)


def test_runs_of_one_setting_do_not_differ_in_what_does_not_count():
    tested = [replace(RUN, folds=folds, test_pairs=pairs) for folds, pairs in ((4, 100), (7, None))]
    assert len({run.setting for run in tested}) == 1
    elsewhere = replace(RUN, images=replace(IMAGES, name="another name", source="elsewhere"))
    assert elsewhere.setting == RUN.setting


def test_seeds_in_words_are_numbers_of_draws_where_they_are_a_draws():
    assert seeds_text((14, 15, 7, 7)) == "pairs 7, test 7, weights 7, order 7"
    assert seeds_text((18, 9, 1, 2, 3)) == "pairs 9, test 4, weights 1, order 2, masks 3"
    assert seeds_text((5, 8, 0, 0)) == "train_draw 5, test_draw 8, weights 0, order 0"
