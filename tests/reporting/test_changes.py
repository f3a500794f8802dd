"""Two folders compared: identical, equivalent, different and undecided rows, and what only one of them has."""

from dataclasses import replace

import pytest
from reporting.studies import rows

from pairnet.errors import RecordError
from pairnet.reporting.changes import compare_folders
from pairnet.reporting.files import write_changes

OLD = {"w_net": (0.87, 0.88, 0.86, 0.875), "a_net": (0.91, 0.92, 0.93, 0.915), "final_model": (0.95, 0.96, 0.94, 0.955)}


def moved(by, label="w_net"):
    """The rows with one of them moved on each draw, all with other answers."""
    new = {**OLD, label: [value + each for value, each in zip(OLD[label], by, strict=True)]}
    return [replace(each, answers_sha256=f"new {each.answers_sha256}") for each in rows("3", new)]


def verdicts(changes):
    return {row.label: row.verdict for row in changes.rows}


def test_the_same_answers_are_identical():
    changes = compare_folders(rows("3", OLD), rows("3", OLD)[::-1])
    assert set(verdicts(changes).values()) == {"identical"}
    assert [row.identical for row in changes.rows] == [4, 4, 4]
    assert changes.sentences[1] == "Every answer on the held-out pairs is the same, bit for bit."


@pytest.mark.parametrize(
    ("by", "verdict"),
    [
        ((0.001, -0.001, 0.002, -0.002), "equivalent"),
        ((0.001, 0.001, 0.001, 0.001), "equivalent"),  # without any variation
        ((-0.03, -0.03, -0.03, -0.03), "differs"),
        ((-0.02, -0.025, -0.03, -0.022), "differs"),
        ((-0.03, 0.03, -0.02, 0.01), "undecided"),
    ],
)
def test_planted_changes_get_their_verdicts(by, verdict):
    changes = compare_folders(rows("3", OLD), moved(by))
    assert verdicts(changes)["w_net"] == verdict
    found = next(row for row in changes.rows if row.label == "w_net")
    assert (found.draws, found.identical) == (4, 0)
    assert found.new - found.old == pytest.approx(sum(by) / 4)
    assert ("w_net by" in changes.sentences[1]) == (verdict == "differs")


def test_one_draw_decides_nothing_unless_it_is_identical():
    one = {label: values[:1] for label, values in OLD.items()}
    assert set(verdicts(compare_folders(rows("3", one), rows("3", OLD))).values()) == {"identical"}
    assert set(verdicts(compare_folders(rows("3", one), moved((0, 0, 0, 0)))).values()) == {"undecided"}


def test_two_data_sets_are_never_mixed():
    other = replace(rows("3", OLD)[0].run.images, name="mnist5k", checksum="e" * 64)
    both = [*rows("3", {"w_net": (0.1, 0.2, 0.3)}, images=other), *rows("3", {"w_net": OLD["w_net"]})]
    changes = compare_folders(both, both[::-1])
    assert {(row.setting, round(row.new, 5)) for row in changes.rows} == {
        ("25 epochs, 1,000 pairs of mnist5k", 0.2),
        ("25 epochs, 1,000 pairs of mnist", 0.87125),
    }


def test_p_values_are_corrected_for_all_rows():
    changes = compare_folders(rows("3", OLD), moved((-0.02, -0.025, -0.03, -0.022)))
    moved_row = next(row for row in changes.rows if row.label == "w_net")
    assert len(changes.rows) == 3
    assert moved_row.p_holm == pytest.approx(3 * moved_row.comparison.p_value)


def test_two_draws_decide_nothing():
    two = {"w_net": OLD["w_net"][:2]}
    new = [replace(each, answers_sha256="new") for each in rows("3", {"w_net": [v + 0.02 for v in two["w_net"]]})]
    assert verdicts(compare_folders(rows("3", two), new)) == {"w_net": "undecided"}


def test_a_cross_validated_draw_counts_once():
    old = rows("2-folds", {"a_w_net in 4 folds, loss ratio 1": (0.9, 0.91, 0.92)})
    new = [replace(each, answers_sha256=f"{each.answers_sha256} of {each.run.fold == 0}") for each in old]
    (row,) = compare_folders(old, new).rows
    assert (row.draws, row.identical) == (3, 0)
    (row,) = compare_folders(old[:-1], old).rows  # the last draw lacks a fold
    assert (row.draws, row.identical) == (2, 2)


def test_versions_that_changed_and_settings_that_only_one_has():
    new = [
        replace(each, environment=replace(each.environment, versions={**each.environment.versions, "torch": "9.9"}))
        for each in rows("3", {"w_net": OLD["w_net"]})
    ]
    changes = compare_folders(rows("3", OLD), new)
    (torch,) = (entry for entry in changes.environment if entry[0] == "torch")
    assert torch[1] != torch[2] == "9.9"
    assert [line.partition(":")[0] for line in changes.left_out] == ["4 draws of a_net", "4 draws of final_model"]
    assert all(line.endswith("finished only in the first folder") for line in changes.left_out)
    (line,) = compare_folders(rows("3", {"w_net": (0.87, 0.88)}), rows("3", {"w_net": OLD["w_net"]})).left_out
    assert line.startswith("2 draws of w_net: 25 epochs")
    assert line.endswith("finished only in the second folder")


def test_nothing_in_common_is_refused():
    with pytest.raises(RecordError, match="rows, settings and draws in common, got none"):
        compare_folders(rows("3", {"w_net": OLD["w_net"]}), rows("3", {"a_net": OLD["a_net"]}))
    with pytest.raises(RecordError, match="got none"):
        compare_folders(rows("3", OLD), rows("3", OLD, pairs=500))


def test_the_page(tmp_path):
    write_changes(compare_folders(rows("3", OLD), moved((-0.02, -0.025, -0.03, -0.021))), tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "0 of 4 draws" in page
    assert "-2.40" in page
    assert "What differs: w_net by -2.40 points." in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [".pairnet.json", "report.html", "summary.json"]
