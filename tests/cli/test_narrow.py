"""Tables in narrow terminals: what names a row is whole, and no line is wider than the terminal."""

import io
import re
import sys
from pathlib import Path

import pytest
from cli.test_bench_report import write_results
from hypothesis import given
from hypothesis import strategies as st
from record_examples import record
from reporting.studies import bins, rows
from rich.cells import cell_len
from rich.console import Console

import pairnet
from pairnet.cli.output import plain_table, unbroken
from pairnet.models.variants import VARIANTS
from pairnet.records.store import append
from pairnet.reporting.summaries import summarise
from pairnet.reporting.terminal import study_table
from pairnet.study.tables import studies

WIDTHS = (40, 56, 80)

LABELS = ("final_model", "order_net_fast", "a_w_net, loss ratio 0.25")


def printed(table, width):
    console = Console(width=width, file=io.StringIO())
    console.print(table)
    return console.file.getvalue()


def check(text, width, names):
    """Each name is in one line, and no line is wider than the terminal."""
    lines = text.splitlines()
    assert max(map(cell_len, map(str.rstrip, lines))) <= width, text
    for name in names:
        assert any(re.search(rf"(?<!\w){re.escape(name)}(?!\w)", line) for line in lines), (name, text)
    assert "…" not in text


@pytest.fixture
def folder(tmp_path):
    """Records of three rows, one of them in two settings, and results of benchmarks."""
    (tmp_path / "runs").mkdir()
    for number, label in enumerate(LABELS):
        for draw in (0, 1):
            append(tmp_path / "runs", record(2 * number + draw, label=label, calibration=bins(1000)))
    append(tmp_path / "runs", record(0, label=LABELS[0], pairs=200, calibration=bins(1000)))
    write_results(tmp_path / "results", "a" * 40, 1_000, 5.0, 0.001, 95.0)
    return tmp_path


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["variants"], [variant.name for variant in VARIANTS]),
        (["variants", "--long"], [variant.name for variant in VARIANTS]),
        (["runs"], LABELS[:2]),
        (["runs", "--long"], LABELS[:2]),
        (["runs", "--row", "order_net_fast"], LABELS[1:2]),
        (["calibration", *LABELS], LABELS),
        (["data", "list"], ["mnist", "mnist5k", "glyphs[:SIZE[:SEED]]", "idx:FOLDER"]),
        (["data", "info", "glyphs:100"], [str(digit) for digit in range(10)]),
        (["reproduce", "--dry-run"], ["cnn_base", "final_model_bn"]),
        (["bench-report", "--results", "results"], ["w_net", "null"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and len(value) < 4 else "",
)
def test_names_are_whole_in_a_narrow_terminal(command_line, folder, monkeypatch, width, arguments, names):
    monkeypatch.setenv("COLUMNS", str(width))
    status, out, _ = command_line(*arguments)
    assert status == 0
    other = ("SHA-256", "nothing was run")  # lines that are no table
    check("\n".join(line for line in out.splitlines() if not any(each in line for each in other)), width, names)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("folds", [False, True])
def test_each_run_has_a_name_of_its_own_in_a_narrow_terminal(command_line, folder, monkeypatch, width, folds):
    saved = folder / "runs" / "order_net_fast-0123abcd"
    saved.mkdir()
    (saved / "record.json").write_text(record(9, label="order_net_fast").to_json())
    for fold in range(4) if folds else ():
        append(folder / "runs", record(5, label="a_net", fold=fold))
    monkeypatch.setenv("COLUMNS", str(width))
    status, out, _ = command_line("runs", "--long")
    assert (status, "…" in out, saved.name in out.split()) == (0, False, True)
    assert max(map(cell_len, map(str.rstrip, out.splitlines()))) <= width
    named: list[str] = []  # the text of each row without its accuracy, which stands in its first line
    for line in out[out.rindex("─") + 1 :].splitlines():
        name, count = re.subn(r" 0\.\d{4}\b", "", line)
        named[len(named) if count else len(named) - 1 :] = [("" if count or not named else named[-1]) + name]
    assert len(named) > 4
    assert len({" ".join(name.split()) for name in named}) == len(named)


@pytest.mark.parametrize("width", WIDTHS)
def test_doctor_and_notes_are_wrapped_in_a_narrow_terminal(command_line, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    for stream in (sys.stdout, sys.stderr):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    for arguments in (("doctor",), ("train", "nosuch"), ("report", "nowhere")):
        _, out, err = command_line(*arguments)
        for line in (out + err).splitlines():
            assert len(line) <= width or len(line.split()) <= 3, line  # of "ok", a name and one long word


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", studies())
def test_the_table_of_each_study(width, name):
    study = studies()[name]
    found = rows(name, {row.label: (0.8, 0.9, 0.91) for row in study.rows})
    summaries = summarise(
        study, {row.label: [each for each in found if each.run.label == row.label] for row in study.rows}
    )
    text = printed(study_table(study, summaries), width)
    assert max(map(cell_len, map(str.rstrip, text.splitlines()))) <= width
    assert "validation" in text if study.cross_validated else "test" in text
    if max(cell_len(row.label) for row in study.rows) <= 0.7 * width:
        assert all(row.label in text for row in study.rows)
    else:
        assert all(word in text.split() for row in study.rows for word in row.label.split())


WORDS = st.text("abcXYZ019", min_size=1, max_size=14)


@given(
    names=st.lists(WORDS, min_size=1, max_size=4),
    columns=st.lists(st.tuples(WORDS, WORDS), max_size=6),
    width=st.integers(24, 120),
    least=st.integers(0, 6),
)
def test_a_column_is_whole_or_named_as_left_out(names, columns, width, least):
    headings = [f"{heading}-{number}" for number, (heading, _) in enumerate(columns)]
    cells = [f"{cell}={number}" for number, (_, cell) in enumerate(columns)]
    table = plain_table("name", *unbroken(*headings), least=headings[:least])
    for name in names:
        table.add_row(name, *cells)
    lines = printed(table, width).splitlines()
    assert max(map(cell_len, lines)) <= width
    rest = lines[lines.index(next(line for line in lines if set(line.strip()) == {"─"})) + 1 :]
    assert [line.split()[0] for line in rest[: len(names)]] == names
    left_out = [heading for heading in headings if heading not in lines[1].split()]
    assert all(
        (cell in rest[0].split()) == (heading not in left_out) for cell, heading in zip(cells, headings, strict=True)
    )
    named = re.sub(r"\s", "", "".join(rest)).partition("noroomherefor:")[2]
    assert named == ",".join(left_out)
    assert set(left_out) <= set(headings[:least]) or set(headings[:least]) <= set(left_out)


@pytest.mark.parametrize("width", WIDTHS)
def test_a_name_that_is_longer_than_the_terminal_is_folded(width):
    name = "".join(chr(ord("a") + at % 26) for at in range(130))
    table = plain_table("name", *unbroken("figure"))
    table.add_row(name, "12,345")
    text = printed(table, width)
    assert name in re.sub(r"\s|12,345", "", text)
    assert "12,345" in text


def test_all_tables_fit_themselves():
    """A table of rich loses names in a narrow terminal; the live display and pictures fit in their own ways."""
    package = Path(pairnet.__file__).parent
    files = {path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")}
    makers = {
        name
        for name, text in files.items()
        if "from rich.table import" in text and re.search(r"[^a-zA-Z_]Table\(", text)
    }
    assert makers - {"reporting/tables.py"} == {"cli/study_display.py", "cli/predict.py"}
