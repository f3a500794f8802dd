"""Every number of a report from its records by NumPy and SciPy alone, down to results.csv, summary.json, the cells of
the page, Markdown, the terminal and the captions."""

import csv
import html
import io
import json
import re
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from PIL import Image
from record_examples import record
from reporting.studies import MNIST, bins, epochs, rows
from rich.console import Console
from scipy import stats

from pairnet.data.pairs import draw_pairs
from pairnet.data.sources import load_dataset
from pairnet.models.variants import count_multiply_adds, count_parameters, find_variant
from pairnet.reporting.changes import compare_folders
from pairnet.reporting.drawings import drawings
from pairnet.reporting.files import summary_of, write_changes, write_report
from pairnet.reporting.markdown import markdown_effects, markdown_table
from pairnet.reporting.mistakes import find_mistakes
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.reporting.terminal import study_table
from pairnet.study.tables import studies

PAPER_DRAWS = 10


def noisy(seed, labels, draws, low=0.75, high=0.95):
    """Accuracies of some rows: a level for each, and noise."""
    rng = np.random.default_rng(seed)
    return {
        label: [round(float(each), 4) for each in rng.uniform(low, high) + rng.normal(0, 0.006, draws)]
        for label in labels
    }


THIRD = noisy(1, [row.label for row in studies()["3"].rows], 7)
THIRD["final_model"] = [0.951, 0.955, 0.948, 0.952, 0.95, 0.953, 0.951]  # near the paper's
RATIOS = noisy(2, [row.label for row in studies()["2-folds"].rows], 4)


def spread(records):
    """The records with seconds and calibration bins of their own."""
    rng = np.random.default_rng(3)
    found = []
    for each in records:
        pairs = each.run.held_out
        ends = sorted(rng.integers(1, pairs, 2).tolist())
        parts = [ends[0], ends[1] - ends[0], pairs - ends[1]]
        own = list(bins(pairs))
        for at, count in zip((2, 8, len(own) - 1), parts, strict=True):
            own[at] = (count, round(count * (at + 0.5) / len(own), 3), int(rng.integers(0, count + 1)))
        own[-2] = (0, 0.0, 0)
        found.append(replace(each, seconds=round(float(rng.uniform(1, 9)), 2), calibration=tuple(own)))
    return found


RECORDS = spread([*rows("3", THIRD), *rows("2-folds", RATIOS)])


@pytest.fixture(scope="module")
def report():
    return gather(choose(RECORDS))


@pytest.fixture(scope="module")
def folder(report, tmp_path_factory):
    path = tmp_path_factory.mktemp("numbers") / "report.html"
    write_report(report, path)
    return path.parent


def draws_of(table, label):
    """Accuracy of each draw of a row, over its folds."""
    own = [each for each in RECORDS if each.run.label == label and (each.run.fold is None) == (table == "3")]
    draws = {}
    for each in own:
        draws.setdefault(each.run.seed, []).append(each.accuracy)
    return np.array([np.mean(folds) for folds in draws.values()])


def expected_row(table, label):
    """(mean, std, low, high) of a row."""
    values = draws_of(table, label)
    low, high = stats.t.interval(0.95, len(values) - 1, values.mean(), stats.sem(values))
    return values.mean(), values.std(ddof=1), low, high


def expected_verdict(table, row, margin=0.015):
    """(name, difference, half the width of its 95 % interval as printed) against the paper's."""
    names, difference, half = expected_readings(table, row, margin)
    return names[0] if len(set(names)) == 1 else "undecided", difference, half


def expected_readings(table, row, margin=0.015):
    """(names under the three readings, difference, half the width of its 95 % interval as printed)."""
    values, binomial = draws_of(table, row.label), row.paper.mean * (1 - row.paper.mean) / 1000
    printed = (row.paper.std**2 / PAPER_DRAWS, PAPER_DRAWS - 1)
    floored = (max(row.paper.std**2, binomial) / PAPER_DRAWS, PAPER_DRAWS - 1)
    difference, names, halves = values.mean() - row.paper.mean, [], []
    for theirs in ([printed], [floored], [printed, (binomial, 999)]):
        parts = [(stats.sem(values) ** 2, len(values) - 1), *theirs]
        error = np.sqrt(sum(part for part, _ in parts))
        own = stats.t(error**4 / sum(part**2 / freedom for part, freedom in parts), scale=error)
        inside = max(own.sf(difference + margin), own.cdf(difference - margin)) < 0.05
        names.append("replicated" if inside else "differs" if 2 * own.sf(abs(difference)) < 0.05 else "undecided")
        halves.append(own.ppf(0.975))
    return names, difference, halves[0]


TABLES = [(name, row) for name in ("3", "2-folds") for row in studies()[name].rows]
EACH = pytest.mark.parametrize(("table", "row"), TABLES, ids=lambda value: getattr(value, "label", value))


def close(value):
    return pytest.approx(value, rel=1e-9, abs=1e-12)


@EACH
def test_the_summary_has_means_deviations_intervals_and_verdicts(folder, table, row):
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["tables"][table]["cross_validated"] == (table == "2-folds")
    (found,) = [each for each in summary["tables"][table]["rows"] if each["label"] == row.label]
    mean, std, low, high = expected_row(table, row.label)
    assert [found[name] for name in ("mean", "std", "low", "high")] == [close(each) for each in (mean, std, low, high)]
    assert found["draws"] == len(draws_of(table, row.label))
    assert (found["paper_mean"], found["paper_std"]) == (row.paper and row.paper.mean, row.paper and row.paper.std)
    own = [each for each in RECORDS if each.run.label == row.label and (each.run.fold is None) == (table == "3")]
    assert found["seconds"] == close(np.mean([each.seconds for each in own]))
    assert found["parameters"] == count_parameters(row.variant)
    assert found["multiply_adds"] == count_multiply_adds(row.variant)
    if row.paper is None:
        assert (found["verdict"], found["deviations"]) == (None, None)
        return
    assert found["deviations"] == close((mean - row.paper.mean) / np.sqrt(std**2 + row.paper.std**2))
    name, difference, half = expected_verdict(table, row)
    verdict = found["verdict"]
    assert (verdict["name"], verdict["difference"]) == (name, close(difference))
    assert (verdict["low"], verdict["high"]) == (close(difference - half), close(difference + half))
    assert [each["name"] for each in verdict["readings"]] == expected_readings(table, row)[0]


def test_results_csv_has_each_run_whole(folder):
    with (folder / "results.csv").open(newline="") as file:
        lines = {line["fingerprint"]: line for line in csv.DictReader(file)}
    assert len(lines) == len(RECORDS)
    for each in RECORDS:
        run, place, tested = each.run, each.environment, each.run.fold is None
        assert lines[each.fingerprint] == {
            "row": run.label,
            "variant": run.variant.name,
            "parameters": str(each.parameters),
            "multiply_adds": str(count_multiply_adds(run.variant)),
            "data": "mnist",
            "pairs": "1000",
            "test_pairs": "1000" if tested else "",
            "draw": str(run.seed),
            "train_draw": str(run.seeds.train_draw),
            "test_draw": str(run.seeds.test_draw),
            "weights": str(run.seeds.weights),
            "order": str(run.seeds.order),
            "masks": "",
            "fold": "" if tested else str(run.fold),
            "folds": "" if tested else "4",
            "epochs": str(run.recipe.epochs),
            "accuracy": repr(each.accuracy),
            "seconds": repr(each.seconds),
            "device": "cpu",
            "hardware": place.hardware,
            "torch": place.versions["torch"],
            "revision": place.revision,
            "fingerprint": each.fingerprint,
            "outcome": "finished",
            "failed_epoch": "",
            "error": "",
            "structure": run.variant.structure,
            "batch": str(run.recipe.batch),
            "learning_rate": repr(run.recipe.learning_rate),
            "loss_ratio": repr(run.recipe.loss_ratio),
            "optimiser": run.recipe.optimiser,
            "weight_decay": repr(run.recipe.weight_decay),
            "betas": " ".join(f"{beta:g}" for beta in run.recipe.betas),
            "momentum": repr(run.recipe.momentum),
            "schedule": run.recipe.schedule,
            "warm_up": repr(run.recipe.warm_up),
            "recalibrate": str(run.recipe.recalibrate),
            **{
                f"warp_{name}": "" if run.recipe.warp is None else repr(getattr(run.recipe.warp, name))
                for name in ("rotation", "scale", "shear", "shift", "elastic")
            },
        }


def test_rows_csv_has_each_row_with_its_readings(folder, report):
    with (folder / "rows.csv").open(newline="") as file:
        lines = {(line["table"], line["row"]): line for line in csv.DictReader(file)}
    assert list(lines) == [(table.study.name, each.label) for table in report.tables for each in table.summaries]
    for table, row in TABLES:
        found = lines[table, row.label]
        mean, std, low, high = expected_row(table, row.label)
        assert [float(found[name]) for name in ("mean", "std", "low", "high")] == pytest.approx([mean, std, low, high])
        readings = [found[name] for name in ("as_printed", "binomial_floor", "one_test_set")]
        assert readings == (expected_readings(table, row)[0] if row.paper else ["", "", ""])
        assert found["verdict"] == (expected_verdict(table, row)[0] if row.paper else "")


def cells_of(page, caption):
    """{heading of a row: {label of a cell: text}} of the table that follows `caption` on a page."""
    table = page.partition(caption)[2].partition("<tbody>")[2].partition("</tbody>")[0]
    found = {}
    for row in table.split("<tr>")[1:]:
        (name,) = re.findall(r'<th scope="row">(.*?)</th>', row)
        cells = re.findall(r'<td data-label="([^"]*)"[^>]*>(.*?)</td>', row, re.DOTALL)
        found[html.unescape(name.partition("<br>")[0])] = {
            label: html.unescape(re.sub(r"<[^>]*>", "", text)).strip() for label, text in cells
        }
    return found


@EACH
def test_the_cells_of_the_page_are_these_numbers(folder, table, row):
    found = cells_of((folder / "report.html").read_text(), f'id="table-{table}"')[row.label]
    mean, std, low, high = expected_row(table, row.label)
    assert found["measured"] == f"{mean:.4f} ± {std:.4f}"
    for_these = f"{low:.4f} to {high:.4f}"
    assert found["95 % interval"].startswith(for_these)
    assert found["draws"] == str(len(draws_of(table, row.label)))
    assert found["parameters"] == f"{count_parameters(row.variant):,}"
    if row.paper is not None:
        name, difference, half = expected_verdict(table, row)
        assert found["paper"] == f"{row.paper.mean:.4f} ± {row.paper.std:.4f}"
        assert found["difference, points"] == f"{100 * difference:+.1f} ± {100 * half:.1f}"
        assert found["stds apart"] == f"{(mean - row.paper.mean) / np.hypot(std, row.paper.std):+.1f}"
        assert found["verdict"].partition(":")[0] == name
        assert found["readings"] == "".join(each[0].upper() for each in expected_readings(table, row)[0])


@pytest.mark.parametrize("table", ["3", "2-folds"])
def test_markdown_and_the_terminal_have_the_same_numbers(report, table):
    shown = next(each for each in report.tables if each.study.name == table)
    console = Console(width=200, file=io.StringIO(), color_system="standard", force_terminal=True)
    console.print(study_table(shown.study, shown.summaries))
    printed = console.file.getvalue()
    plain = re.sub(r"\x1b\[[0-9;]*m", "", printed)
    assert ("validation" if table == "2-folds" else "test") in plain
    assert f"over {len(draws_of(table, shown.summaries[0].label))} draws" in plain or table == "2-folds"
    lines = {line.split(" | ")[0].removeprefix("| "): line for line in markdown_table(shown.summaries).splitlines()}
    styles = {"replicated": "32", "undecided": "2", "differs*": "33", "DIFFERS": "1;31"}
    for row in shown.study.rows:
        mean, std, *_ = expected_row(table, row.label)
        words = [row.label, f"{count_parameters(row.variant):,}", f"{mean:.4f} ± {std:.4f}"]
        line = next(line for line in plain.splitlines() if line.strip().startswith(f"{row.label} "))
        assert f"{mean:.3f} ± {std:.3f}" in line
        if row.paper:
            name, difference, half = expected_verdict(table, row)
            moved = f"{100 * difference:+.1f} ± {100 * half:.1f}"
            explained = next(each.explained for each in shown.summaries if each.label == row.label)
            verdict = {"differs": "differs*" if explained else "DIFFERS"}.get(name, name)
            letters = "".join(each[0].upper() for each in expected_readings(table, row)[0])
            words += [f"{row.paper.mean:.4f} ± {row.paper.std:.4f}", moved, verdict, letters]
            assert f"{row.paper.mean:.3f} ± {row.paper.std:.3f}" in line
            assert moved in line
            assert line.split()[-2:] == [verdict, letters] or row.goal
            coloured = next(each for each in printed.splitlines() if row.label in each and verdict in each)
            assert f"\x1b[{styles[verdict]}m{verdict}" in coloured
        assert lines[row.label].split(" | ")[: len(words)] == ["| " + words[0], *words[1:]] or lines[
            row.label
        ].startswith("| " + " | ".join(words))


def signed_rank(differences):
    """The exact two-sided p-value, by all choices of signs."""
    own = np.array([each for each in differences if abs(each) > 1e-9])
    ranks = stats.rankdata(np.abs(np.round(own, 9)))
    sums = [sum(rank for rank, plus in zip(ranks, signs, strict=True) if plus)
            for signs in product((0, 1), repeat=len(own))]  # fmt: skip
    there = ranks[own > 0].sum()
    tails = np.mean([each >= there - 1e-9 for each in sums]), np.mean([each <= there + 1e-9 for each in sums])
    return min(1.0, 2 * min(tails))


def expected_effects(family):
    """Numbers of each effect of a family, with Holm's correction by the definition."""
    table = "2-folds" if family.name == "2-folds" else "3"
    found = []
    for each in family.effects:
        if each.name.startswith("interaction"):
            first = draws_of("3", "a_w_net_bn") - draws_of("3", "a_net")
            second = draws_of("3", "w_net") - draws_of("3", "no_w_net")
        else:
            first, second = draws_of(table, each.first), draws_of(table, each.second)
        test = stats.ttest_rel(first, second)
        interval = test.confidence_interval(0.95)
        wins, losses = int((first - second > 1e-9).sum()), int((second - first > 1e-9).sum())
        better = stats.binomtest(wins, wins + losses).proportion_ci(0.95, "wilson")
        found.append(
            {
                "difference": (first - second).mean(),
                "first": first.mean(),
                "second": second.mean(),
                "low": interval.low,
                "high": interval.high,
                "p_value": test.pvalue,
                "wilcoxon": signed_rank(first - second),
                "draws": len(first),
                "equal": len(first) - wins - losses,
                "better": wins / (wins + losses),
                "better_low": better.low,
                "better_high": better.high,
                "groups": [len(first)],
                "error": stats.sem(first - second),
                "freedom": len(first) - 1,
            }
        )
        if each.margin is not None:
            within = [stats.ttest_1samp(first - second, sign * each.margin, alternative=side).pvalue
                      for sign, side in ((-1, "greater"), (1, "less"))]  # fmt: skip
            found[-1]["equivalence"] = max(within)
    p_values = [each["p_value"] for each in found]
    order = np.argsort(p_values, kind="stable")
    scaled = [min(1.0, (len(order) - rank) * p_values[at]) for rank, at in enumerate(order)]
    for rank, at in enumerate(order):
        found[at]["p_holm"] = max(scaled[: rank + 1])
    for each in found:  # of equivalence there is one in a family, so nothing to correct
        shown = each["p_holm"] < 0.05
        each["verdict"] = "undecided" if not shown else "better" if each["difference"] > 0 else "worse"
        each["verdict"] = "equivalent" if each.get("equivalence", 1) < 0.05 else each["verdict"]
    return found


def p_text(value):
    return "< 0.0001" if value < 1e-4 else f"{value:.2g}"


def test_effects_are_paired_tests_in_every_file(report, folder):
    summary = json.loads((folder / "summary.json").read_text())
    page = (folder / "report.html").read_text()
    with (folder / "contrasts.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert len(lines) == sum(len(family.effects) for family in report.families)
    assert {family.name for family in report.families} == {"3", "2-folds"}
    for family in report.families:
        written = summary["families"][family.name]["effects"]
        cells = cells_of(page, f"<h3>{html.escape(family.title)}</h3>")
        header, alignment, *markdown = markdown_effects(family).splitlines()
        assert re.fullmatch(r"\|(?:-{2,3}:?\|)+", alignment)
        assert len({line.count("|") for line in (header, alignment, *markdown)}) == 1
        assert len(written) == len(cells) == len(markdown) == len(family.effects)
        for each, values, line, expected in zip(
            family.effects, written, markdown, expected_effects(family), strict=True
        ):
            assert values["p_holm"] == pytest.approx(expected["p_holm"], rel=1e-6)
            assert values["comparison"] == {
                name: pytest.approx(value, rel=1e-6, abs=1e-9)
                for name, value in expected.items()
                if name not in ("p_holm", "verdict", "equivalence")
            }
            assert values["p_equivalence"] == (each.margin and pytest.approx(expected.get("equivalence"), rel=1e-6))
            assert (values["verdict"], values["method"]) == (expected["verdict"], "paired t")
            (in_csv,) = [each for each in lines if (each["family"], each["contrast"]) == (family.name, values["name"])]
            for key, name in (("p", "p_value"), ("p_holm", "p_holm"), ("low", "low"), ("p_wilcoxon", "wilcoxon")):
                assert float(in_csv[key]) == pytest.approx(expected[name], rel=1e-6)
            assert (in_csv["verdict"], in_csv["draws"]) == (expected["verdict"], str(expected["draws"]))
            interval = f"{100 * expected['low']:+.2f} to {100 * expected['high']:+.2f}"
            moved = cells[each.name]["difference, points"]
            assert moved in {f"{100 * expected['difference'] + tie:+.2f}" for tie in (-1e-9, 1e-9)}
            share = f"{100 * expected['better']:.0f} %"
            share += f" ({100 * expected['better_low']:.0f} to {100 * expected['better_high']:.0f})"
            share += f", {expected['equal']} equal" if expected["equal"] else ""
            tested = f"{p_text(expected['equivalence'])} within ±1.5" if "equivalence" in expected else ""
            equivalence = {"equivalence, p (Holm)": tested} if family.name == "3" else {}
            within = " within" if expected["verdict"] in ("equivalent", "undecided") else ", margin"
            word = expected["verdict"] + (f"{within} ±1.5" if "equivalence" in expected else "")
            in_markdown = [tested.partition(" within")[0]] if family.name == "3" else []
            assert f">{each.first} − {each.second}<" in html.unescape(page)
            assert cells[each.name] == {
                "difference, points": moved,
                "95 % interval": interval,
                "p (paired t)": p_text(expected["p_value"]),
                "p (Holm)": p_text(expected["p_holm"]),
                **equivalence,
                "verdict": expected["verdict"],
                "p (Wilcoxon)": p_text(expected["wilcoxon"]),
                "better on": share,
                "draws": str(expected["draws"]),
            }
            parts = [f"{each.first} − {each.second}", moved, interval, f"{expected['p_holm']:.2g}"]
            assert line == f"| {each.name} | {' | '.join([*parts, *in_markdown, word])} | {expected['draws']} |"


def test_calibration_is_that_of_each_network_and_of_all_pairs_together(report, folder):
    summary = json.loads((folder / "summary.json").read_text())
    captions = {each.name: each.caption for each in drawings(report)}
    labels = [each.label for each in report.calibrations]
    assert labels == ["cnn_base", "w_net", "final_model"], "the paper's first and best networks, and the best of all"
    for each, written in zip(report.calibrations, summary["calibration"], strict=True):
        runs = np.array([r.calibration for r in RECORDS if r.run.label == each.label and r.run.fold is None])
        total = runs.sum(0)
        assert np.array(written["bins"]) == pytest.approx(total)

        def error(of):
            counted = of[of[:, 0] > 0]
            gaps = np.abs(counted[:, 1] / counted[:, 0] - counted[:, 2] / counted[:, 0])
            return np.average(gaps, weights=counted[:, 0])

        errors = [error(each) for each in runs]
        assert (written["error"], written["pooled"]) == (pytest.approx(np.mean(errors)), pytest.approx(error(total)))
        assert written["pooled"] <= written["error"]
        low, high = stats.t.interval(0.95, len(errors) - 1, np.mean(errors), stats.sem(errors))
        assert (written["low"], written["high"]) == pytest.approx((max(low, 0), high))
        interval = f"{100 * written['low']:.2f} to {100 * written['high']:.2f}"
        shown = f"Calibration of {each.label}: expected calibration error {100 * np.mean(errors):.2f} % ({interval}), "
        shown += f"mean over draws; {100 * error(total):.2f} % for the pairs of all draws together, a mixture of their "
        shown += "networks."
        assert captions[f"calibration-{each.label}"] == shown
        assert shown in html.unescape((folder / "report.html").read_text())


@pytest.mark.parametrize("draws", [1, 2, 5])
def test_a_single_draw_has_no_interval_of_the_calibration_error(draws):
    made = gather(choose(spread(rows("3", noisy(4, ["w_net"], draws)))))
    (found,) = made.calibrations
    assert (found.low is None, found.high is None) == ((draws < 2),) * 2


def test_the_head_of_the_page_names_the_best_network_and_what_the_claims_bring(report):
    asked, came_out, _ = report.sentences
    means = {label: np.mean(draws_of("3", label)) for label in THIRD}
    best = max(means, key=means.get)
    assert came_out.endswith(f"the best network is {best} with {means[best]:.4f}.")
    judged = {row.label: expected_verdict(table, row)[0] for table, row in TABLES if row.paper}
    alike, names = len(judged), list(judged.values())
    assert f"f {alike} rows with a figure of the paper: " in came_out
    for word, name in (("replicated", "replicated"), ("different", "differs"), ("undecided", "undecided")):
        assert (f"{names.count(name)} {word}" in came_out) == (name in names)
    for words, first, second in (
        ("weight sharing by itself", "w_net", "no_w_net"),
        ("the auxiliary loss by itself", "a_net", "no_w_net"),
        ("dropout", "final_model", "a_w_net"),
    ):
        test = stats.ttest_rel(draws_of("3", first), draws_of("3", second))
        low, high = (100 * end for end in test.confidence_interval(0.95))
        moved = 100 * (draws_of("3", first) - draws_of("3", second)).mean()
        assert f"{words}: {moved:+.1f} points ({low:+.1f} to {high:+.1f}), " in came_out
    assert "4 to 7 draws" in asked


def test_captions_and_descriptions_have_the_numbers_of_their_figures(report):
    found = {each.name: each for each in drawings(report)}
    means = {label: np.mean(draws_of("3", label)) for label in THIRD}
    best = max(means, key=means.get)
    for name, words in (("parameters", "parameters"), ("multiply-adds", "multiply-adds for one pair")):
        drawing = found[f"accuracy-{name}"]
        assert drawing.caption == f"Accuracy against {words}."
        assert f"{len(means)} rows against {words}; the best is {best}, {means[best]:.4f}." in drawing.description
        figure = drawing.draw()
        shown = {tuple(line.get_xydata()[0]) for line in figure.axes[0].lines if len(line.get_xydata()) == 1}
        cost = count_parameters if name == "parameters" else count_multiply_adds
        measured = {(cost(find_variant(label)), mean) for label, mean in means.items()}
        assert all(any(np.allclose(each, other, rtol=1e-9) for other in shown) for each in measured)
    ratios = {float(label.rpartition(" ")[2]): np.mean(draws_of("2-folds", label)) for label in RATIOS}
    at = max(ratios, key=ratios.get)
    assert found["loss-ratio"].description.endswith(f"The highest mean is {ratios[at]:.4f}, at {at:g}.")
    assert found["loss-ratio"].caption == f"{studies()['2-folds'].title}, cross-validated."
    assert found["loss-ratio"].draw().axes[0].get_ylabel() == "accuracy, cross-validated"
    courses = [each for each in found.values() if each.section == "courses"]
    groups = list(dict.fromkeys(each.group for each in courses))
    assert groups[:2] == ["a_w_net", "final_model"], "those of the paper's Figure 4 come first"
    assert sorted(groups) == sorted(THIRD)
    for each in courses:
        metric = each.name.removeprefix(f"{each.group}-").replace("-", " ")
        assert each.description == f"{metric} of {each.group} over 25 epochs, training and held-out pairs."
    sections = [each.section for each in found.values()]
    assert list(dict.fromkeys(sections)) == ["interactions", "size", "settings", "courses", "networks", "mistakes"]
    networks = {each.group: each.description for each in found.values() if each.section == "networks"}
    assert networks["w_net"] == f"Structure of w_net: {find_variant('w_net').structure}."


def test_where_the_results_come_from_is_counted(report, folder):
    found = json.loads((folder / "summary.json").read_text())["origins"]
    assert found["runs"] == len(RECORDS) == 7 * len(THIRD) + 4 * 4 * len(RATIOS)
    assert found["seconds"] == pytest.approx(sum(each.seconds for each in RECORDS))
    assert found["draws"] == list(range(7))
    assert (found["data"], found["checksum"], found["pairs"], found["test_pairs"]) == (
        MNIST.name,
        MNIST.checksum,
        [1000],
        [1000],
    )
    page = html.unescape((folder / "report.html").read_text())
    minutes = sum(each.seconds for each in RECORDS) / 60
    assert f"<dd>{len(RECORDS):,}, {minutes:.0f} min of computing in all</dd>" in page
    assert "seeds 0 to 6;" in page
    assert "1,000 to train on, 1,000 to test on" in page


# Mistakes, on images


def test_mistakes_are_counted_pair_by_pair():
    images = load_dataset("glyphs:400")
    rng = np.random.default_rng(5)
    records = []
    for label, (draw, number) in product(("w_net", "cnn_base"), enumerate((30, 20, 25))):
        wrong = sorted(rng.choice(90, number, replace=False).tolist())
        answers = tuple((at, round(float(rng.uniform(0, 1)), 3)) for at in wrong)
        records.append(
            record(draw, label=label, variant=find_variant(label), images=images.images, pairs=60, test_pairs=90,
                   accuracy=1 - number / 90, epochs=epochs(25, 0.7), wrong=answers)
        )  # fmt: skip
    selection = choose(records)
    found = find_mistakes(selection, {images.images.checksum: images}, rows=["w_net"])
    pairs = {each.run.seed: draw_pairs(images.test, count=90, seed=each.run.seeds.test_draw) for each in records}

    assert list(found.by_difference) == ["w_net"]
    rates = {}
    for each in (each for each in records if each.run.label == "w_net"):
        digits = pairs[each.run.seed].digits.astype(int)
        wrong = np.isin(np.arange(90), [at for at, _ in each.wrong])
        for difference in range(-9, 10):
            if (chosen := digits[:, 1] - digits[:, 0] == difference).any():
                rates.setdefault(difference, []).append(wrong[chosen].mean())
    assert [at for at, *_ in found.by_difference["w_net"]] == sorted(rates)
    for at, mean, half in found.by_difference["w_net"]:
        values = np.array(rates[at])
        assert mean == pytest.approx(values.mean())
        margin = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values) if len(values) > 1 else 0
        assert half == pytest.approx(margin)

    answers = {}
    for each in records:
        for at, probability in each.wrong:
            answers.setdefault((each.run.seed, at), []).append(probability)
    hardest = sorted(
        answers, key=lambda pair: (-len(answers[pair]), -abs(np.mean(answers[pair]) - 0.5), pair[0], pair[1])
    )[:24]
    assert len(found.hardest) == 24
    for shown, (draw, at) in zip(found.hardest, hardest, strict=True):
        first, second = pairs[draw].digits[at].tolist()
        assert (shown.first, shown.second, shown.draw) == (first, second, draw)
        assert (shown.networks, shown.tested) == (len(answers[draw, at]), 2)
        assert shown.probability == pytest.approx(np.mean(answers[draw, at]))
        left, right = images.test.take(pairs[draw].indices[at])[0]
        picture = np.asarray(Image.open(io.BytesIO(decoded(shown.picture))))
        assert np.array_equal(picture[:, : left.shape[1], 0], left)
        assert np.array_equal(picture[:, -right.shape[1] :, 0], right)
        assert (picture[:, left.shape[1] : -right.shape[1], 1] == 0).all(), "the gap is transparent"
        assert picture.shape[1] - 2 * left.shape[1] == 2
        assert (picture[:, : left.shape[1], 1] == 255).all()


def decoded(address):
    from base64 import b64decode

    kind, _, data = address.partition(",")
    assert kind == "data:image/png;base64"
    return b64decode(data)


def test_pairs_that_few_networks_were_tested_on_are_not_the_hardest():
    images = load_dataset("glyphs:400")

    def made(label, draw, wrong):
        return record(draw, label=label, variant=find_variant(label), images=images.images, pairs=60, test_pairs=10,
                      accuracy=0.9, epochs=epochs(25, 0.7), wrong=((wrong, 0.2),))  # fmt: skip

    labels = ("w_net", "cnn_base", "a_net")
    records = [*(made(label, 0, at) for at, label in enumerate(labels)), made("w_net", 1, 7)]
    found = find_mistakes(choose(records), {images.images.checksum: images}, rows=["w_net"])
    assert {each.draw for each in found.hardest} == {0}, "one of three networks was tested on draw 1"
    both = find_mistakes(choose([*records, made("a_net", 1, 7)]), {images.images.checksum: images}, rows=[])
    assert {each.draw for each in both.hardest} == {0, 1}
    assert (both.hardest[0].draw, both.hardest[0].networks, both.hardest[0].tested) == (1, 2, 2)
    assert both.by_difference == {}


def test_without_lists_of_wrong_pairs_there_are_no_mistakes():
    images = load_dataset("glyphs:400")
    old = [replace(each, wrong=None) for each in rows("3", {"w_net": (0.8, 0.9)}, images=images.images)]
    found = find_mistakes(choose(old), {images.images.checksum: images}, rows=["w_net"])
    assert (found.hardest, found.by_difference, found.left_out) == ((), {}, ())


# Two folders


def test_changes_are_paired_tests_in_every_file(tmp_path):
    moved = {label: np.array(values) for label, values in THIRD.items()}
    rng = np.random.default_rng(8)
    new = {label: np.round(values + rng.normal(0.004, 0.006, 7), 4) for label, values in moved.items()}
    old_records = spread(rows("3", THIRD))
    new_records = [
        replace(each, answers_sha256="new", seconds=each.seconds + 1)
        for each in spread(rows("3", {label: values.tolist() for label, values in new.items()}))
    ]
    changes = compare_folders(old_records, new_records)
    write_changes(changes, tmp_path / "report.html")
    summary = json.loads((tmp_path / "summary.json").read_text())
    cells = cells_of((tmp_path / "report.html").read_text(), '<h2 id="rows">')
    tests = {label: stats.ttest_rel(new[label], moved[label]) for label in moved}
    order = sorted(tests, key=lambda label: tests[label].pvalue)
    corrected, largest = {}, 0.0
    for rank, label in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * tests[label].pvalue))
        corrected[label] = largest
    assert {row["label"] for row in summary["rows"]} == set(moved)
    for row in summary["rows"]:
        label = row["label"]
        test, difference = tests[label], (new[label] - moved[label]).mean()
        narrow, wide = test.confidence_interval(0.9), test.confidence_interval(0.95)
        assert (row["old"], row["new"]) == (close(moved[label].mean()), close(new[label].mean()))
        assert row["p_holm"] == pytest.approx(corrected[label], rel=1e-6)
        inside = narrow.low > -0.015 and narrow.high < 0.015
        verdict = "equivalent" if inside else "undecided" if wide.low <= 0 <= wide.high else "differs"
        assert (row["verdict"], row["draws"], row["identical"]) == (verdict, 7, 0)
        seconds = np.mean([each.seconds for each in old_records if each.run.label == label])
        assert (row["old_seconds"], row["new_seconds"] - row["old_seconds"]) == (close(seconds), pytest.approx(1))
        assert cells[label] == {
            "before": f"{moved[label].mean():.4f}",
            "after": f"{new[label].mean():.4f}",
            "difference, points": f"{100 * difference:+.2f}",
            "95 % interval": f"{100 * wide.low:+.2f} to {100 * wide.high:+.2f}",
            "p (Holm)": p_text(corrected[label]),
            "same answers": "0 of 7 draws",
            "verdict": verdict,
            "seconds a run": f"{seconds:.1f} → {seconds + 1:.1f}",
        }
    names = ("identical", "equivalent", "differs", "undecided")
    counts = [(sum(row["verdict"] == name for row in summary["rows"]), name) for name in names]
    assert f": {', '.join(f'{count} {name}' for count, name in counts if count)}." in changes.sentences[0]


def test_the_summary_is_what_the_file_says(report, folder):
    written = json.loads((folder / "summary.json").read_text())
    figures = written.pop("figures")
    assert written == json.loads(json.dumps(summary_of(report)))
    assert list(written) == [
        *(
            "title",
            "sentences",
            "margin",
            "tables",
            "others",
            "families",
            "sweeps",
            "calibration",
            "origins",
            "left_out",
        ),
    ]
    assert figures == sorted(each.name for each in drawings(report))
    assert written["margin"] == 0.015
    assert written["sentences"] == list(report.sentences)
    for table in report.tables:
        assert written["tables"][table.study.name]["title"] == table.study.title
        assert written["tables"][table.study.name]["remark"] == table.remark
    for family in report.families:
        assert written["families"][family.name]["title"] == family.title
