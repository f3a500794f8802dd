"""Shards: each run in one of them, whole draws, similar sizes, and texts that name no shard."""

from collections import Counter
from dataclasses import replace

import pytest
from record_examples import IMAGES

from pairnet.errors import ArgumentError
from pairnet.study.plan import plan
from pairnet.study.sharding import Shard, of_shard, parse_shard
from pairnet.study.tables import PAPER, studies


def plans_of(*names, **options):
    return [plan(studies()[name], IMAGES, **options) for name in names]


def shares(plans, count):
    """The runs of each shard: one list for each plan."""
    return [of_shard(plans, Shard(number=number, count=count)) for number in range(1, count + 1)]


def key(run):
    return (run.name, run.seed, run.fold)


def draws_of(plans):
    return {(run.name, run.seed, run.fold is None) for runs in plans for run in runs}


@pytest.mark.parametrize("names", [("3",), ("2-folds",), PAPER, ("ablation",)], ids=" ".join)
@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 10, 40])
def test_each_run_is_in_one_shard_in_the_order_of_its_plan(names, count):
    plans = plans_of(*names)
    found = shares(plans, count)
    for place, runs in enumerate(plans):
        for share in found:
            order = [runs.index(run) for run in share[place]]
            assert order == sorted(order)
        assert Counter(key(run) for share in found for run in share[place]) == Counter(map(key, runs))


@pytest.mark.parametrize("count", [2, 3, 7, 50])
def test_the_folds_of_a_draw_stay_together(count):
    plans = plans_of("2-folds")
    for (share,) in shares(plans, count):
        assert set(Counter((run.name, run.seed) for run in share).values()) == {4}


@pytest.mark.parametrize("name", ["2", "3", "ablation"])
@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 13])
def test_shards_differ_by_at_most_one_draw_in_all_and_in_each_row(name, count):
    plans = plans_of(name)
    found = [draws_of(share) for share in shares(plans, count)]
    sizes = [len(draws) for draws in found]
    assert max(sizes) - min(sizes) <= 1
    for row in {name for name, _, _ in draws_of(plans)}:
        sizes = [sum(name == row for name, _, _ in draws) for draws in found]
        assert max(sizes) - min(sizes) <= 1


def test_a_network_of_two_tables_is_in_one_shard():
    plans = plans_of("1", "3")
    for first, third in shares(plans, 3):
        seeds = [{run.seed for run in runs if run.name == "cnn_base"} for runs in (first, third)]
        assert seeds[0] == seeds[1] != set()


def test_names_do_not_decide_where_a_run_is():
    (runs,) = plans_of("1", draws=3)
    renamed = [replace(run, label="x", variant=replace(run.variant, name="y", note="z")) for run in runs]
    for number in (1, 2):
        shard = Shard(number=number, count=2)
        of_both = of_shard([runs, renamed], shard)
        assert [run.seed for run in of_both[0]] == [run.seed for run in of_both[1]]
        assert of_shard([runs], shard) == of_both[:1]


def test_more_shards_than_draws_are_refused():
    plans = plans_of("1", draws=2)
    assert all(len(share[0]) == 1 for share in shares(plans, 14))
    with pytest.raises(ArgumentError, match=r"expected `shard` with N of at most 14, .* got 1/15: choose fewer shards"):
        of_shard(plans, Shard(number=1, count=15))


@pytest.mark.parametrize(("text", "number", "count"), [("1/1", 1, 1), ("3/4", 3, 4), ("10/010", 10, 10)])
def test_a_shard_is_read(text, number, count):
    assert parse_shard(text) == Shard(number=number, count=count)


@pytest.mark.parametrize(
    "text",
    [
        *("", "1", "/", "1/", "/2", "0/3", "4/3", "-1/3", "1/-3", "1/0", "0/0", "1/2/3", "a/b", "1.0/2", " 1/2"),
        *("1/2\n", "+1/2", "1 / 2", "١/٢", f"1/{'9' * 5000}"),
    ],
)
def test_anything_else_is_refused_in_one_line(text):
    with pytest.raises(ArgumentError, match=r"expected `shard` to be I/N with I in 1\.\.N, got ") as error:
        parse_shard(text)
    assert len(str(error.value)) < 200
    assert str(error.value).isprintable()
