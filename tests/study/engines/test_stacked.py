"""The engine of stacked networks, on a CPU: the same results as processes to rounding, and failures that stay alone."""

from dataclasses import replace

import pytest

from pairnet.models import recipes
from pairnet.models.variants import find_variant
from pairnet.records.store import read_records
from pairnet.study.engines.processes import Processes
from pairnet.study.engines.stacked import Stacked, groups
from pairnet.study.events import EpochDone, Failed, Finished, Started
from pairnet.study.plan import Row, Study, plan
from pairnet.study.running import run_study
from pairnet.study.tables import studies

SMALL = Study(
    name="small",
    title="small",
    rows=(
        Row(label="conv_1", variant=find_variant("conv_1"), paper=None),
        Row(label="a_w_net", variant=find_variant("a_w_net"), paper=None),
    ),
)


def test_stacked_runs_give_the_results_of_single_ones(glyph_set, tmp_path):
    runs = plan(SMALL, glyph_set.images, draws=2, epochs=2, pairs=100)
    single = run_study(runs, glyph_set, tmp_path / "single", engine=Processes(dataset=glyph_set, workers=2))
    events = []
    stacked = run_study(
        runs, glyph_set, tmp_path / "stacked", engine=Stacked(dataset=glyph_set), on_event=events.append
    )
    for ours, theirs in zip(stacked.records, single.records, strict=True):
        assert (ours.fingerprint, ours.run.name, ours.mean) == (theirs.fingerprint, theirs.run.name, theirs.mean)
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.021)  # two pairs of a hundred
        assert ours.epochs[-1].train_loss == pytest.approx(theirs.epochs[-1].train_loss, rel=1e-3)
        assert (ours.environment.engine, theirs.environment.engine) == ("stacked", "processes")
    mine = [event for event in events if event.run == runs[0]]
    assert [type(event) for event in mine] == [Started, EpochDone, EpochDone, Finished]
    assert [event.number for event in mine if isinstance(event, EpochDone)] == [1, 2]
    assert len(read_records(tmp_path / "stacked")) == len(runs)


def test_groups_do_not_depend_on_the_order_of_draws(glyph_set):
    jobs = plan(SMALL, glyph_set.images, draws=3, pairs=100)
    assert [[(job.name, job.seed) for job in group] for group in groups(jobs)] == [
        [(row.label, seed) for seed in range(3)] for row in SMALL.rows
    ]


def test_nothing_to_do_is_no_error(glyph_set):
    assert list(Stacked(dataset=glyph_set).run([])) == []


@pytest.mark.parametrize("pairs", [100, 90], ids=["stacked", "one by one"])
def test_a_run_that_diverges_fails_alone(glyph_set, tmp_path, pairs, monkeypatch):
    monkeypatch.setattr(recipes, "LARGEST", 1e39)  # infinite in float32
    good = plan(replace(SMALL, rows=SMALL.rows[1:]), glyph_set.images, draws=2, epochs=1, pairs=pairs)
    variant = good[0].variant
    bad = replace(good[0], label="bad", variant=replace(variant, recipe=replace(variant.recipe, loss_ratio=1e39)))
    jobs = [good[0], bad, good[1]]
    assert len(groups(jobs)) == 1
    result = run_study([good[0], bad, good[1]], glyph_set, tmp_path / "all", engine=Stacked(dataset=glyph_set))
    assert [record and record.run.name for record in result.records] == ["a_w_net", None, "a_w_net"]
    assert [(each.label, each.kind, each.epoch) for each in result.failures] == [("bad", "diverged", 1)]
    without = run_study(good, glyph_set, tmp_path / "good", engine=Stacked(dataset=glyph_set))
    for ours, theirs in zip(result.finished, without.finished, strict=True):
        assert ours.accuracy == pytest.approx(theirs.accuracy, abs=0.021)
    events = []
    run_study([bad], glyph_set, tmp_path / "all", engine=Stacked(dataset=glyph_set), on_event=events.append)
    assert not any(isinstance(event, Started | Failed) for event in events)  # only with retry_failed


def test_jobs_are_grouped_by_what_they_share(glyph_set):
    runs = plan(studies()["2-folds"], glyph_set.images, draws=1, pairs=100)
    assert len(groups(runs)) == 1  # five loss ratios, four folds
    other = [replace(runs[0], pairs=80), replace(runs[0], measurements=2), replace(runs[0], fold=None)]
    assert len(groups([*runs, *other])) == 4


def test_closing_the_events_stops_the_computation(glyph_set):
    runs = plan(SMALL, glyph_set.images, draws=2, epochs=50, pairs=100)
    events = Stacked(dataset=glyph_set).run(runs)
    while not isinstance(next(events), EpochDone):
        pass
    events.close()
