"""Variance components: against least squares, closed forms and simulations of known components; and wherever shown."""

import csv
import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from failed_examples import failed
from record_examples import IMAGES, record
from reporting.studies import MNIST

from pairnet.models.variants import find_variant
from pairnet.reporting import components
from pairnet.reporting.component_tables import HEADINGS, component_cells, component_note, held_note
from pairnet.reporting.components import TOGETHER, analyse, coefficients, components_of, mean_squares
from pairnet.reporting.documents import fill_blocks
from pairnet.reporting.effects import families
from pairnet.reporting.files import COMPONENTS, RESULTS, SUMMARY, write_report
from pairnet.reporting.markdown import markdown_table
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.reporting.summaries import finished_draws, interval_of_mean, summarise, unlike_the_paper
from pairnet.reporting.terminal import components_table, study_table
from pairnet.study.files import read_study
from pairnet.study.plan import Row, Study, plan
from pairnet.study.seeding import Seeding

RNG = np.random.default_rng(7)
SHAPES = [(4, 3), (3, 2, 4), (2, 3, 2, 2)]
DESIGN = Seeding(vary=(("pairs", 4), ("weights", 3), ("order", 2)))


def subsets(axes):
    return [each for size in range(1, len(axes) + 1) for each in itertools.combinations(axes, size)]


def table_of(shape, stds, rng, mean=0.9):
    """A table of accuracies whose effects are normal with these standard deviations, by their axes."""
    table = np.full(shape, mean)
    for axes, std in stds.items():
        table = table + std * rng.standard_normal([size if axis in axes else 1 for axis, size in enumerate(shape)])
    return table


def indicators(shape, axes):
    """[cells,levels]: which level of an effect each cell has."""
    at = np.indices(shape).reshape(len(shape), -1)
    level = np.ravel_multi_index([at[axis] for axis in axes], [shape[axis] for axis in axes])
    return np.eye(level.max() + 1)[level]


def study_of(seeding=DESIGN, **changes):
    rows = tuple(Row(label=name, variant=find_variant(name)) for name in ("conv_1", "fc_1"))
    return Study(name="crossed", title="Crossed", rows=rows, seeding=seeding, **changes)


def records_of(study, rng=RNG, images=IMAGES):
    """Records of a study whose accuracies are random."""
    runs = plan(study, images, draws=study.seeding.count or 3)
    return [
        record(
            run.seed,
            label=run.label,
            variant=run.variant,
            images=images,
            own_seeds=run.own_seeds,
            fold=run.fold,
            accuracy=round(float(rng.uniform(0.7, 0.9)), 3),
            epochs=record().epochs,
        )
        for run in runs
    ]


def by_label(records):
    found = {}
    for each in records:
        found.setdefault(each.run.label, []).append(each)
    return found


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_mean_squares_are_those_of_least_squares(shape):
    table = RNG.normal(size=shape)
    values, design = table.ravel(), np.ones((table.size, 1))
    residual = ((values - values.mean()) ** 2).sum()
    for axes in subsets(range(len(shape))):  # in a balanced table, the order of equal sizes does not matter
        design = np.hstack([design, indicators(shape, axes)])
        fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        left = ((values - fitted) ** 2).sum()
        square, freedom = mean_squares(table)[axes]
        assert square * freedom == pytest.approx(residual - left, abs=1e-9)
        assert freedom == math.prod(shape[axis] - 1 for axis in axes)
        residual = left
    assert residual == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_components_solve_the_expected_mean_squares(shape):
    """E[y'Py] = tr(P V), with the projection P of each effect and the covariance V of each component by itself."""
    effects = subsets(range(len(shape)))
    projections = {}
    for axes in effects:
        parts = [
            np.eye(size) - 1 / size if axis in axes else np.full((size, size), 1 / size)
            for axis, size in enumerate(shape)
        ]
        whole = parts[0]
        for part in parts[1:]:
            whole = np.kron(whole, part)
        projections[axes] = whole / math.prod(shape[axis] - 1 for axis in axes)
    covariances = [indicators(shape, axes) @ indicators(shape, axes).T for axes in effects]
    expected = np.array([[np.trace(projections[one] @ each) for each in covariances] for one in effects])
    inverse = np.linalg.inv(expected)
    solved = coefficients(shape)
    ours = np.array([[solved[one].get(other, 0) for other in effects] for one in effects])
    assert ours == pytest.approx(inverse, abs=1e-9)


def test_two_streams_have_the_closed_form():
    table = table_of((5, 4), {(0,): 0.02, (1,): 0.01, (0, 1): 0.005}, np.random.default_rng(1))
    rows, columns = table.mean(1), table.mean(0)
    left = table - rows[:, None] - columns + table.mean()
    both = (left**2).sum() / 12
    first, second = (4 * rows.var(ddof=1) - both) / 4, (5 * columns.var(ddof=1) - both) / 5
    found = analyse(table, ["pairs", "weights"])
    assert [each.std**2 for each in found.sources] == pytest.approx([first, second, both])
    assert found.std**2 == pytest.approx(first + second + both)
    assert [each.share for each in found.sources] == pytest.approx(np.array([first, second, both]) / found.std**2)
    assert found.sources[0].joint == pytest.approx((first + both) / found.std**2)
    assert found.mean == pytest.approx(table.mean())


def test_shares_add_up_and_lie_in_their_intervals():
    for shape in SHAPES:
        found = analyse(RNG.uniform(0.8, 0.9, shape), [*"abcd"[: len(shape)]])
        assert sum(each.share for each in found.sources) == pytest.approx(1)
        for each in found.sources:
            assert 0 <= each.share_low <= each.share_high <= 1
            assert each.std_low <= each.std_high
            assert each.joint is None or (
                each.share <= each.joint + 1e-9 and 0 <= each.joint_low <= each.joint_high <= 1
            )
        assert [each.levels for each in found.sources] == [*shape, None]


def test_equal_accuracies_have_no_spread_and_no_shares():
    found = analyse(np.full((3, 3), 0.9), ["pairs", "weights"])
    assert (found.std, found.low, found.high) == pytest.approx((0, 0.9, 0.9))
    assert [each.share for each in found.sources] == [0, 0, 0]


@pytest.mark.parametrize(
    ("shape", "stds"),
    [
        ((5, 5), {(0,): 0.010, (1,): 0.004, (0, 1): 0.005}),
        ((5, 5), {(0, 1): 0.005}),
        ((5, 4, 3), {(0,): 0.010, (1,): 0.007, (2,): 0.003, (0, 1): 0.004, (0, 1, 2): 0.005}),
    ],
    ids=str,
)
def test_intervals_hold_the_components_of_simulated_tables(shape, stds, monkeypatch):
    monkeypatch.setattr(components, "SAMPLES", 1000)
    rng, names, tables = np.random.default_rng(3), [*"abc"[: len(shape)]], 300
    total = sum(std**2 for std in stds.values())
    together = sum(std**2 for axes, std in stds.items() if len(axes) > 1)
    squares, inside = [], []
    for _ in range(tables):
        found = analyse(table_of(shape, stds, rng), names)
        *alone, last = found.sources
        squares.append([each.std**2 for each in found.sources])
        inside.append([found.low <= 0.9 <= found.high, last.std_low**2 <= together <= last.std_high**2])
        for axis, each in enumerate(alone):
            own = stds.get((axis,), 0.0)
            joint = sum(std**2 for axes, std in stds.items() if axis in axes)
            inside[-1] += [
                each.std_low <= own <= each.std_high,
                each.share_low <= own**2 / total <= each.share_high,
                each.joint_low <= joint / total <= each.joint_high,
            ]
    assert np.mean(inside, axis=0).min() > 0.95 - 4 * math.sqrt(0.95 * 0.05 / tables)
    truth = [*(stds.get((axis,), 0.0) ** 2 for axis in range(len(shape))), together]
    errors = np.std(squares, axis=0) / math.sqrt(tables)
    assert np.mean(squares, axis=0) == pytest.approx(truth, abs=float(4 * errors.max() + 2e-6))


def test_draws_and_draws_with_held_streams_have_no_components():
    for seeding in (
        Seeding(),
        Seeding(hold=("pairs", "test")),
        Seeding(hold=("masks",)),
        Seeding(vary=(("order", 5),)),
    ):
        records = by_label(records_of(study_of(seeding)))["fc_1"]
        assert components_of(records, finished_draws(records)) is None
        (_, summary) = summarise(study_of(seeding), by_label(records_of(study_of(seeding))))
        assert summary.components is None
        assert summary.low is not None


def test_the_streams_are_found_from_the_seeds_of_the_records():
    study = study_of()
    records = by_label(records_of(study))["conv_1"]
    found = components_of(records, finished_draws(records))
    assert [(each.source, each.levels) for each in found.sources] == [
        ("pairs", 4),
        ("weights", 3),
        ("order", 2),
        (TOGETHER, None),
    ]
    assert (found.held, found.runs, found.missing) == (("test",), 24, 0)
    table = np.array([each.accuracy for each in records]).reshape(4, 3, 2)  # in the order of the plan
    assert found == analyse(table, ["pairs", "weights", "order"], held=("test",), tested=1000)
    assert found.binomial == pytest.approx(math.sqrt(found.mean * (1 - found.mean) / 1000))
    shuffled = [records[at] for at in np.random.default_rng(0).permutation(len(records))]
    assert components_of(shuffled, finished_draws(shuffled)) == found
    masks = records_of(study_of(Seeding(vary=(("weights", 2), ("masks", 3)))))[::2]
    assert [each.source for each in components_of(masks, finished_draws(masks)).sources] == [
        "weights",
        "masks",
        TOGETHER,
    ]


def test_a_cross_validated_combination_counts_once():
    records = by_label(records_of(study_of(Seeding(vary=(("pairs", 2), ("weights", 2))), cross_validated=True)))["fc_1"]
    found = components_of(records, finished_draws(records))
    assert len(records) == 16
    assert (found.runs, found.binomial) == (4, None)
    assert found.mean == pytest.approx(np.mean([each.accuracy for each in records]))


def test_missing_combinations_are_counted_and_nothing_is_estimated():
    study = study_of()
    rows = by_label(records_of(study))
    rows["conv_1"] = rows["conv_1"][:-3]
    whole, part = (dict(zip(rows, summarise(study, rows), strict=True))[name] for name in ("fc_1", "conv_1"))
    assert whole.components.sources
    assert (part.components.runs, part.components.missing, part.components.sources) == (21, 3, ())
    assert (part.std, part.low, part.high, part.verdict) == (None, None, None, None)
    assert component_note(part).startswith(
        "conv_1: no components, since 3 of 24 combinations of seeds are missing: run"
    )


def test_a_design_that_lost_a_whole_seed_to_failures_is_not_estimated_from_the_rest(tmp_path):
    study = study_of(Seeding(vary=(("pairs", 2), ("weights", 3))))
    rows = by_label(records_of(study))
    whole = dict.fromkeys(("fc_1", "conv_1"), 6)
    for lost, left in ((("weights", 2), 4), (("weights", 0), 4), (("train_draw", 0), 3)):
        name, seed = lost
        failures = [failed(each) for each in rows["conv_1"] if getattr(each.run.seeds, name) == seed]
        kept = rows | {"conv_1": [each for each in rows["conv_1"] if getattr(each.run.seeds, name) != seed]}
        for seeding in (study.seeding, Seeding()):  # the design says what is missing, and so do the failed runs
            found = summarise(replace(study, seeding=seeding), kept, {"conv_1": failures})
            (part,) = [each for each in found if each.label == "conv_1"]
            assert (part.components.runs, part.components.missing) == (left, whole["conv_1"] - left)
            assert (part.std, part.low, part.components.sources) == (None, None, ())
    records = [each for found in kept.values() for each in found]
    report = gather(choose(records, failures=failures, own=[study]))
    write_report(report, tmp_path / "out" / "report.html")
    lines = list(csv.DictReader((tmp_path / "out" / COMPONENTS).read_text().splitlines()))
    assert [(each["row"], each["source"], each["missing"]) for each in lines] == [
        ("conv_1", "", "3"),
        *(("fc_1", source, "0") for source in ("pairs", "weights", TOGETHER)),
    ]


SHARED = {
    'hold = ["pairs", "test"]\ndraws = 3': (
        "draws that differ in initial weights, order of batches, not in training",
        "test pairs",
    ),
    "vary = { weights = 3 }": ("runs that differ in initial weights, not in training", "order of batches"),
}


@pytest.mark.parametrize("head", SHARED)
def test_runs_that_share_their_pairs_have_no_verdict_on_the_paper(tmp_path, head):
    path = tmp_path / "shared.toml"
    rows = "".join(f'[[rows]]\nvariant = "{name}"\npaper = "I"\ngoal = 0.7\n' for name in ("conv_1", "fc_1"))
    path.write_text(f'{head}\n{rows}[[contrasts]]\nfirst = "conv_1"\nsecond = "fc_1"\n')
    study, plain = read_study(path), tmp_path / "plain.toml"
    plain.write_text(f"draws = 3\n{rows}")
    records = records_of(study, images=MNIST)
    remark = "not the paper's setting, so no verdicts: seeds held apart instead of draws of their own"
    assert unlike_the_paper(study, by_label(records)) == remark
    assert [each.verdict for each in summarise(study, by_label(records))] == [None, None]
    draws = by_label(records_of(read_study(plain), images=MNIST))
    assert all(each.verdict for each in summarise(read_study(plain), draws))
    report = gather(choose(records, own=[study]))
    differ, same = SHARED[head]
    assert f"with 3 {differ} pairs, " in report.sentences[0]
    assert same in report.sentences[0]
    assert remark in report.sentences[2].replace("Not", "not")
    note = held_note(study)
    assert note.startswith("all ")
    assert note in str(study_table(study, summarise(study, by_label(records))).caption)
    write_report(report, tmp_path / "out" / "report.html")
    assert f"{note[1:]}." in (tmp_path / "out" / "report.html").read_text()
    if study.seeding.vary:  # one stream: its runs are no draws of rows to compare
        (family,) = report.families
        assert family.effects == ()
        assert "runs that vary in one stream share their seeds and are no draws" in family.left_out[0]
        assert {each.goal for each in report.summaries} == {"≥ 0.7"}


def test_runs_held_apart_of_another_study_are_no_row_and_win_nothing(tmp_path):
    for seeding in (Seeding(hold=("weights",)), DESIGN, Seeding(vary=(("order", 3),))):
        plain = study_of(seeding)
        variants = [replace(row.variant, recipe=replace(row.variant.recipe, batch=7)) for row in plain.rows]
        held = replace(plain, rows=tuple(Row(label=f"own {each.name}", variant=each) for each in variants))
        foreign = [replace(each, accuracy=0.99) for each in records_of(held)]
        mine = Study(name="mine", title="Mine", rows=(Row(label="fc_2", variant=find_variant("fc_2")),))
        own = records_of(mine)
        for studies in ([mine], []):
            selection = choose([*foreign, *own], own=studies, folder=tmp_path)
            report = gather(selection)
            assert {each.fingerprint for each in selection.records} == {each.fingerprint for each in own}
            assert report.families == ()
            (line,) = selection.left_out
            assert line.startswith(f"{len(foreign)} runs of own conv_1, own fc_1: seeds held apart")
            assert f"`pairnet report {tmp_path}`" in line
            assert report.sentences[1].startswith("The best network is fc_2 with")
        both = choose([*foreign, *own], own=[mine, held])
        assert (both.others, both.left_out) == ({}, ())


def test_the_interval_of_a_crossed_row_is_not_that_of_as_many_draws():
    rng = np.random.default_rng(2)
    table = table_of((4, 3, 2), {(0,): 0.02, (0, 1, 2): 0.002}, rng)
    found = analyse(table, ["pairs", "weights", "order"])
    low, high = interval_of_mean(table.ravel().tolist())
    assert found.high - found.low > 2 * (high - low)


def test_the_interval_of_the_mean_is_students_where_one_stream_makes_all_of_the_spread():
    values = np.array([0.91, 0.88, 0.9, 0.93, 0.87, 0.9])
    found = analyse(np.tile(values[:, None, None], (1, 4, 3)), ["pairs", "weights", "order"])
    low, high = interval_of_mean(values.tolist())
    assert found.high - found.low == pytest.approx(high - low, rel=0.05), "but for the number of samples"
    assert (found.high + found.low) / 2 == pytest.approx(values.mean(), abs=0.05 * (high - low))


def test_every_place_shows_the_same_components(tmp_path):
    study = study_of()
    records = records_of(study)
    selection = choose(records, own=[study])
    assert families(selection) == ()  # a paired test over runs that share seeds would be too sure
    report = gather(selection)
    summaries = next(table for table in report.tables if table.study.name == "crossed").summaries
    assert [each.components.runs for each in summaries] == [24, 24]
    write_report(report, tmp_path / "out" / "report.html")
    page = (tmp_path / "out" / "report.html").read_text()
    text = markdown_table(summaries)
    lines = list(csv.DictReader((tmp_path / "out" / COMPONENTS).read_text().splitlines()))
    stored = json.loads((tmp_path / "out" / SUMMARY).read_text())["tables"]["crossed"]["rows"]
    assert len(lines) == 2 * 4
    for summary, row in zip(summaries, stored, strict=True):
        assert f"{component_note(summary)}." in text
        columns = components_table(summary.components).columns
        terminal = list(zip(*(map(str, column.cells) for column in columns), strict=True))
        for cells, each in zip(component_cells(summary.components), summary.components.sources, strict=True):
            assert len(cells) == len(HEADINGS)
            assert f"| {' | '.join(cells)} |" in text
            assert all(cell in page for cell in cells)
            assert cells in terminal
            ends = (each.share_low, each.share_high)
            assert cells[3] == f"{100 * each.share:.0f} % ({' to '.join(f'{100 * end:.0f}' for end in ends)})"
            (line,) = [line for line in lines if (line["row"], line["source"]) == (summary.label, each.source)]
            assert float(line["share"]) == each.share
        assert row["components"]["sources"][0]["std"] == summary.components.sources[0].std
    runs = list(csv.DictReader((tmp_path / "out" / RESULTS).read_text().splitlines()))
    assert {(run["row"], run["train_draw"], run["weights"], run["order"]) for run in runs} == {
        (each.run.label, *(str(getattr(each.run.seeds, name)) for name in ("train_draw", "weights", "order")))
        for each in records
    }


def test_a_report_of_draws_has_no_file_of_components(tmp_path):
    records = records_of(study_of(Seeding()))
    write_report(gather(choose(records)), tmp_path / "out" / "report.html")
    assert not (tmp_path / "out" / COMPONENTS).exists()
    assert replace(records[0].run, label="").draw == (0,)


def test_a_study_with_held_streams_says_what_its_intervals_are_for(tmp_path, command_line):
    study = study_of(Seeding(hold=("pairs", "test")))
    note = "ll draws have the same training pairs, test pairs: spread and intervals are for these"
    report = gather(choose(records_of(study), own=[study]))
    write_report(report, tmp_path / "out" / "report.html")
    assert f"A{note}" in (tmp_path / "out" / "report.html").read_text()
    document = tmp_path / "paper.md"
    document.write_text("<!-- pairnet report: table crossed -->\n<!-- end -->\n")
    fill_blocks(document, report)
    assert f"A{note}" in document.read_text()
    file = tmp_path / "held.toml"
    file.write_text('hold = ["test"]\ndraws = 2\npairs = 20\n[[rows]]\nvariant = "conv_1"\nset = { epochs = 1 }\n')
    status, out, _ = command_line("study", file, "--data", "glyphs:200", "--test-pairs", 20, "--no-report")
    assert (status, "the same test pairs: spread" in " ".join(out.split())) == (0, True)


def test_what_was_run_counts_draws_and_runs_of_held_seeds_apart():
    study = study_of()
    origins = gather(choose(records_of(study), own=[study])).origins
    assert (origins.draws, origins.apart, origins.runs) == ((), 48, 48)  # the first run of each row, draw 0, too
    assert [command.split(" --draws")[0] for command in origins.commands] == list(origins.commands)
