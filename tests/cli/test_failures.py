"""Errors on the command line: one printable line in the words of the command, and the exit status."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from pairnet.cli import app
from pairnet.cli.common import invocation, run_app
from pairnet.cli.failures import RENAMED, Invocation, explain, translate
from pairnet.errors import ArgumentError, PairnetError, RecordError, TrainingError

TRAIN = invocation(app, ["--debug", "train", "conv_1"])
SMALL = ("--data", "glyphs:400", "--pairs", 20, "--epochs", 1)


def all_errors(base=PairnetError):
    yield base
    for error in base.__subclasses__():
        yield from all_errors(error)


@pytest.mark.parametrize("error", sorted(set(all_errors()), key=lambda error: error.__name__), ids=lambda e: e.__name__)
def test_each_error_is_one_line_with_the_status_of_its_side_of_the_tree(error):
    status = 2 if issubclass(error, ValueError) else 1
    assert explain(error("expected `pairs` of 1, got 0"), TRAIN) == ("expected --pairs of 1, got 0", status)


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (FileNotFoundError(errno.ENOENT, "No such file or directory", "a.png"), "a.png: No such file or directory", 2),
        (FileExistsError(errno.EEXIST, "exists, `force` replaces it", "a"), "a: exists, --force replaces it", 2),
        (IsADirectoryError(errno.EISDIR, "Is a directory", b"runs"), "runs: Is a directory", 2),
        (NotADirectoryError(errno.ENOTDIR, "Not a directory", "runs/x"), "runs/x: Not a directory", 2),
        (PermissionError(errno.EACCES, "Permission denied", "runs"), "runs: Permission denied", 1),
        (OSError(errno.ENOSPC, "No space left on device", "runs/a"), "runs/a: No space left on device", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "a file or connection: No space left on device", 1),
        (MemoryError(), "not enough memory: use fewer pairs or fewer jobs", 1),
        (ModuleNotFoundError("", name="torch"), "pairnet train needs torch, which is not installed: "
         "pip install 'pairnet[train]'", 1),
        (ModuleNotFoundError("", name="matplotlib.figure"), "pairnet train needs matplotlib, which is not installed: "
         "pip install 'pairnet[report]'", 1),
    ],
)  # fmt: skip
def test_errors_of_the_system_and_missing_extras(error, line, status):
    assert explain(error, TRAIN) == (line, status)


@pytest.mark.parametrize("error", [ValueError("x"), RuntimeError("x\ny"), KeyError("x"), AssertionError(), OSError()])
def test_any_other_error_is_called_a_bug(error):
    line, status = explain(error, TRAIN)
    assert status == 1
    assert line.startswith(f"unexpected {type(error).__name__}: ")
    assert "this is a bug in pairnet: run again with `pairnet --debug` and report it with `pairnet doctor`" in line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("command", "message", "translated"),
    [
        ("train", "`data_dir` or `pairs`", "--data-dir or --pairs"),
        ("train", "`workers`, `weights` and `pairnet train`", "`workers`, `weights` and `pairnet train`"),
        ("reproduce", "`workers`, `jobs`, `spec`", "--jobs, --jobs, --data"),
        ("export", "`input_kind`, `with_digits`, `every`, `max_drop`", "--input, --with-digits, --all, --max-drop"),
        ("data pictures", "`output` and `seed`", "--output and `seed`"),
    ],
)
def test_parameters_in_backticks_become_the_options_of_the_command(command, message, translated):
    called = invocation(app, command.split())
    assert called.name == f"pairnet {command}"
    assert translate(message, called.options) == translated


@pytest.mark.parametrize("old", RENAMED)
def test_a_renamed_option_fails_with_its_new_name(command_line, old):
    command = ("reproduce",) if old == "--repeats" else ("calibration", "w_net")
    status, out, err = command_line(*command, old, "x")
    assert (status, out, err) == (2, "", f"pairnet: {old} is now {RENAMED[old]}\n")
    status, _, err = command_line("doctor", old, "x")  # this command has never had the option
    assert status == 2
    assert "is now" not in err


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("train", "fina_model"), "final_model"),
        (("train",), "Missing argument"),
        (("train", "fc_1", "--epochs", "0"), "epochs"),
        (("train", "fc_1", "--epochs", "many"), "--epochs"),
        (("train", "fc_1", "--pairs", "5000"), "--pairs"),
        (("train", "fc_1", "--seed", "-1", *SMALL), "--seed"),
        (("train", "fc_1", "--data", "mnist6k"), "did you mean mnist5k?"),
        (("train", "fc_1", "--data", "idx:nowhere"), "idx:FOLDER"),
        (("train", "fc_1", "--data", "mnist"), "run `pairnet data fetch mnist`"),
        (("train", "fc_1", "--device", "gpu"), "--device"),
        (("reproduce", "--table", "4"), "expected --table to be 1, 2, 3, dropout"),
        (("reproduce", "--draws", "0"), "--draws"),
        (("reproduce", "--jobs", "0"), "--jobs"),
        (("reproduce", "--minutes", "0"), "expected --minutes to be a finite number above 0, got 0: choose"),
        (("reproduce", "--minutes", "nan"), "expected --minutes to be a finite number above 0, got nan: choose"),
        (("reproduce", "--minutes", "soon"), "--minutes"),
        (("reproduce", "--measurements", "0"), "--measurements to be a whole number of at least 1, or every, got"),
        (("train", "fc_1", "--measurements", "2.5"), 'at least 1, or every, got "2.5": choose'),
        (("train", "fc_1", "--measurements", "-1"), 'or every, got "-1": choose'),
        (("train", "fc_1", "--measurements", "9" * 5000), "or every, got"),
        (("train", "fc_1", "--measurements", ""), 'or every, got "": choose'),
        (("evaluate", "nowhere"), "nowhere"),
        (("export", "--model", "fc_1", "--all"), "expected one of --model, --run and --all"),
        (("export", "--model", "fc_1", "--output", "a.txt"), "expected --output to end in .onnx"),
        (("predict", "a.onnx"), "expected either pictures or --test, got neither"),
        (("data", "fetch", "cifar"), 'expected mnist, got "cifar"'),
        (("data", "info", "mnist", "--data-dir", "nowhere"), "nowhere"),
        (("data", "pictures", "--count", "0"), "expected --count to be at least 1, got 0"),
        (("runs",), "expected --runs to be a folder, got runs"),
        (("nonsense",), "No such command 'nonsense'"),
        (("variants", "--jsn"), "No such option"),
    ],
)
def test_bad_input_is_one_line_with_status_2_and_leaves_nothing(command_line, tmp_path, arguments, reason):
    status, out, err = command_line(*arguments)
    assert (status, out) == (2, "")
    assert err.startswith(("pairnet: ", "data   "))
    last = err.splitlines()[-1]
    assert last.startswith("pairnet: ")
    assert reason in last
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_folder_of_runs_that_is_a_file_is_refused(command_line, tmp_path):
    (tmp_path / "runs").write_text("mine")
    status, _, err = command_line("train", "conv_1", *SMALL)
    assert status == 2
    assert err.splitlines()[-1].endswith("got runs, which is a file: choose another folder")
    assert (tmp_path / "runs").read_text() == "mine"


def failing_app(monkeypatch, error):
    """The commands, of which `runs` fails with `error`."""

    def fail(path):
        raise error

    monkeypatch.setattr("pairnet.records.collection.read_stored", fail)


def test_control_characters_and_markup_in_messages_are_shown_as_they_are(command_line, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    failing_app(monkeypatch, RecordError("\x1b[31m[bold]a\nb\u202e:smile:\udcff"))
    status, _, err = command_line("runs")
    assert (status, err) == (2, "pairnet: \\x1b[31m[bold]a\\nb\\u202e:smile:\\udcff\n")


def test_control_characters_and_markup_in_tables_are_shown_as_they_are(command_line, idx_folder):
    folder = idx_folder("[bold]a\x1b[31m")
    status, out, _ = command_line("data", "info", f"idx:{folder}")
    assert status == 0
    assert "[bold]a\\x1b[31m" in out
    assert "\x1b" not in out


def test_debug_shows_the_traceback_and_keeps_the_status(command_line, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    failing_app(monkeypatch, TrainingError("no\x1b"))
    status, _, err = command_line("--debug", "runs")
    assert status == 1
    assert "Traceback" in err
    assert "\x1b" not in err
    assert err.splitlines()[-1] == "pairnet: no\\x1b"
    assert "Traceback" not in command_line("runs")[2]


def test_an_interruption_exits_with_130(command_line, monkeypatch, tmp_path):
    (tmp_path / "runs").mkdir()
    failing_app(monkeypatch, KeyboardInterrupt())
    assert command_line("runs") == (130, "", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("arguments", [["variants"], ["variants", "--json"], ["--help"]], ids=" ".join)
def test_a_full_disk_behind_standard_output_is_one_line(arguments):
    with Path("/dev/full").open("w") as full:
        command = [sys.executable, "-m", "pairnet", *arguments]
        result = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (result.returncode, result.stderr) == (1, "pairnet: standard output: No space left on device\n")


def test_an_encoding_without_the_needed_characters_is_no_error():
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "pairnet", "variants"]
    result = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.parametrize("send", [os.kill, os.killpg], ids=["to the process", "to its group"])
def test_three_interruptions_in_a_row_are_one_line_and_status_130(tmp_path, send):
    command = [*(sys.executable, "-m", "pairnet"), *("train", "conv_1"), *("--data", "glyphs:2000"), "--epochs", "9999"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True, cwd=tmp_path
    )
    assert child.stderr is not None
    assert child.stderr.readline().startswith("data ")
    for _ in range(3):
        send(child.pid, signal.SIGINT)
    out, err = child.communicate(timeout=300)
    assert (child.returncode, out, err) == (
        130,
        "",
        "pairnet: stopped; an unfinished network is not kept\n",
    )


INTERRUPTED_AT_ONCE = """
import pairnet.cli.common as it
def run_app(app, arguments):
    raise KeyboardInterrupt
it.run_app = run_app
from pairnet.__main__ import _run
_run({arguments})
"""


@pytest.mark.parametrize("command", ["reproduce", "study my.toml", "train w_net", "predict a b", "data info", "export"])
def test_only_commands_that_keep_runs_say_so(command):
    code = INTERRUPTED_AT_ONCE.format(arguments=["--debug", *command.split()])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (130, "", 1)
    assert ("finished runs are kept" in done.stderr) == (command.split()[0] in ("reproduce", "study"))


def test_an_error_that_an_interruption_caused_is_one(command_line, monkeypatch):
    def interrupted(*given, **options):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            raise ImportError("import numpy failed") from None  # as an extension module does

    monkeypatch.setattr("pairnet.data.sources.available", interrupted)
    assert command_line("data", "list") == (130, "", "")


def test_a_usage_error_names_the_help_of_its_command(command_line):
    assert command_line("train")[2].endswith("(see pairnet train --help)\n")


def test_an_error_inside_a_library_call_outside_any_command_keeps_its_backticks():
    error = ArgumentError("expected `pairs`, got nothing")
    assert explain(error, Invocation(name="pairnet", options={})) == ("expected `pairs`, got nothing", 2)
    assert run_app(app, ["--version"]) == 0
