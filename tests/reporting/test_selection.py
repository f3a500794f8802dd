"""What belongs on one page: rows by what was run, one data set and setting, and a line for everything left out."""

import random
import re
from dataclasses import replace

import pytest
from record_examples import record, rerun
from reporting.studies import MNIST, epochs, relabelled, rows

from pairnet.errors import RecordError
from pairnet.models.variants import find_variant, with_epochs
from pairnet.records.elsewhere import Elsewhere
from pairnet.reporting.selection import choose
from pairnet.study.files import read_study

NAMES = ("cnn_base", "no_w_net", "w_net", "a_net", "a_w_net", "final_model", "a_w_net_bn", "final_model_bn")
THREE = dict.fromkeys(NAMES, (0.8, 0.81, 0.82))


def shown(selection):
    return {table.study.name: list(table.rows) for table in selection.tables}


def test_rows_are_found_by_what_was_run_and_not_by_label():
    selection = choose(relabelled(rows("3", THREE), "of another table"))
    assert shown(selection) == {"3": list(THREE)}
    assert selection.left_out == ()
    assert (selection.data, selection.pairs, selection.epochs) == (MNIST, 1000, None)


def test_a_table_of_which_another_one_shows_every_row_is_not_begun():
    assert shown(choose(rows("3", {"final_model": (0.9, 0.91)}))) == {"3": ["final_model"]}
    order = rows("order", {"final_model": (0.9,), "order_net": (0.99,), "order_net_s": (0.98,)})
    assert shown(choose(order)) == {"order": ["final_model", "order_net", "order_net_s"]}
    both = [*rows("3", THREE), *rows("1", {"fc_1": (0.8,), "cnn_base": (0.8,)})]
    assert shown(choose(both)) == {"1": ["fc_1", "cnn_base"], "3": list(THREE)}


def test_cross_validated_and_tested_runs_of_one_network_are_different_rows():
    both = [
        *rows("2-folds", {"a_w_net in 4 folds, loss ratio 0.5": (0.9, 0.91)}),
        *rows("3", {"a_w_net": (0.92, 0.93)}),
    ]
    selection = choose(both)
    assert shown(selection) == {"3": ["a_w_net"], "2-folds": ["a_w_net in 4 folds, loss ratio 0.5"]}
    assert {record.run.fold for record in selection.tables[0].rows["a_w_net"]} == {None}
    assert list(selection.tested) == ["a_w_net"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"images": replace(MNIST, name="glyphs", checksum="e" * 64)}, "25 epochs, 1,000 pairs of glyphs, on cpu"),
        (
            {"images": replace(MNIST, checksum="e" * 64)},
            "25 epochs, 1,000 pairs of mnist (SHA-256 eeeeeeee), on cpu",
        ),
        ({"pairs": 500}, "25 epochs, 500 pairs of mnist, 1,000 for testing, on cpu"),
        ({"test_pairs": 400}, "25 epochs, 1,000 pairs of mnist, 400 for testing, on cpu"),
        ({"device": "cuda"}, "1,000 pairs of mnist, on cuda"),
    ],
)
def test_other_data_and_settings_are_left_out_and_named(changes, line):
    usual, other = rows("3", THREE), rows("3", {"w_net": (0.1, 0.2), "a_net": (0.3,)}, **changes)
    selection = choose([*other, *usual])
    assert {each.fingerprint for each in selection.records} == {each.fingerprint for each in usual}
    assert len(selection.left_out) == 1
    assert selection.left_out[0].startswith("3 runs of w_net, a_net: ")
    assert selection.left_out[0].endswith(line)


def test_a_network_trained_elsewhere_is_left_out_and_named_by_what_it_was_tested_on():
    network = record(images=MNIST, label="theirs", elsewhere=Elsewhere(weights="f" * 64))
    selection = choose([*rows("3", THREE), network])
    assert selection.left_out == (f"1 run of {network.run.name}: tested on 1,000 pairs of mnist",)


def test_other_numbers_of_epochs_are_left_out_or_shown_if_they_are_most():
    def short(table, accuracies):
        return [rerun(each, variant=with_epochs(each.run.variant, 2)) for each in rows(table, accuracies)]

    few = short("3", {"w_net": (0.1,)})
    selection = choose([*few, *rows("3", THREE)])
    assert selection.epochs is None
    assert selection.left_out == ("1 run of w_net: 2 epochs, 1,000 pairs of mnist, on cpu",)
    selection = choose([*short("3", THREE), *rows("3", {"w_net": (0.9,)})])
    assert (selection.epochs, shown(selection)) == (2, {"3": list(THREE)})
    assert selection.left_out == ("1 run of w_net: 25 epochs, 1,000 pairs of mnist, on cpu",)


def test_networks_of_ones_own_stand_by_themselves_each_setting_apart():
    mine = replace(find_variant("fc_1"), name="mine", net="fc(392,7) fc(7,1)", parameters=None)
    own = [record(draw, variant=mine, label="mine", images=MNIST) for draw in range(3)]
    other = [
        record(draw, variant=replace(mine, recipe=replace(mine.recipe, batch=50)), label="mine", images=MNIST)
        for draw in range(2)
    ]
    selection = choose([*own, *other, *rows("3", THREE)])
    assert [len(each) for each in selection.others.values()] == [3, 2]
    assert all(label.startswith("mine, 25 epochs") for label in selection.others)
    assert list(choose([*own, *rows("3", THREE)]).others) == ["mine"]
    disguised = relabelled(own, "w_net")
    assert list(choose([*disguised, *rows("3", THREE)]).tested) == [
        *THREE,
        "w_net, 25 epochs, 1,000 pairs of mnist",
    ]


def test_the_order_of_records_changes_nothing_but_their_order():
    records = [*rows("3", THREE), *rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.9, 0.91)})]
    shuffled = random.Random(0).sample(records, len(records))
    one, other = choose(records), choose(shuffled)
    assert shown(one) == shown(other)
    for table, same in zip(one.tables, other.tables, strict=True):
        for label, found in table.rows.items():
            assert {each.fingerprint for each in found} == {each.fingerprint for each in same.rows[label]}


def test_unfinished_draws_do_not_make_a_row_and_are_left_out():
    folds = rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.9,)})[:3]
    selection = choose([*folds, *rows("3", {"w_net": (0.9,)})])
    assert shown(selection) == {"3": ["w_net"]}
    assert selection.left_out == (
        "3 runs of a_w_net in 4 folds, loss ratio 1: 25 epochs, 1,000 pairs of mnist in 4 folds, on cpu",
    )
    with pytest.raises(RecordError, match="expected finished draws of one setting, got none"):
        choose(folds)
    two = rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.9, 0.8)})[:7]
    assert len(choose(two).records) == 4
    assert choose(two).left_out == (
        "3 runs of a_w_net in 4 folds, loss ratio 1: 25 epochs, 1,000 pairs of mnist in 4 folds, on cpu, draws that "
        "are not finished",
    )


def test_numbers_of_folds_are_not_mixed():
    four = rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.9, 0.8)})
    two = rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.5, 0.4)}, folds=2)
    selection = choose([*two, *four])
    assert {record.run.folds for record in selection.records} == {4}
    assert selection.left_out[0].endswith("in 2 folds, on cpu")


def test_a_number_of_epochs_that_is_one_rows_own_keeps_that_row():
    short = [
        rerun(each, variant=with_epochs(each.run.variant, 3))
        for each in rows("order", {"final_model": (0.9,), "order_net": (0.99,)})
    ]
    selection = choose([*short, *rows("order", {"order_net_fast": (0.96,)})])
    assert (selection.epochs, shown(selection)) == (3, {"order": ["final_model", "order_net", "order_net_fast"]})


def test_nothing_is_refused():
    with pytest.raises(RecordError, match="expected finished runs, got none"):
        choose([])


def test_a_number_of_epochs_that_was_asked_for_chooses_the_pairs_too():
    def trained(number, pairs, seed):
        network = find_variant("w_net")
        lasting = replace(network, recipe=replace(network.recipe, epochs=number))
        return record(seed, variant=lasting, label="w_net", images=MNIST, pairs=pairs, epochs=epochs(number, 0.6))

    records = [*(trained(3, 300, seed) for seed in range(4)), trained(50, 1000, 0)]
    assert choose(records).pairs == 300
    assert choose(records, epochs=50).pairs == 1000


@pytest.mark.parametrize("name", ["3", "order", "mine"])
def test_a_study_of_ones_own_never_has_the_name_of_a_table(tmp_path, name):
    path = tmp_path / f"{name}.toml"
    path.write_text('title = "Own"\n[[rows]]\nvariant = "w_net"\nset = { epochs = 7 }\n')
    own = read_study(path)
    short = with_epochs(find_variant("w_net"), 7)
    mine = [record(draw, variant=short, label="w_net", images=MNIST, epochs=epochs(7, 0.7)) for draw in range(3)]
    selection = choose([*rows("3", THREE), *mine], own=[own])
    names = [table.study.name for table in selection.tables]
    assert names == [name if name == "mine" else f"{name}-{own.digest}", "3"]
    assert [len(each) for table in selection.tables[:1] for each in table.rows.values()] == [3]
    assert list(selection.tables[1].rows) == list(THREE)
    labels = [label for label, _ in selection.labelled]
    assert len(labels) == len(set(labels))  # a label stands for one setting


def test_rows_without_images_of_their_own_take_those_of_the_page(tmp_path):
    (tmp_path / "mine.toml").write_text('[[rows]]\nvariant = "fc_1"\n')
    other = [record(draw, images=replace(MNIST, checksum="e" * 64), label="fc_1") for draw in range(2)]
    selection = choose([*rows("3", THREE), *other], own=[read_study(tmp_path / "mine.toml")])
    assert [table.study.name for table in selection.tables] == ["3"]


@pytest.mark.parametrize("count", range(1, 7))
def test_what_is_left_out_names_three_rows_and_counts_the_others(count):
    labels = list(THREE)[:count]
    usual = rows("3", THREE)
    other = rows("3", dict.fromkeys(labels, (0.8, 0.9)), pairs=500, test_pairs=700)
    (line,) = choose([*usual, *other]).left_out
    found = re.fullmatch(r"(\d+) runs of (.*): 25 epochs, 500 pairs of mnist, 700 for testing, on cpu", line)
    assert int(found[1]) == len(other)
    named, _, more = found[2].partition(" and ")
    assert named.split(", ") == labels[:3]
    assert more == (f"{count - 3} more rows" if count > 3 else "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pairs": 400, "test_pairs": 400}, "400 pairs of mnist, on cpu"),
        ({"pairs": 400, "test_pairs": 1200}, "400 pairs of mnist, 1,200 for testing, on cpu"),
        ({"device": "cuda"}, "1,000 pairs of mnist, on cuda"),
    ],
)
def test_each_kind_of_run_that_is_left_out_has_a_line(changes, words):
    usual = rows("3", {"w_net": (0.8, 0.9, 0.85), "a_net": (0.8, 0.9, 0.85)})
    other, folded = (
        rows("3", {"w_net": (0.8,)}, **changes),
        rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.8,)}, pairs=300),
    )
    lines = choose([*usual, *other, *folded]).left_out
    assert set(lines) == {
        f"1 run of w_net: 25 epochs, {words}",
        "4 runs of a_w_net in 4 folds, loss ratio 1: 25 epochs, 300 pairs of mnist in 4 folds, on cpu",
    }
