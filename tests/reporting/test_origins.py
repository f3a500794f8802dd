"""Where results come from: the commands that repeat them, parsed back; machines, versions and recipes, each once."""

import argparse
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from record_examples import record
from reporting.studies import MNIST, epochs, rows

from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import find_variant
from pairnet.records.record import Gpu
from pairnet.reporting.origins import origins_of
from pairnet.reporting.page import report_page
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.study.files import read_study
from pairnet.study.tables import studies


def parsed(command):
    """The options of `pairnet reproduce`."""
    parser = argparse.ArgumentParser()
    names = ("table", "first-seed", "draws", "data", "epochs", "pairs", "test-pairs", "measurements", "device", "runs")
    for name in names:
        parser.add_argument(f"--{name}", default=None)
    program, what, *options = shlex.split(command)
    assert (program, what) == ("pairnet", "reproduce")
    return {name: value for name, value in vars(parser.parse_args(options)).items() if value is not None}


USUAL = {"table": "3", "draws": "2", "data": "mnist"}


@pytest.mark.parametrize(
    ("changes", "folder", "more"),
    [
        ({"measurements": 5}, "runs", {}),
        ({"measurements": 6}, "runs", {"measurements": "6"}),
        ({"measurements": 24}, "runs", {"measurements": "24"}),
        ({"measurements": 25}, "runs", {"measurements": "every"}),
        ({"measurements": 5, "pairs": 500, "test_pairs": 500}, "runs", {"pairs": "500"}),
        ({"measurements": 5, "pairs": 500, "test_pairs": 900}, "runs", {"pairs": "500", "test_pairs": "900"}),
        ({"measurements": 5, "test_pairs": 900}, "runs", {"test_pairs": "900"}),
        ({"measurements": 5, "device": "cuda"}, "runs", {"device": "cuda"}),
        ({"measurements": 5}, "my runs", {"runs": "my runs"}),
        ({"measurements": 5, "images": replace(MNIST, name="x", source="idx:a b")}, "runs", {"data": "idx:a b"}),
    ],
)
def test_the_command_has_the_options_that_are_not_usual(changes, folder, more):
    found = origins_of(choose(rows("3", {"w_net": (0.8, 0.9)}, **changes), folder=Path(folder)))
    (command,) = found.commands
    assert parsed(command) == {**USUAL, **more}
    assert found.test_pairs == (changes.get("test_pairs", 1000),)
    assert found.pairs == (changes.get("pairs", 1000),)


def test_a_number_of_epochs_for_all_rows_is_an_option():
    row = next(row for row in studies()["3"].rows if row.label == "w_net")
    short = replace(row.variant, recipe=replace(row.variant.recipe, epochs=3))
    records = rows("3", {"w_net": (0.8, 0.9)}, variant=short, epochs=epochs(3, 0.8), measurements=3)
    (command,) = origins_of(choose(records)).commands
    assert parsed(command) == {**USUAL, "epochs": "3"}


def test_the_draws_of_the_command_hold_the_smallest_and_the_largest_seed():
    records = [each for each in rows("3", {"w_net": (0.8,) * 9}, measurements=5) if each.run.seed in (2, 7)]
    found = origins_of(choose(records))
    command = parsed(found.commands[0])
    assert (command["first_seed"], command["draws"], found.draws, found.runs) == ("2", "6", (2, 7), 2)


def test_tables_and_networks_of_no_table_have_a_command_each():
    mine = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)
    own = [record(at, variant=mine, label="my row", images=MNIST, epochs=epochs(25, 0.7)) for at in range(2)]
    table = rows("3", {"w_net": (0.8, 0.9)}, measurements=5)
    cross = rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.8, 0.9, 0.85)}, measurements=5)
    commands = origins_of(choose([*own, *table, *cross])).commands
    assert [parsed(command)["table"] for command in commands[:-1]] == ["3", "2-folds"]
    assert [parsed(command)["draws"] for command in commands[:-1]] == ["2", "3"]
    assert commands[-1] == "pairnet train mine, with the structure and recipe of my row in a file"


def test_machines_versions_and_engines_are_each_there_once():
    first, second, third = rows("3", {"w_net": (0.8, 0.9, 0.85)})
    place = replace(
        first.environment,
        hardware="B",
        kernels="",
        revision="r2",
        engine="ray",
        versions={"torch": "2.1", "python": "3.11"},
    )
    card = replace(place, hardware="A", revision="r1", engine="", gpu=Gpu(name="H", driver="5", cuda="12"))
    second, third = replace(second, environment=card), replace(third, environment=place)
    found = origins_of(choose([replace(first, environment=place), second, third]))
    assert found.hardware == ("A, cpu, H, driver 5, CUDA 12", "B, cpu")
    assert found.versions == ("python 3.11, torch 2.1",)
    assert found.revisions == ("r1", "r2")
    assert found.engines == ("ray", "unknown")
    assert found.seconds == pytest.approx(first.seconds + second.seconds + third.seconds)
    assert (found.data, found.checksum) == (MNIST.name, MNIST.checksum)


def test_recipes_say_what_they_change_in_the_papers():
    def own(label, recipe):
        variant = replace(find_variant("w_net"), recipe=recipe)
        return [
            record(at, variant=variant, label=label, images=MNIST, epochs=epochs(recipe.epochs, 0.8)) for at in (0, 1)
        ]

    usual = Recipe()
    changed = replace(usual, learning_rate=0.02, optimiser="sgd", recalibrate=True)
    warped = replace(usual, warp=Warp(rotation=10.0, shear=0.0))
    records = [*own("one", changed), *own("two", warped), *own("three", replace(changed, batch=50))]
    texts = dict(origins_of(choose([*rows("3", {"w_net": (0.8, 0.9), "a_net": (0.8, 0.9)}), *records])).recipes)
    assert texts.pop("w_net, a_net") == "the paper's recipe"
    assert texts == {
        "one": "learning_rate 0.02, optimiser sgd, recalibrate yes",
        "two": "warp (rotation 10, scale 0.12, shift 1)",
        "three": "batch 50, learning_rate 0.02, optimiser sgd, recalibrate yes",
    }


def test_all_numbers_of_pairs_and_the_steps_that_rows_state_are_said(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[[rows]]\nvariant = "fc_1"\ngrid = { pairs = [100, 300] }\nset = { steps = 1200 }\n'
        '[[rows]]\nvariant = "conv_1"\nlabel = "own"\n'
    )
    study = read_study(path)
    records = [
        record(seed, label=row.label, variant=row.variant, images=MNIST, pairs=row.pairs or 1000)
        for row in study.rows
        for seed in (0, 1)
    ]
    report = gather(choose(records, own=[study], pairs=1000))
    assert (report.origins.pairs, report.origins.test_pairs) == ((100, 300, 1000), (1000,))
    recipes = dict(report.origins.recipes)
    assert recipes.pop("own") == "the paper's recipe"
    assert {label for labels in recipes for label in labels.split("; ")} == {row.label for row in study.rows[:2]}
    assert all(text.startswith("steps 1,200, epochs ") for text in recipes.values())
    page = report_page(report, (), {})
    assert "100, 300 or 1,000 to train on, 1,000 to test on" in " ".join(page.split())


def test_labels_with_commas_are_separated_by_semicolons(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('[[rows]]\nvariant = "fc_1"\nlabel = "a, b"\n[[rows]]\nvariant = "conv_1"\nlabel = "c"\n')
    study = read_study(path)
    records = [record(0, label=row.label, variant=row.variant, images=MNIST) for row in study.rows]
    assert origins_of(choose(records, own=[study])).recipes == (("a, b; c", "the paper's recipe"),)


@pytest.mark.parametrize("more", [0, 2])
def test_the_combination_of_a_crossed_study_that_is_a_draw_counts_with_the_others(tmp_path, more):
    path = tmp_path / "mine.toml"
    path.write_text('vary = { pairs = 3, weights = 3 }\n[[rows]]\nvariant = "fc_1"\n')
    study = read_study(path)
    crossed = [record(number, images=MNIST, own_seeds=seeds) for number, seeds in study.seeding.repetitions(0)]
    mine = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)
    others = [record(number, label="own", variant=mine, images=MNIST) for number in range(more)]
    report = gather(choose([*crossed, *others], own=[study]))
    found = report.origins
    assert (found.runs, found.apart, found.apart_draws, found.draws) == (9 + more, 9, (0,), tuple(range(more)))
    page = " ".join(report_page(report, (), {}).split())
    assert "9 runs with seeds held apart (one combination for each of draw 0 is that draw), each with its own" in page
