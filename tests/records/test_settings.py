"""Settings: runs that differ in anything but draw and fold are kept apart, and described so that they differ."""

from dataclasses import replace

import pytest
from record_examples import IMAGES, record

from pairnet.errors import RecordError
from pairnet.models.variants import find_variant
from pairnet.records.settings import by_setting, describe, largest, matching, select

RECORD = record()


def with_recipe(**changes):
    return replace(find_variant("fc_1"), recipe=replace(find_variant("fc_1").recipe, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"variant": find_variant("fc_2")},
        {"variant": with_recipe(epochs=2)},
        {"variant": with_recipe(learning_rate=0.01)},
        {"pairs": 500},
        {"test_pairs": 500},
        {"fold": 1},
        {"images": replace(IMAGES, checksum="d" * 64)},
        {"device": "cuda"},
    ],
    ids=str,
)
def test_another_setting_is_kept_apart_and_described_differently(changes):
    other = record(1, **changes)
    settings = by_setting([RECORD, other, record(2)])
    assert [len(records) for records in settings.values()] == [2, 1]
    assert len(set(describe(list(settings)))) == 2


@pytest.mark.parametrize(
    ("key", "text", "count"),
    [
        ("optimiser", "adam", 2),
        ("optimiser", "SGD", 1),
        ("learning_rate", "1e-3", 3),
        ("pairs", "1000", 3),
        ("folds", "false", 3),
        ("data", "mnist5k", 3),
        ("data", "none", 0),
        ("optimiser", "none", 0),
    ],
)
def test_settings_are_found_by_their_values_as_text(key, text, count):
    records = [RECORD, record(1, variant=find_variant("fc_2")), record(variant=with_recipe(optimiser="sgd"))]
    assert len(matching(by_setting(records), {key: text})) == count


def test_draws_folds_and_names_are_no_settings():
    folds = [record(draw, fold=fold, label=f"{draw}") for draw in (0, 1) for fold in (0, 1)]
    renamed = record(variant=replace(find_variant("fc_1"), name="mine", note="a note", parameters=None))
    assert len(by_setting(folds)) == 1
    assert renamed.run.setting == RECORD.run.setting


def test_descriptions_have_what_people_ask_for():
    records = [RECORD, record(variant=with_recipe(epochs=1)), record(pairs=100), record(fold=0)]
    assert describe([each.run.setting for each in records]) == [
        "25 epochs, 1,000 pairs of mnist5k",
        "1 epoch, 1,000 pairs of mnist5k",
        "25 epochs, 100 pairs of mnist5k, 1,000 for testing",
        "25 epochs, 1,000 pairs of mnist5k in 4 folds",
    ]
    rates = [record(variant=with_recipe(learning_rate=rate)) for rate in (0.1, 0.2)]
    assert describe([each.run.setting for each in rates]) == [
        "25 epochs, 1,000 pairs of mnist5k (learning_rate 0.1)",
        "25 epochs, 1,000 pairs of mnist5k (learning_rate 0.2)",
    ]


def test_records_are_selected():
    other = record(
        1,
        label="mine",
        pairs=10,
        variant=with_recipe(epochs=3, learning_rate=0.5),
        images=replace(IMAGES, name="glyphs"),
    )
    records = [RECORD, other]
    assert select(records, row="mine") == select(records, data="glyphs") == select(records, epochs=3) == [other]
    assert select(records, pairs=1000) == [RECORD]
    assert select(records, row="fc_1") == [RECORD]  # the label of one: its variant, which both have, does not count
    assert select([other], row="fc_1") == [other]
    assert select(records, row="fc_1", data="mnist") == []
    shared = record(2, label="another table's name", variant=with_recipe(epochs=3))
    assert select([*records, shared], row="fc_1") == [RECORD, shared]
    drawn = record(images=replace(IMAGES, name="glyphs", source="glyphs:20:0"))
    assert select([drawn], data="glyphs:20") == select([drawn], data="glyphs:20:0") == [drawn]
    assert select([drawn], data="glyphs:20:7") == []


def test_a_number_of_test_pairs_matters_only_where_they_are_used():
    folded = [record(fold=0, test_pairs=count, wrong=None) for count in (20, 40)]
    assert len(by_setting(folded)) == 1
    assert len(by_setting([record(test_pairs=count) for count in (20, 40)])) == 2


def test_spaces_in_a_structure_are_no_setting():
    spaced = replace(find_variant("fc_1"), net=find_variant("fc_1").net.replace(" ", "   "))
    assert record(variant=spaced).run.setting == RECORD.run.setting


def test_the_largest_setting_is_taken_and_of_equal_ones_the_last():
    small, large = record(pairs=10), [record(draw) for draw in (1, 2)]
    assert largest(by_setting([small, *large])) == large[0].run.setting
    assert largest(by_setting([large[0], small])) == small.run.setting
    with pytest.raises(RecordError, match="got none"):
        largest({})


def test_of_settings_that_are_equally_large_the_one_that_bears_the_name_is_taken():
    bearing, changed = record(pairs=10), record(2, label="+ more epochs")
    assert largest(by_setting([bearing, changed]), label=bearing.run.name) == bearing.run.setting
    assert largest(by_setting([bearing, changed]), label="another") == changed.run.setting
