"""The table of a study in a terminal: its columns, what is said below it, and which columns go first without room."""

import io
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reporting.studies import rows
from rich.cells import cell_len
from rich.console import Console
from rich.table import Column

from pairnet.reporting.summaries import summarise
from pairnet.reporting.tables import FittingTable
from pairnet.reporting.terminal import study_table
from pairnet.study.tables import studies


def table_of(name, draws=3, **changes):
    study = replace(studies()[name], **changes)
    found = rows(name, {row.label: [0.9 + 0.002 * draw for draw in range(draws)] for row in study.rows})
    by_label = {row.label: [each for each in found if each.run.label == row.label] for row in study.rows}
    return study, summarise(study, by_label), study_table(study, summarise(study, by_label))


@pytest.mark.parametrize("name", studies())
def test_numbers_are_at_the_right_and_nothing_but_words_is_folded(name):
    study, summaries, table = table_of(name)
    headings = [str(column.header) for column in table.columns]
    assert headings[:3] == ["row", "parameters", study.heading]
    assert headings == [
        each for each in (*headings[:3], "paper", "difference", "verdict", "readings", "goal") if each in headings
    ]
    assert ("paper" in headings) == any(each.paper_mean is not None for each in summaries)
    assert ("goal" in headings) == any(each.goal for each in summaries)
    for column in table.columns:
        words = column.header in ("row", "verdict", "readings", "goal")
        assert column.justify == ("left" if words else "right")
        assert column.no_wrap == (column.header not in ("row", "goal"))
    assert len(table.rows) == len(summaries)
    assert (str(table.title), table.title_justify, table.caption_justify) == (study.title, "left", "left")
    assert (table.padding, table.names) == ((0, 1, 0, 0), 1)


@pytest.mark.parametrize(
    ("name", "draws", "words"),
    [
        ("3", 1, "from 1 draw"),
        ("3", 2, "mean and std over 2 draws; difference in points with its 95 % interval; replicated: within ±1.5"),
        ("2-folds", 1, "cross-validation on the training pairs of 1 draw"),
        ("2-folds", 3, "cross-validation on the training pairs of 3 draws"),
    ],
)
def test_the_line_below_says_what_the_numbers_are(name, draws, words):
    _, _, table = table_of(name, draws)
    assert str(table.caption).splitlines()[0].startswith(words)
    assert ("difference" in str(table.caption)) == (draws > 1 and name == "3")


def test_reasons_stand_below_one_to_a_line():
    study = studies()["3"]
    far = {row.label: (0.935, 0.936, 0.937) if row.label == "a_w_net_bn" else (0.9, 0.902) for row in study.rows}
    found = rows("3", far)
    summaries = summarise(study, {label: [each for each in found if each.run.label == label] for label in far})
    lines = str(study_table(study, summaries).caption).splitlines()[1:]
    lines = [line for line in lines if line[:1] in "*D"]
    assert [line[:11] for line in lines] == ["* a_w_net: ", "DIFFERS: un"]
    assert "(a_w_net_bn: 0.9360 ± 0.0010, +0.0 ± " in lines[0]
    assert "; a_w_net;" not in lines[1]


def test_a_table_of_nothing_counts_no_draw():
    study = studies()["3"]
    assert str(study_table(study, []).caption) == "mean and std over 0 draws"
    _, summaries, _ = table_of("3")
    uneven = [replace(summaries[0], draws=2), replace(summaries[1], draws=7), *summaries[2:]]
    assert "over 7 draws" in str(study_table(study, uneven).caption)


def test_columns_are_left_out_in_an_order():
    gone = []
    _, _, table = table_of("3")
    for width in range(110, 30, -1):
        text = printed(table, width)
        missing = text.partition("no room here for:")[2].replace(",", " ").split()
        gone += [each for each in missing if each not in gone]
    assert gone == ["parameters", "difference", "paper", "readings", "verdict", "test"]


def printed(table, width):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


CELLS = st.text("abc", min_size=1, max_size=12)


@given(
    columns=st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=6),
    width=st.integers(20, 100),
    order=st.permutations(range(6)),
    least=st.integers(0, 6),
    padding=st.sampled_from([(0, 1, 0, 0), (0, 1, 0, 1), (0, 0, 0, 2)]),
)
def test_a_column_is_left_out_only_where_the_table_would_be_too_wide(columns, width, order, least, padding):
    headings = [f"{heading}{number}" for number, (heading, _) in enumerate(columns)]
    table = FittingTable(Column("n"), *(Column(each, no_wrap=True) for each in headings), padding=padding, caption="c")
    table.least = [headings[at] for at in order if at < len(headings)][:least]
    table.add_row("x", *(cell for _, cell in columns))
    text = printed(table, width)
    _, right, _, left = padding
    sizes = {
        heading: max(cell_len(heading), cell_len(cell)) + left + right + 1
        for heading, (_, cell) in zip(headings, columns, strict=True)
    }
    left_out = [*table.least, *(each for each in reversed(headings) if each not in table.least)]
    kept = set(headings)
    while kept and 1 + (1 + left + right + 1) + sum(sizes[each] for each in kept) > width:
        kept.remove(left_out.pop(0))
    lines = text.splitlines()
    header = next(line for line in lines if "n" in line.replace("│", " ").replace("┃", " ").split())
    assert [each for each in header.replace("┃", " ").split() if each != "n"] == [e for e in headings if e in kept]
    below = "".join(text.partition("┘")[2].split())
    missing = ",".join(each for each in headings if each not in kept)
    assert below == (f"cnoroomherefor:{missing}" if missing else "c")


@pytest.mark.parametrize(("length", "whole"), [(5, True), (28, True), (29, False), (60, False)])
def test_a_name_is_whole_up_to_seven_tenths_of_the_width(length, whole):
    name = " ".join(["abcdef"] * 9)[:length]
    table = FittingTable(Column("n"), Column("number", no_wrap=True))
    table.add_row(name, "1")
    lines = printed(table, 40).splitlines()
    assert any(name in line for line in lines) == whole
    assert "number" in "".join(lines)
