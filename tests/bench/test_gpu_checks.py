"""The checks and tables of a GPU: on the CPU as far as they go, on a GPU where there is one, and each can fail."""

import json
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import common, fixture, gpu, gpu_checks, gpu_rows, on_gpu
from pairnet.serving.predictor import Predictor
from pairnet.training import loop


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Quickly trained files of two variants, as `on_gpu` exports them."""
    folder = tmp_path_factory.mktemp("files")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PAIRNET_BENCH_VARIANTS", "order_net_fast,final_model")
        fixture.build(folder, quick=True)
    return folder


@pytest.mark.parametrize("check", gpu_checks.CHECKS, ids=lambda check: check.__name__)
def test_each_check_passes_on_the_cpu_or_needs_a_gpu(check, files):
    if check.__name__ in ("graph_agrees", "graph_answers_agree", "memory_is_split"):
        with pytest.raises(gpu_checks.Skipped, match="needs a GPU"):
            check("cpu", files)
    else:
        assert check("cpu", files)


@pytest.mark.gpu
@pytest.mark.skipif(not common.has_gpu_driver(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("check", gpu_checks.CHECKS, ids=lambda check: check.__name__)
def test_each_check_passes_on_the_gpu(check, files):
    assert check("cuda", files)


def outcome(name, files):
    return next(each for each in gpu_checks.run_checks("cpu", files) if each.check == name)


def test_a_device_that_trains_something_else_fails(files, monkeypatch):
    calls = []
    original = gpu_checks.train_network

    def wrong(variant, *pairs, **options):
        calls.append(options["device"])
        if len(calls) % 2 == 0:  # the second of each two is the device's
            options["recipe"] = replace(options["recipe"], loss_ratio=0.6, learning_rate=0.01)
        return original(variant, *pairs, **options)

    monkeypatch.setattr(gpu_checks, "train_network", wrong)
    found = outcome("training_agrees", files)
    assert found.state == "failed"
    assert "loss differs by" in found.text


def test_stacked_networks_that_get_other_masks_fail(files, monkeypatch):
    original = loop.mask_generator
    monkeypatch.setattr(gpu_checks.stacked, "mask_generator", lambda seed: original(seed + 1))
    assert outcome("stacked_agrees", files).state == "failed"


def test_a_file_that_answers_something_else_fails(files, monkeypatch):
    original, calls = Predictor.probability, []

    def permuted(self, pairs):
        calls.append(len(pairs))
        answers = original(self, pairs)
        return answers[::-1].copy() if len(calls) % 2 == 0 else answers  # of the second of each two predictors

    monkeypatch.setattr(Predictor, "probability", permuted)
    found = outcome("answers_agree", files)
    assert (found.state, "probabilities differ by" in found.text) == ("failed", True)


def test_the_rows_of_the_table(files, tmp_path):
    found = gpu_rows.measure(files, "cpu", (16, 32), save=tmp_path / "rows.json")
    assert json.loads((tmp_path / "rows.json").read_text())["rows"].keys() == {"null", "final_model", "order_net_fast"}
    text = gpu_rows.table(found)
    assert text.startswith("| row | cpu fp32, pairs/s | cpu fp16, pairs/s | cpu from the host, pairs/s |")
    assert text.count("%") == 4  # of two networks in two precisions
    assert "| cpu fp32, one pair, µs |" in text
    (files / "damaged").mkdir()
    (files / "damaged" / "fc_1-fp32.onnx").write_bytes(b"no model")
    text = gpu_rows.table(gpu_rows.measure(files / "damaged", "cpu", (16,)))
    assert "| fc_1 | – |" in text
    assert "ONNX Runtime reports" in text


def test_symmetric_padding_gives_the_same_answers(files):
    from pairnet.artifact.sessions import open_session

    path, pairs = files / "final_model-fp32.onnx", common.images(20)
    found = [
        open_session(model, "cpu").run(None, {"pair": pairs})[0]
        for model in (path.read_bytes(), gpu.with_symmetric_padding(path))
    ]
    assert gpu.with_symmetric_padding(path) != path.read_bytes()
    np.testing.assert_allclose(found[0], found[1], atol=1e-5)


def test_a_throughput_is_pairs_per_second(files):
    """A run that lasts 10 ms answers 100 batches per second."""
    import time

    run = gpu.ResidentRun(files / "null-fp32.onnx", "cpu", 16, device="cpu")

    class Slow(gpu.ResidentRun):
        def __init__(self):
            self._batch = 16

        def __call__(self):
            run()
            time.sleep(0.01)

    assert 800 < Slow().pairs_per_second() < 1600


@pytest.fixture
def steps(monkeypatch, tmp_path):
    """One step that ends well, one that fails, one that takes too long; no files are needed."""
    code = "import sys, time; print('| a |'); sys.stderr.write('the reason'); "
    made = [
        on_gpu.Step(name=name, title=name, minutes=1, gpu=(), cpu=("this", code + end))
        for name, end in (("good", ""), ("bad", "sys.exit(3)"), ("slow", "time.sleep(60)"))
    ]
    monkeypatch.setattr(on_gpu, "STEPS", tuple(made))
    monkeypatch.setattr(on_gpu, "prepare_files", lambda folder, device: None)
    start = subprocess.Popen

    def python_code(command, **options):
        if command[1:3] == ["-m", "this"]:
            command = [command[0], "-c", command[3]]
        return start(command, **options)

    monkeypatch.setattr(on_gpu.subprocess, "Popen", python_code)
    return tmp_path / "out"


def start(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["on_gpu", "--device", "cpu", *map(str, arguments)])
    return on_gpu.main()


def test_every_step_leaves_its_result_and_a_failure_hides_no_other(steps, monkeypatch, capsys):
    assert start(monkeypatch, "--out", steps, "--only", "good,bad") == 1
    page = (steps / "report.md").read_text()
    assert "## good\n" in page
    assert "failed in" in page
    assert "the reason" in page
    assert "## slow\n\nNot run" in page
    assert json.loads((steps / "environment.json").read_text())["device"] == "cpu"
    assert start(monkeypatch, "--out", steps, "--only", "good") == 0
    assert "good: done before" in capsys.readouterr().err
    monkeypatch.setattr(on_gpu, "code", lambda: "another revision")
    assert start(monkeypatch, "--out", steps, "--only", "good") == 0
    assert "good: done in" in capsys.readouterr().err


def test_without_a_card_nothing_is_run(steps, monkeypatch, capsys):
    if common.has_gpu_driver():
        pytest.skip("a GPU is here")
    monkeypatch.setattr(sys, "argv", ["on_gpu", "--out", str(steps)])
    assert on_gpu.main() == 1
    assert "expected a GPU that torch can use, got none" in capsys.readouterr().err
    assert sorted(path.name for path in steps.iterdir()) == ["environment.json"]


def grandchildren():
    """The command lines of processes that the step below has started."""
    lines = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            lines.append(path.read_bytes())
    return [line for line in lines if b"grandchild" in line and b"sleep(60)" in line and b"subprocess" not in line]


def test_a_step_that_is_out_of_time_leaves_no_process(steps, monkeypatch):
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)', 'grandchild'])"
    monkeypatch.setattr(
        on_gpu, "STEPS", (on_gpu.Step(name="slow", title="slow", minutes=1, gpu=(), cpu=("this", code)),)
    )
    assert start(monkeypatch, "--out", steps, "--minutes", 0.05) == 1
    assert json.loads((steps / "slow.status").read_text())["state"] == "out of time"
    deadline = time.monotonic() + 20  # the signal is sent; its work may take a moment
    while (left := grandchildren()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []


def test_images_that_this_machine_has(monkeypatch):
    assert on_gpu.images() == "auto"
    monkeypatch.setattr(on_gpu, "find_spec", lambda name: None)
    assert on_gpu.images() == "glyphs:20000"
    monkeypatch.setenv("PAIRNET_DATA", "somewhere")
    assert on_gpu.images() == "auto"


def test_an_unknown_step_is_refused(steps, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        start(monkeypatch, "--out", steps, "--only", "fast")
    assert "expected steps of good, bad, slow, got fast" in capsys.readouterr().err
