"""`pairnet bench-report`: results of asv read back, compared, and shown."""

import json
import math
import re

import pytest

from pairnet.cli.bench_results import Entry, read_results
from pairnet.cli.bench_tables import cell, show


def write_results(folder, commit, date, error, seconds, accuracy, version="1"):
    """Writes one commit's results on machine "m", in asv's format: one benchmark of each kind, and the suite's
    description; some rows are skipped, one failed.
    """
    results = {
        "quality.Error.track_error": [[error, math.nan], [["'w_net'", "'fc_1'"]], version],
        "inference.Answer.time_answer": [
            [seconds, seconds * 9, None, math.nan],
            [["'w_net'", "'null'"], ["1", "64"]],
            version,
        ],
        "quality.ChartedAccuracy.track_accuracy": [[accuracy], [["'w_net'"]], version],
        "gpu.Host.time_answer": [[math.nan], [["'w_net'"]], version],
    }
    file = {
        "version": 2, "commit_hash": commit, "env_name": "env", "date": date, "python": "3.11", "requirements": {},
        "env_vars": {}, "params": {"machine": "m", "python": "3.11"}, "result_columns": ["result", "params", "version"],
        "results": results, "durations": {},
    }  # fmt: skip
    (folder / "m").mkdir(parents=True, exist_ok=True)
    (folder / "m" / "machine.json").write_text(json.dumps({"version": 1, "machine": "m"}))
    (folder / "m" / f"{commit[:8]}-env.json").write_text(json.dumps(file))
    suite = {
        "quality.Error.track_error": ("% of test pairs", ["variant"], "track"),
        "inference.Answer.time_answer": ("seconds", ["variant", "batch"], "time"),
        "quality.ChartedAccuracy.track_accuracy": ("% of test pairs", ["variant"], "track"),
        "gpu.Host.time_answer": ("seconds", ["variant"], "time"),
    }
    about = {
        name: {
            "name": name, "unit": unit, "param_names": names, "params": results[name][1], "type": kind,
            "version": version, "code": "", "timeout": 60,
        }
        for name, (unit, names, kind) in suite.items()
    }  # fmt: skip
    (folder / "benchmarks.json").write_text(json.dumps({"version": 2, **about}))


@pytest.fixture
def results(tmp_path):
    folder = tmp_path / "results"
    write_results(folder, "a" * 40, 1_000, 5.0, 0.001, 95.0)
    write_results(folder, "b" * 40, 2_000, 10.0, 0.0005, 90.0)
    return folder


@pytest.fixture
def report(command_line):
    """Runs `pairnet bench-report` -> (exit status, stdout, stderr)."""
    return lambda *arguments: command_line("bench-report", *arguments)


def test_the_last_commit_is_shown_beside_the_one_before(report, results):
    status, out, _ = report("--results", results)
    assert status == 0
    assert "commit bbbbbbbb, compared with aaaaaaaa" in out
    assert re.search(r"w_net +│ +10 \+100%", out)
    assert re.search(r"w_net +│ +500 µs -50% │ 4.5 ms -50%", out)
    assert re.search(r"null +│ +failed │ +skipped", out)
    assert "gpu.Host.time_answer: skipped on this machine" in out


def test_worse_is_red_and_better_is_green_also_if_higher_values_are_better(results):
    found = {benchmark.name: benchmark for benchmark in read_results(results)[0].benchmarks}
    cells = {name: cell(benchmark, benchmark.figures[0]) for name, benchmark in found.items()}
    assert [str(span.style) for span in cells["quality.Error.track_error"].spans] == ["bold red"]
    assert [str(span.style) for span in cells["inference.Answer.time_answer"].spans] == ["green"]
    assert cells["quality.ChartedAccuracy.track_accuracy"].plain.endswith("-5%")
    worse = Entry(parameters=("w_net",), state="measured", value=50.0, before=95.0)
    assert [str(span.style) for span in cell(found["quality.ChartedAccuracy.track_accuracy"], worse).spans] == [
        "bold red"
    ]


def test_figures_of_another_version_are_not_compared(results):
    write_results(results, "c" * 40, 3_000, 7.0, 0.001, 93.0, version="2")
    found = read_results(results)[0]
    assert found.before == "bbbbbbbb"
    assert all(figure.change is None for benchmark in found.benchmarks for figure in benchmark.figures)


def test_selected_benchmarks_as_json(report, results):
    status, out, _ = report("--results", results, "--bench", "quality.Error", "--json")
    ((benchmark,),) = ([one["benchmarks"] for one in json.loads(out)],)
    assert status == 0
    assert [figure["state"] for figure in benchmark[0]["figures"]] == ["measured", "skipped"]
    assert benchmark[0]["figures"][0]["before"] == 5.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--bench", "nothing"), "expected --bench to match one of gpu.Host.time_answer, "),
        (("--bench", "("), "expected --bench to be a regular expression"),
        (("--machine", "elsewhere"), "expected --machine to be one of m, got elsewhere"),
    ],
)
def test_bad_options_are_refused(report, results, arguments, message):
    status, _, err = report("--results", results, *arguments)
    assert status == 2
    assert message in err


def test_machines_to_choose_from_are_named(report, results):
    (results / "n").mkdir()
    (results / "n" / "machine.json").write_text("{}")
    status, _, err = report("--results", results)
    assert (status, err) == (2, "pairnet: expected --machine to be one of m, n, got none\n")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": 2}', "other.json: expected a result file of asv, got one without env_name, date"),
        ("[]", "other.json: expected a file of asv, got JSON that is no object"),
        ("{", "other.json: expected a file of asv: "),
    ],
)
def test_files_that_asv_did_not_write_are_named(report, results, text, message):
    (results / "m" / "other.json").write_text(text)
    status, _, err = report("--results", results)
    assert status == 2
    assert message in err


def test_missing_results_are_an_error_that_says_how_to_measure(report, tmp_path):
    status, _, err = report("--results", tmp_path)
    assert status == 2
    assert "make bench" in err


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (1.5, "seconds", "1.5 s"),
        (0.00123, "seconds", "1.23 ms"),
        (2.5e-7, "seconds", "0.25 µs"),
        (1234.0, "seconds", "1,234 s"),
        (45_600, "bytes", "45.6 kB"),
        (3.7e8, "bytes", "370.0 MB"),
        (96_433, "parameters", "96,433"),
        (4.8333, "% of test pairs", "4.83"),
    ],
)
def test_values_are_shown_with_units(value, unit, text):
    assert show(value, unit) == text
