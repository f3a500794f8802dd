"""`pairnet report`: a page about a study that was really run, with its images; what it refuses and leaves out."""

import json
import os
import re
import shutil
from dataclasses import replace

import pytest
from record_examples import record as example
from reporting.studies import MNIST, rows
from reporting.test_effects import planted

from pairnet.data.pairs import draw_pairs
from pairnet.data.sources import load_dataset
from pairnet.records.record import FailedRun
from pairnet.records.store import append, read_records
from pairnet.study.plan import plan
from pairnet.study.running import run_study
from pairnet.study.tables import studies

SMALL = {"epochs": 2, "pairs": 60, "test_pairs": 80, "measurements": None}


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    """Two draws of two rows of Table I on procedural digits, and one of two order networks with fewer pairs."""
    folder = tmp_path_factory.mktemp("study") / "runs"
    images = load_dataset("glyphs:400")
    one, order = studies()["1"], studies()["order"]
    run_study(plan(replace(one, rows=one.rows[3:5]), images.images, draws=2, **SMALL), images, folder)
    run_study(
        plan(replace(order, rows=order.rows[-2:]), images.images, draws=1, **{**SMALL, "pairs": 50}), images, folder
    )
    return folder


@pytest.fixture
def pairnet(command_line, study, tmp_path):
    """Runs a command line; the folder `runs` holds the study."""
    shutil.copytree(study, tmp_path / "runs")
    return command_line


def test_a_report_is_written_and_its_path_printed(pairnet, tmp_path):
    status, out, err = pairnet("report")
    assert (status, out) == (0, "runs/report/report.html\n")
    assert "left out of the report: 2 runs of order_net_" in err
    assert ": 2 epochs, 50 pairs of glyphs, 80 for testing, on cpu" in err
    page = (tmp_path / "runs" / "report" / "report.html").read_text()
    assert "order_net" not in page.partition('id="results"')[2]
    assert page.count("data:image/png;base64,") == 24
    assert json.loads((tmp_path / "runs" / "report" / "summary.json").read_text())["origins"]["runs"] == 4


def test_the_hardest_pairs_are_those_that_the_records_name(pairnet, tmp_path):
    summary = json.loads(pairnet("report", "--json")[1])
    assert summary["left_out"][0].startswith("2 runs of order_net_")
    page = (tmp_path / "runs" / "report" / "report.html").read_text()
    images = load_dataset("glyphs:400")
    (first, *_) = page.partition('<ul class="pairs">')[2].partition("<li>")[2].split("</li>")
    records = [record for record in read_records(tmp_path / "runs") if record.run.pairs == 60]
    wrong = {}
    for record in records:
        for at, probability in record.wrong:
            wrong.setdefault((record.run.seeds.test_draw, at), []).append(probability)
    most = max(map(len, wrong.values()))
    assert f"{most} of 2 wrong" in first
    digits = [
        draw_pairs(images.test, count=80, seed=draw).digits[at].tolist()
        for (draw, at), answers in wrong.items()
        if len(answers) == most
    ]
    assert any(f"A handwritten {one} and a handwritten {other}" in first for one, other in digits)


def test_another_setting_is_chosen(pairnet, tmp_path):
    summary = json.loads(pairnet("report", "--pairs", 50, "--output", tmp_path / "other" / "mine.html", "--json")[1])
    assert list(summary["tables"]) == ["order"]
    assert summary["left_out"][0].startswith("4 runs of conv_")
    assert (tmp_path / "other" / "mine.html").exists()
    status, _, err = pairnet("report", "--pairs", 77)
    assert (status, "expected runs with --pairs 77, got none: runs has 2 epochs, 60 pairs" in err) == (2, True)


def test_what_is_in_a_report_comes_first_and_what_is_left_out_differs_from_it(command_line, tmp_path):
    (tmp_path / "runs").mkdir()
    few, many = (
        replace(MNIST, name="glyphs", source=f"glyphs:{size}:0", checksum=f"{size}" * 16) for size in (2000, 3000)
    )
    for each in [
        *rows("3", {"w_net": (0.87, 0.88, 0.89), "a_net": (0.9,)}, images=many),
        *rows("3", {"w_net": (0.6, 0.7)}, images=few),
    ]:
        append(tmp_path / "runs", each)
    status, _, err = command_line("report", "--data", "glyphs:3000")
    lines = [line for line in err.splitlines() if "the report: " in line]
    assert status == 0
    assert lines == [
        "in the report: 4 runs of w_net, a_net: 25 epochs, 1,000 pairs of glyphs:3000, on cpu",
        "left out of the report: 2 runs of w_net: 25 epochs, 1,000 pairs of glyphs:2000, on cpu",
    ]
    listed = command_line("runs")[1]
    assert "glyphs:2000" in listed
    assert "glyphs:3000" in listed


@pytest.mark.parametrize(
    "command", [("report",), ("runs",), ("runs", "compare", "w_net", "a_net"), ("runs", "delete"), ("calibration", "x")]
)
@pytest.mark.parametrize("data", ["nosuch", "glyph:2000", "glyphs:many"])
def test_data_that_names_no_source_is_refused_as_by_train(command_line, tmp_path, command, data):
    (tmp_path / "runs").mkdir()
    for each in rows("3", {"w_net": (0.87, 0.88)}):
        append(tmp_path / "runs", each)
    refused = command_line(*command, "--data", data)
    assert refused == command_line("train", "w_net", "--data", data)
    assert (refused[0], data in refused[2]) == (2, True)


def test_images_that_are_gone_are_a_note_and_no_error(command_line, tmp_path):
    (tmp_path / "runs").mkdir()
    for each in rows("3", {"w_net": (0.87, 0.88)}):
        append(tmp_path / "runs", each)
    status, out, err = command_line("report", "--data-dir", tmp_path)
    assert (status, out) == (0, "runs/report/report.html\n")
    assert "without the pairs of mnist that are decided wrongly: " in err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (("report", "nowhere"), 2, "to be a folder, got nowhere"),
        (("report", "empty"), 2, "expected finished runs in empty, got none: `pairnet reproduce` makes some"),
        (("report", "failed"), 2, "expected finished runs in failed, got only 1 run that failed: `pairnet runs`"),
        (("report", "runs", "empty"), 2, "expected finished runs in empty, got none"),
        (("report", "--output", "mine.pdf"), 2, 'expected --output to end in .html, got "mine.pdf"'),
        (("report", "--margin", "0"), 2, "expected --margin above 0 and below 100 points, got 0"),
        (("report", "--markdown", "gone.md"), 2, "gone.md: expected a document with marked blocks, got no such file"),
        (("report", "--markdown", "a.md", "--json"), 2, "expected --markdown with one folder and without a page"),
    ],
)
def test_bad_input_is_one_line(pairnet, tmp_path, arguments, status, message):
    for name in ("empty", "failed"):
        (tmp_path / name).mkdir()
    place = read_records(tmp_path / "runs")[0].environment
    append(tmp_path / "failed", FailedRun(fingerprint="f", run=None, label="fc_1", error="no", environment=place))
    found, out, err = pairnet(*arguments)
    assert message in err
    assert (found, out, len(err.splitlines())) == (status, "", 1)
    assert not (tmp_path / "runs" / "report").exists()


def test_two_folders_are_compared(pairnet, tmp_path):
    shutil.copytree(tmp_path / "runs", tmp_path / "new")
    status, out, err = pairnet("report", "runs", "new")
    assert (status, out.splitlines()[-1]) == (0, "new/changes/report.html")
    assert "identical" in out
    assert "Every answer on the held-out pairs is the same, bit for bit." in err
    summary = json.loads(pairnet("report", "runs", "new", "--json")[1])
    assert {row["verdict"] for row in summary["rows"]} == {"identical"}
    assert len(summary["rows"]) == 4


def test_a_full_disk_is_named_and_leaves_the_old_report(pairnet, tmp_path, monkeypatch):
    assert pairnet("report")[0] == 0
    before = (tmp_path / "runs" / "report" / "report.html").read_text()

    def full(path, records, failures):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("pairnet.reporting.files.write_results", full)
    status, _, err = pairnet("report")
    assert (status, err.splitlines()[-1]) == (1, "pairnet: runs/report/report.html: No space left on device")
    assert (tmp_path / "runs" / "report" / "report.html").read_text() == before
    assert sorted(path.name for path in (tmp_path / "runs" / "report").iterdir()) == [
        ".pairnet.json",
        "figures",
        "report.html",
        "results.csv",
        "rows.csv",
        "summary.json",
    ]


def test_tables_are_written_into_a_document(command_line, tmp_path):
    (tmp_path / "runs").mkdir()
    for each in rows("3", planted()):
        append(tmp_path / "runs", each)
    status, _, err = command_line("report", "--markdown", "mine.md")
    assert (status, err.count("\n"), (tmp_path / "mine.md").exists()) == (2, 1, False)
    first, end = re.findall("<!-- .*? -->", err)  # the example in the message is a block that these runs fill
    (tmp_path / "mine.md").write_text("nothing\n")
    status, _, err = command_line("report", "--markdown", "mine.md")
    assert (status, re.findall("<!-- .*? -->", err)) == (2, [first, end])
    (tmp_path / "mine.md").write_text(f"{first}\n{end}\n")
    status, out, _ = command_line("report", "--markdown", "mine.md")
    assert (status, out) == (0, "wrote into mine.md: table 3\n")
    assert "| w_net | 142,657 | 0.8300" in (tmp_path / "mine.md").read_text()


def test_reproduce_reports_its_own_setting_even_if_the_folder_has_more_of_another(pairnet, tmp_path):
    command = ("reproduce", "--table", "1", "--draws", 1, "--data", "glyphs:400", "--pairs", 60, "--test-pairs", 80)
    status, _, err = pairnet(*command, "--epochs", 1)
    assert status == 0
    assert "left out of the report: 4 runs of conv_" in err
    summary = json.loads((tmp_path / "runs" / "report" / "summary.json").read_text())
    assert [row["draws"] for row in summary["tables"]["1"]["rows"]] == [1] * 7


def test_a_page_that_cannot_be_opened_is_said(pairnet, monkeypatch):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address))
    status, _, err = pairnet("report", "--open")
    assert (status, len(opened)) == (0, 1)
    assert opened[0].startswith("file:///")
    assert "no browser to open runs/report/report.html with" in err


def test_records_of_two_data_sets_are_never_mixed(command_line, tmp_path):
    (tmp_path / "runs").mkdir()
    mnist = rows("3", {"w_net": (0.87, 0.88, 0.86), "a_net": (0.9, 0.91)})
    other = rows("3", {"w_net": (0.5, 0.51)}, images=replace(mnist[0].run.images, name="mnist5k", checksum="e" * 64))
    for each in (*other, *mnist):
        append(tmp_path / "runs", each)
    summary = json.loads(command_line("report", "--json")[1])
    assert [row["mean"] for row in summary["tables"]["3"]["rows"]] == [pytest.approx(0.87), pytest.approx(0.905)]
    assert summary["left_out"] == ["2 runs of w_net: 25 epochs, 1,000 pairs of mnist5k, on cpu"]
    summary = json.loads(command_line("report", "--data", "mnist5k", "--json")[1])
    assert [row["mean"] for row in summary["tables"]["3"]["rows"]] == [pytest.approx(0.505)]


def test_folders_that_records_name_are_said_and_those_that_are_gone_once(command_line, idx_folder, tmp_path):
    """Records may come from somebody else: a reader sees which folders of this machine they make pairnet read."""
    images = load_dataset(f"idx:{idx_folder()}").images
    gone = replace(images, source=f"idx:{tmp_path / 'gone'}", checksum="d" * 64)
    other = replace(images, checksum="e" * 64)
    for name, first, second in (
        ("own", images, images),
        ("changed", other, replace(other, origin="another machine")),
        ("strange", gone, replace(gone, origin="another machine")),
    ):
        (tmp_path / name).mkdir()
        append(tmp_path / name, example(0, images=first, test_pairs=10))
        append(tmp_path / name, example(1, images=second, test_pairs=10))
    status, _, err = command_line("report", "own")
    assert status == 0
    assert err.splitlines().count(f"images in {tmp_path / 'set'} are read: the records name them") == 1
    assert "decided wrongly" not in err
    for command, expected in (("report", 0), ("verify", 2)):
        status, _, err = command_line(command, "changed")
        assert status == expected
        assert err.splitlines().count(f"images in {tmp_path / 'set'} are read: the records name them") == 1
        assert err.count("e" * 12) == 1
    for command, expected in (("report", 0), ("verify", 2)):
        status, _, err = command_line(command, "strange")
        assert status == expected
        assert err.count(str(tmp_path / "gone")) == 1
        assert "are read" not in err


def test_records_that_state_more_than_their_structure_allows_are_read(pairnet, tmp_path):
    """Numbers within the bounds of a record that no run of this structure has: shown as they are, and never a crash."""
    (tmp_path / "odd").mkdir()
    for each in read_records(tmp_path / "runs"):
        count = each.run.held_out
        last = replace(each.epochs[-1], validation_accuracy=0.0)
        wrong = tuple((at, 0.5) for at in range(count))
        odd = replace(each, parameters=2**40, epochs=each.epochs * 200 + (last,), accuracy=0.0, wrong=wrong)
        append(tmp_path / "odd", replace(odd, calibration=()))
    for command in (
        "runs --runs odd",
        "runs --runs odd --long",
        "runs --runs odd --json",
        "runs compare conv_1 conv_2 --runs odd --pairs 60",
        "report odd",
        "report runs odd",
        "report odd --output other/a.html --pairs 50 --json",
    ):
        status, _, err = pairnet(*command.split())
        assert status == 0, (command, err)
    status, out, _ = pairnet("verify", "odd", "--sample", 1)
    assert status == 1
    assert "DIFFERS" in out
