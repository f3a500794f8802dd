"""What a study will probably show: against the noncentral t, simulations, and the documents that spreads are from."""

import itertools
import re
import statistics
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_examples import IMAGES, record
from scipy import optimize, stats

from pairnet.models.variants import find_variant
from pairnet.reporting.power import (
    KNOWN,
    equivalence_power,
    outlook_cells,
    outlook_title,
    outlooks,
    smallest_difference,
    smallest_margin,
)
from pairnet.study.plan import Row, Study, plan
from pairnet.study.seeding import Seeding

DOCS = Path(__file__).parents[2] / "docs"
ROWS = tuple(Row(label=name, variant=find_variant(name)) for name in ("fc_1", "fc_2", "conv_1"))
STUDY = Study(name="s", title="s", rows=ROWS)
SIMULATED = 20_000


def kind(draws, paired):
    """Degrees of freedom, and the standard error for a standard deviation of 1."""
    return (draws - 1, draws**-0.5) if paired else (2 * draws - 2, (2 / draws) ** 0.5)


@pytest.mark.parametrize("paired", [True, False])
@pytest.mark.parametrize("draws", [3, 5, 10, 40])
@pytest.mark.parametrize("level", [0.05, 0.05 / 7])
def test_the_smallest_difference_has_the_power_of_the_noncentral_t(draws, paired, level):
    freedom, error = kind(draws, paired)
    found = smallest_difference(0.02, draws, paired=paired, level=level) / 0.02 / error
    critical = stats.t.ppf(1 - level / 2, freedom)
    assert stats.nct.sf(critical, freedom, found) == pytest.approx(0.8, abs=1e-6)
    below = optimize.brentq(lambda shift: stats.nct.sf(critical, freedom, shift) - 0.5, 0.1, 20)
    assert smallest_difference(1.0, draws, paired=paired, level=level, power=0.5) == pytest.approx(below * error)


@pytest.mark.parametrize("draws", [2, 6])
def test_simulated_tests_show_the_smallest_difference_four_times_of_five(draws):
    rng = np.random.default_rng(1)
    paired = rng.normal(smallest_difference(1.0, draws), 1.0, (SIMULATED, draws))
    assert (stats.ttest_1samp(paired, 0, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.012)
    apart = smallest_difference(1.0, draws, paired=False)
    first, second = rng.normal(apart, 1.0, (SIMULATED, draws)), rng.normal(0, 1.0, (SIMULATED, draws))
    assert (stats.ttest_ind(first, second, axis=1).pvalue < 0.05).mean() == pytest.approx(0.8, abs=0.012)


@pytest.mark.parametrize("draws", [3, 10])
@pytest.mark.parametrize("paired", [True, False])
def test_simulated_rows_that_are_equal_are_equivalent_within_the_margin_four_times_of_five(draws, paired):
    freedom, error = kind(draws, paired)
    margin, rng = smallest_margin(1.0, draws, paired=paired), np.random.default_rng(2)
    if paired:
        values = rng.normal(0, 1, (SIMULATED, draws))
        means, errors = values.mean(1), values.std(1, ddof=1) * error
    else:
        one, other = rng.normal(0, 1, (2, SIMULATED, draws))
        means = one.mean(1) - other.mean(1)
        errors = np.sqrt((one.var(1, ddof=1) + other.var(1, ddof=1)) / 2) * error
    inside = np.abs(means) + stats.t.ppf(0.95, freedom) * errors < margin
    assert inside.mean() == pytest.approx(0.8, abs=0.012)
    assert equivalence_power(1.0, draws, margin, paired=paired) == pytest.approx(0.8, abs=1e-3)


def test_more_draws_and_less_spread_show_smaller_differences():
    for of in (smallest_difference, smallest_margin):
        by_draws = [of(0.01, draws) for draws in (2, 3, 5, 10, 100)]
        assert by_draws == sorted(by_draws, reverse=True)
        assert of(0.02, 10) == pytest.approx(2 * of(0.01, 10))
        assert of(0.01, 10, level=0.01) > of(0.01, 10)
        assert of(0.0, 10) == 0


def blocks():
    text = (DOCS / "results.md").read_text()
    return dict(re.findall(r"<!-- pairnet report: (.*?) -->(.*?)<!-- end -->", text, re.DOTALL))


def stds_of_rows(block):
    return [float(each) for each in re.findall(r"^\|[^|]*\|[^|]*\| [.\d]+ ± ([.\d]+) ", block, re.MULTILINE)]


def stds_of_effects(block):
    """From half the width of each interval: t * std / sqrt(draws). Differences of differences are not counted."""
    found = re.findall(r"^\| (.*?) \|.*\| ([-+.\d]+) to ([-+.\d]+) \|.*\| (\d+) \|$", block, re.MULTILINE)
    return [
        (float(high) - float(low)) / 200 / stats.t.ppf(0.975, int(draws) - 1) * int(draws) ** 0.5
        for name, low, high, draws in found
        if not name.startswith("interaction")
    ]


def test_known_spreads_are_those_of_the_documents():
    documents = blocks()
    read = {
        True: [stds_of_effects(documents[f"effects {name}"]) for name in ("3", "dropout", "ablation")],
        False: [stds_of_rows(documents[f"table {name}"]) for name in ("3", "ablation")],
    }
    for paired, lists in read.items():
        for spread, values in zip(KNOWN[paired], lists, strict=True):
            expected = (statistics.median(values), min(values), max(values))
            assert (spread.std, spread.low, spread.high) == pytest.approx(expected, abs=1.01e-4)
    assert [len(values) for values in read[True]] == [8, 5, 10]
    assert [len(values) for values in read[False]] == [8, 11]


def test_the_table_of_the_guide_is_that_of_the_known_spreads():
    text = (DOCS / "studies.md").read_text()
    lines = re.findall(r"^\| (\d+) \| ([\d.]+) \| ([\d.]+) \| ([\d.]+) \|$", text, re.MULTILINE)
    assert [int(draws) for draws, *_ in lines] == [3, 5, 10, 20, 40]
    for draws, *figures in lines:
        found = [f"{100 * smallest_difference(spread.std, int(draws)):.2f}" for spread in KNOWN[True]]
        assert figures == found


def outlooks_of(planned, records, seeding=Seeding()):  # noqa: B008
    return outlooks(planned, records, seeding=seeding)


def records_of(rows, draws, **changes):
    rng = np.random.default_rng(5)
    return [
        record(draw, label=row.label, variant=row.variant, accuracy=round(float(rng.uniform(0.8, 0.9)), 3), **changes)
        for row in rows
        for draw in range(draws)
    ]


def test_the_spread_is_that_of_the_studys_own_rows_then_of_others_then_a_known_one():
    planned = plan(STUDY, IMAGES, draws=10, test_pairs=1000)
    records = records_of(ROWS[:2], 5)
    (own,) = outlooks_of(planned, records)
    one, other = (np.array([each.accuracy for each in records[at : at + 5]]) for at in (0, 5))
    assert own.spread.std == pytest.approx(np.std(one - other, ddof=1))
    assert own.spread.source == "2 rows here, its own records of 5 draws or more"
    assert (own.draws, own.comparisons, own.paired) == (10, 2, True)
    assert own.difference == pytest.approx(smallest_difference(own.spread.std, 10))
    assert own.corrected == pytest.approx(smallest_difference(own.spread.std, 10, level=0.025))
    assert own.margin == pytest.approx(smallest_margin(own.spread.std, 10))
    foreign = [find_variant("conv_2"), find_variant("conv_3")]
    (others,) = outlooks_of(planned, records_of([Row(label=each.name, variant=each) for each in foreign], 4))
    assert others.spread.source == "2 rows here, other records of 4 draws or more"
    for nothing in ([], records_of(ROWS, 2), records_of(ROWS[:1], 9), records_of(ROWS, 9, pairs=500)):
        assert [each.spread for each in outlooks_of(planned, nothing)] == list(KNOWN[True])


def test_rows_on_other_pairs_are_compared_unpaired():
    rows = tuple(replace(row, pairs=pairs, label=f"{row.label} {pairs}") for row in ROWS[:2] for pairs in (100, 300))
    found = outlooks_of(plan(replace(STUDY, rows=rows), IMAGES, draws=10), [])
    assert [(each.paired, each.comparisons) for each in found] == [(True, 2)] * 3 + [(False, 1)] * 2
    assert [each.spread for each in found] == [*KNOWN[True], *KNOWN[False]]
    alone = outlooks_of(plan(replace(STUDY, rows=rows[:1]), IMAGES, draws=10), [])
    assert alone == []  # nothing to compare


def test_a_study_that_holds_streams_is_planned_with_the_spread_of_such_runs():
    held = Seeding(hold=("pairs", "test"))
    planned = plan(replace(STUDY, seeding=held), IMAGES, draws=10, test_pairs=1000)
    plain = records_of(ROWS, 5)
    runs = [run for run in planned if run.seed < 6]
    rng = np.random.default_rng(8)
    own = [
        record(run.seed, label=run.label, variant=run.variant, own_seeds=run.own_seeds, accuracy=round(value, 3))
        for run, value in zip(runs, rng.uniform(0.8, 0.9, len(runs)), strict=True)
    ]
    (found,) = outlooks_of(planned, [*plain, *own[3:]], held)  # draw 0 of every row is there once
    assert (found.draws, found.comparisons) == (10, 2)
    there = [each for each in (*plain, *own[3:]) if held.includes(each.run)]
    values = {row.label: {e.run.draw: e.accuracy for e in there if e.run.label == row.label} for row in ROWS}
    stds = [
        np.std([values[one][draw] - values[other][draw] for draw in values[one]], ddof=1)
        for one, other in itertools.combinations(values, 2)
    ]
    assert found.spread.std == pytest.approx(np.median(stds))
    (free,) = outlooks_of(plan(STUDY, IMAGES, draws=10, test_pairs=1000), [*plain, *own[3:]])
    assert free.spread.source.endswith("5 draws or more")
    assert free.spread.std != found.spread.std


def test_a_single_draw_shows_nothing():
    found = outlooks_of(plan(STUDY, IMAGES, draws=1), [])
    assert {(each.difference, each.corrected, each.margin) for each in found} == {(None, None, None)}
    assert outlook_title(found) == "1 draw of a row shows no difference"
    assert outlook_cells(found[0])[2:] == ("", "", "")


def test_a_dry_run_says_what_the_study_will_probably_show(command_line, tmp_path):
    (tmp_path / "my.toml").write_text('draws = 7\n[[rows]]\nvariant = "conv_1"\ngrid = { batch = [10, 25] }\n')
    status, out, _ = command_line("study", "my.toml", "--dry-run", "--data", "glyphs:4000")
    assert status == 0
    assert "Smallest difference in points that 7 draws of each row will probably show (80 % power" in " ".join(
        out.split()
    )
    assert f"{100 * smallest_difference(KNOWN[True][0].std, 7):.2f}" in out
    (tmp_path / "my.toml").write_text('vary = { pairs = 2, order = 2 }\n[[rows]]\nvariant = "conv_1"\n')
    assert "Smallest" not in command_line("study", "my.toml", "--dry-run", "--data", "glyphs:4000")[1]
