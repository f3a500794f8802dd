"""Structures with placeholders, and steps in place of epochs: rows of a study file that differ in what a network is."""

import random

import pytest
from record_examples import IMAGES

from pairnet.errors import ArgumentError, NotationError
from pairnet.models.recipes import Recipe, steps_of_epoch
from pairnet.models.variant_files import read_variants
from pairnet.models.variants import Variant, count_parameters
from pairnet.records.run import nameless
from pairnet.study.engines.processes import Processes
from pairnet.study.estimate import steps_of
from pairnet.study.files import read_study
from pairnet.study.plan import plan
from pairnet.study.running import run_study

MINE = """
[variants.mine]
tower = "conv(1,{channels},3) P(2) conv({channels},{2*channels},3) P(2)"
head = "fc({2*2*9 * channels},{hidden}) fc({hidden},1)"
"""


@pytest.fixture
def read(tmp_path):
    def study(text):
        path = tmp_path / "my.toml"
        path.write_text(text)
        return read_study(path)

    return study


def rows(grid, fixed="", variants=MINE):
    return f'{variants}\n[[rows]]\nvariant = "mine"\ngrid = {{ {grid} }}\nset = {{ {fixed} }}\n'


def test_each_combination_of_a_grid_over_structure_is_the_network_written_out(read):
    study = read(rows("channels = [2, 16], hidden = [5, 7]"))
    assert [row.label for row in study.rows] == [
        f"mine, channels {channels}, hidden {hidden}" for channels in (2, 16) for hidden in (5, 7)
    ]
    for row in study.rows:
        numbers = dict(row.swept)
        channels, hidden = numbers["channels"], numbers["hidden"]
        by_hand = Variant(
            name="by hand",
            tower=f"conv(1,{channels},3) P(2) conv({channels},{2 * channels},3) P(2)",
            head=f"fc({36 * channels},{hidden}) fc({hidden},1)",
        )
        assert nameless(row.variant) == nameless(by_hand)
        assert row.variant.name == f"mine-channels{channels}-hidden{hidden}"
    assert len({run.fingerprint for run in plan(study, IMAGES, draws=1)}) == 4
    assert len(set(study.measures)) == 4


def test_a_placeholder_can_be_set_for_the_row_and_mixed_with_other_settings(read):
    (one, other) = read(rows("epochs = [1, 2]", "channels = 3, hidden = 4")).rows
    assert one.variant.structure == other.variant.structure
    assert (one.label, one.variant.recipe.epochs, other.variant.recipe.epochs) == ("mine, epochs 1", 1, 2)
    assert count_parameters(one.variant) == 3 * 10 + 6 * (3 * 9 + 1) + 4 * (108 + 1) + 5


def test_arithmetic_is_that_of_whole_numbers(read):
    """Random expressions against Python's own arithmetic; those below 1 are refused."""
    rng, channels = random.Random(3), 6

    def expression(depth):
        if not depth or rng.random() < 0.3:
            return rng.choice(["channels", "2", "3", "7"])
        return f"({expression(depth - 1)} {rng.choice(['+', '-', '*', '//'])} {expression(depth - 1)})"

    seen = set()
    for _ in range(60):
        text = expression(3)
        try:
            expected = eval(text, {"channels": channels})
        except ZeroDivisionError:
            expected = 0
        net = f'[variants.mine]\nnet = "fc(392,{{{text}}}) fc({{{text}}},1)"\n'
        if "channels" not in text:
            continue
        if not 1 <= expected <= 10**4:
            with pytest.raises(ArgumentError, match=r"row 1: expected (numbers of 1 to|to divide by 1 or more)"):
                read(rows("epochs = [1]", f"channels = {channels}", net))
            continue
        (row,) = read(rows("epochs = [1]", f"channels = {channels}", net)).rows
        assert row.variant.net.split()[0] == f"fc(392,{expected})"
        seen.add(expected)
    assert len(seen) > 10


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "channels**9",
        "channels.real",
        "len(channels)",
        "channels[0]",
        "1.5*channels",
        "'a'*channels",
        "-channels",
        "channels if 1 else 2",
        "channels; 2",
        "channels := 2",
        "lambda: channels",
        "99999999999*channels",
        "True*channels",
        "channels/2",
        "(" * 60 + "channels" + ")" * 39,
        "channels" + "+1" * 60,
        "ch\u0430nnels",
    ],
)
def test_anything_but_arithmetic_is_refused_in_one_line(read, expression):
    text = rows("channels = [2]", "", f'[variants.mine]\nnet = "fc(392,{{{expression}}}) fc(2,1)"\n')
    with pytest.raises(ArgumentError, match=r"variants\.mine.*: expected ") as error:
        read(text)
    assert len(str(error.value).splitlines()) == 1
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (rows("channels = [2]"), r"row 1: expected a number for \{hidden\} of variants.mine, got none: add set = "),
        (rows("chanels = [2]", "hidden = 2"), r"grid.chanels: expected a known key: did you mean channels\?"),
        (rows("channels = [0]", "hidden = 2"), r"channels\[0\]: expected at least 1, got 0"),
        (rows("channels = [2.5]", "hidden = 2"), r"channels\[0\]: expected an integer"),
        (rows("channels = [true]", "hidden = 2"), r"channels\[0\]: expected an integer"),
        (rows("epochs = [2]", "hidden = 2", MINE.replace("channels", "batch")), r"no settings, got \{batch\}: rename"),
        (MINE.replace("hidden", "Hidden") + '[[rows]]\nvariant = "mine"', r"small letters and _ .*\{Hidden\}"),
        (MINE + '[[rows]]\nvariant = "conv_1"\nset = { channels = 3 }', "set.channels: expected a known key"),
    ],
)
def test_mistakes_name_the_place_and_the_remedy(read, text, reason):
    with pytest.raises(ArgumentError, match=reason):
        read(text)


def test_layers_that_do_not_fit_are_refused_with_the_numbers_they_have(read):
    with pytest.raises(NotationError, match=r"mine-channels4-hidden2: fc\(100,2\): expected 72 inputs|mine-channels4"):
        read(rows("channels = [4]", "hidden = 2", MINE.replace("2*2*9 * channels", "25*channels")))


def test_a_file_of_a_study_with_placeholders_still_names_its_other_variants(tmp_path):
    path = tmp_path / "my.toml"
    path.write_text(MINE + '[variants.plain]\nnet = "fc(392,1)"\n')
    assert list(read_variants(path)) == ["plain"]


@pytest.mark.parametrize(("pairs", "batch"), [(100, 25), (110, 25), (7, 25), (1000, 3)])
@pytest.mark.parametrize("steps", [1, 4, 40, 101])
def test_steps_become_whole_epochs_of_at_least_so_many(read, pairs, batch, steps):
    (row,) = read(f'[[rows]]\nvariant = "conv_1"\nset = {{ steps = {steps}, pairs = {pairs}, batch = {batch} }}').rows
    each = -(-pairs // batch)
    assert steps_of_epoch(row.variant.recipe, pairs) == each
    assert (row.variant.recipe.epochs - 1) * each < steps <= row.variant.recipe.epochs * each


def test_a_run_of_steps_is_the_run_of_its_epochs(read, glyph_set, tmp_path):
    """No other fingerprint, and as many steps as are computed: 3 epochs of 3 batches, the last one of 10 pairs."""
    head, variant = "draws = 1\npairs = 60\n", '[[rows]]\nvariant = "conv_1"\n'
    (by_steps,) = plan(read(f"{head}{variant}set = {{ steps = 7 }}"), glyph_set.images, pairs=60)
    (by_epochs,) = plan(read(f"{head}{variant}set = {{ epochs = 3 }}"), glyph_set.images, pairs=60)
    assert by_steps.fingerprint == by_epochs.fingerprint
    assert steps_of(by_steps) == 9
    (record,) = run_study([by_steps], glyph_set, tmp_path, engine=Processes(dataset=glyph_set, workers=1)).finished
    assert len(record.epochs) == 3


def test_steps_of_a_cross_validated_row_are_those_of_the_pairs_it_trains_on(read):
    study = read('folds = 4\npairs = 100\n[[rows]]\nvariant = "conv_1"\nset = { steps = 9 }')
    (row,) = study.rows
    assert row.variant.recipe.epochs == 3  # 75 pairs, 3 batches
    assert {steps_of(run) for run in plan(study, IMAGES, draws=1, pairs=100)} == {9}
    assert steps_of_epoch(Recipe(), 10, 4) == 1


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("set = { steps = 10 }", "row 1.steps: expected `pairs` for them, got none: state them in `set`"),
        ("set = { steps = 10, pairs = 50, epochs = 2 }", "row 1.steps: expected `epochs` or `steps`, got both"),
        ("set = { steps = 0, pairs = 50 }", "steps: expected at least 1, got 0"),
        ("set = { steps = 100001, pairs = 5 }", "row 1.steps: expected `epochs` to be at most 100,000"),
    ],
)
def test_steps_without_pairs_with_epochs_or_out_of_bounds_are_refused(read, text, reason):
    with pytest.raises(ArgumentError, match=reason):
        read(f'[[rows]]\nvariant = "conv_1"\n{text}')


def test_steps_are_held_over_a_grid_of_pairs_which_is_the_rows_own(read):
    study = read('[[rows]]\nvariant = "conv_1"\ngrid = { pairs = [50, 100, 400] }\nset = { steps = 80 }')
    assert [row.variant.recipe.epochs for row in study.rows] == [40, 20, 5]
    runs = plan(study, IMAGES, draws=1, pairs=1000)
    assert [(run.pairs, steps_of(run)) for run in runs] == [(50, 80), (100, 80), (400, 80)]
    stated = read('pairs = 50\n[[rows]]\nvariant = "conv_1"\nset = { steps = 80 }')
    assert [run.pairs for run in plan(stated, IMAGES, draws=1, pairs=1000)] == [50]  # --pairs does not change the steps
