"""The asv suite follows its own rules, and its fixture trains and exports."""

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from pairnet.errors import ArgumentError
from pairnet.exporting.export import export

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

import bench  # noqa: E402
from bench import common, fixture, plant  # noqa: E402

pytest_plugins = ("trained_runs",)

KINDS = re.compile("(time|track|peakmem|timeraw|mem)_")
needs_asv = pytest.mark.skipif(importlib.util.find_spec("asv") is None, reason="asv is not installed")


def all_benchmarks():
    """(class, method's name) of each benchmark that asv would find."""
    for _, name, _ in pkgutil.iter_modules(bench.__path__, "bench."):
        if "peers" in name:
            continue
        for kind, found in inspect.getmembers(importlib.import_module(name), inspect.isclass):
            if found.__module__ == name and not kind.startswith("_"):
                yield from ((found, method) for method in dir(found) if KINDS.match(method))


BENCHMARKS = list(all_benchmarks())


def test_there_is_a_suite():
    names = {f"{found.__module__.split('.')[1]}.{found.__name__}" for found, _ in BENCHMARKS}
    assert {"quality.Error", "size.File", "inference.Answer", "gpu.Resident", "data_path.Loader"} <= names
    assert len(BENCHMARKS) == len({(found.__module__, found.__name__, method) for found, method in BENCHMARKS})


@pytest.mark.parametrize(("found", "method"), BENCHMARKS, ids=lambda value: getattr(value, "__name__", value))
def test_each_has_a_version_and_a_unit_and_names_its_parameters(found, method):
    assert found.version, "without it an edit of the source drops the history"
    assert len(found.param_names) == len(found.params)
    assert method.startswith(("time_", "peakmem_")) or getattr(
        getattr(found, method), "unit", getattr(found, "unit", "")
    )
    takes = list(inspect.signature(getattr(found, method)).parameters)[1:]
    assert takes[: 1 if issubclass(found, common.OfTrainedNets) else 0] in (["made"], [])
    assert len(takes) == len(found.params) + issubclass(found, common.OfTrainedNets)


@pytest.mark.parametrize(("found", "method"), BENCHMARKS, ids=lambda value: getattr(value, "__name__", value))
def test_what_gets_better_upwards_is_not_gated(found, method):
    rises = any(word in method for word in ("accuracy", "per_second", "fraction", "above"))
    assert rises <= found.__name__.startswith("Charted")


@pytest.mark.parametrize("path", sorted((ROOT / "bench").glob("*.py")), ids=lambda path: path.name)
def test_asv_takes_nothing_else_for_a_benchmark(path):
    """asv goes by names: a function that happens to be called time_something would be run."""
    functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert not [name for name in functions if KINDS.match(name)]


def test_libraries_are_held_to_one_thread():
    code = "import os; os.environ.pop('OMP_NUM_THREADS', None); import bench; print(os.environ['OMP_NUM_THREADS'])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"


submitted = []


class Pool(fixture.ProcessPoolExecutor):
    def submit(self, task):
        submitted.append(task)
        return super().submit(task)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """What the fixture makes of the variant that is trained in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixture, "ProcessPoolExecutor", Pool)
        patch.setenv("PAIRNET_BENCH_VARIANTS", "order_net_fast")
        patch.setenv("PAIRNET_BENCH_REPEATS", "1")
        return fixture.make(tmp_path_factory.mktemp("made"))


def test_the_fixture_trains_exports_and_measures(made):
    net = made.net("order_net_fast")
    assert len(net.errors) == 1
    assert 0 < net.errors[0] < 20
    assert net.files["fp32"].error == pytest.approx(net.errors[0])
    assert set(net.files) == set(fixture.PRECISIONS)
    assert all(0 < seconds < 60 for seconds in net.seconds_to_goal)


@pytest.mark.parametrize("name", ["null", "order_net_fast"])
def test_its_files_answer(made, name):
    from pairnet.serving.predictor import Predictor

    with Predictor(made.file(name, "fp32"), provider="cpu", threads=1) as predictor:
        answer = predictor.probability(common.images(3))
    assert answer.shape == (3,)
    assert name != "null" or answer.tolist() == [0.5] * 3


def test_what_is_tracked_is_what_its_title_says(made):
    from bench import inference, quality, size

    net = made.net("order_net_fast")
    error = net.errors[0]
    assert size.Structure().track_parameters("order_net_fast") == 10_354
    assert size.Structure().track_multiply_adds("fc_1") == 392 * 196 + 196 * 98 + 98
    assert size.File().track_bytes(made, "order_net_fast", "int8") == made.file("order_net_fast", "int8").stat().st_size
    assert quality.Error().track_error(made, "order_net_fast") == error
    assert quality.FileError().track_error(made, "order_net_fast", "fp16") == net.files["fp16"].error
    assert quality.ChartedAccuracy().track_accuracy(made, "order_net_fast") == 100 - error
    as_printed = replace(made, nets={"final_model": replace(net, errors=(4.0, 5.0))})  # the paper: 4.8
    assert quality.ChartedAbovePaper().track_points_above_paper(as_printed, "final_model") == pytest.approx(0.3)
    for benchmark, expected in ((inference.Latency().track_p50, 50), (inference.ChartedTail().track_p99, 99)):
        benchmark.__self__.latencies = lambda: [float(n) for n in range(101)]
        assert benchmark(made, "order_net_fast") == pytest.approx(expected, abs=1)


def test_what_the_fixture_left_out_is_skipped_and_no_number(made):
    for ask in (lambda: made.net("fc_1"), lambda: made.file("fc_1", "fp32"), lambda: made.file("null", "int8")):
        with pytest.raises(NotImplementedError):
            ask()


def test_a_file_that_export_refuses_fails_its_own_benchmarks_and_no_others(made):
    net = made.net("order_net_fast")
    refused = fixture.File(variant="order_net_fast", precision="int8", refused="expected more, found less")
    spoilt = replace(made, nets={"order_net_fast": replace(net, files={**net.files, "int8": refused})})
    assert spoilt.file("order_net_fast", "fp32") == made.file("order_net_fast", "fp32")
    with pytest.raises(RuntimeError, match="expected more, found less"):
        spoilt.file("order_net_fast", "int8")


def test_what_export_refuses_stands_for_its_file_and_other_errors_end_it(made, digits5k):
    (run,) = (made.folder / "runs").glob("order_net_fast-*")
    taken = made.file("order_net_fast", "fp32")  # which no export replaces
    reported, task = [], partial(export, run, taken, dataset=digits5k)
    with ThreadPoolExecutor(1) as pool:
        (found,) = fixture._all(pool, [task], reported.append, (ArgumentError,))
        assert isinstance(found, ArgumentError)
        assert reported == [found]
        with pytest.raises(ArgumentError):
            fixture._all(pool, [task], reported.append)


def test_its_workers_need_not_know_the_suite(made):
    """asv imports bench by ways of its own, which a worker process does not have."""
    assert {task.func.__module__.split(".")[0] for task in submitted} == {"pairnet"}


@pytest.mark.parametrize("found", sorted({f for f, _ in BENCHMARKS if issubclass(f, common.OfTrainedNets)}, key=str))
def test_what_the_fixture_left_out_is_skipped_by_setup(made, found):
    """asv skips where setup says so, calls teardown all the same, and takes what is raised later for a failure."""
    instance, first = found(), [values[0] for values in found.params[1:]]
    with pytest.raises(NotImplementedError, match="PAIRNET_BENCH_VARIANTS"):
        instance.setup(made, "fc_1", *first)
    assert not hasattr(instance, "teardown")


@pytest.mark.skipif(common.has_gpu_driver(), reason="this machine has an NVIDIA driver")
def test_without_a_gpu_its_rows_are_skipped_with_a_reason(made):
    gpu, training = importlib.import_module("bench.gpu"), importlib.import_module("bench.training")
    with pytest.raises(NotImplementedError, match=r"driver|CUDAExecutionProvider"):
        gpu.Resident().setup(made, "null", "cuda", "fp32", 1)
    with pytest.raises(NotImplementedError, match="driver"):
        training.Epoch().setup("fc_1", "cuda")


def test_seeds_scale_and_long_recipes_get_a_third(monkeypatch):
    from pairnet.models.variants import find_variant

    monkeypatch.setenv("PAIRNET_BENCH_REPEATS", "6")
    assert [len(fixture.seeds(find_variant(name))) for name in ("fc_1", "order_net")] == [6, 2]
    monkeypatch.setenv("PAIRNET_BENCH_REPEATS", "0")
    with pytest.raises(ValueError, match="PAIRNET_BENCH_REPEATS must be at least 1"):
        fixture.seeds(find_variant("fc_1"))


@pytest.mark.parametrize(("change", "function"), list(zip(plant.CHANGES, ("probability", "score"), strict=True)))
def test_each_planted_fault_still_lands_where_it_should(change, function):
    before = (ROOT / change.file).read_text()
    after = change.applied(before)
    lines = zip(before.splitlines(), after.splitlines(), strict=False)
    line = next(number for number, (old, new) in enumerate(lines, 1) if old != new)
    around = [
        node.name
        for node in ast.walk(ast.parse(after))
        if isinstance(node, ast.FunctionDef) and node.lineno <= line <= (node.end_lineno or 0)
    ]
    assert around == [function]


@pytest.mark.parametrize(
    ("output", "noticed"),
    [
        ("| + | 40.8μs | 5.34ms | 130 | a |\n\nPERFORMANCE DECREASED.\n", True),
        ("| ! | 40.8μs | failed | n/a | a |\n\nPERFORMANCE DECREASED.\n", False),
        ("BENCHMARKS NOT SIGNIFICANTLY CHANGED.\n", False),
        ("· Building 00233206 <main> for virtualenv-py3.11\n", False),  # killed on its way
        ("", False),
    ],
)
def test_only_a_row_that_got_worse_counts_as_noticed(output, noticed):
    assert plant.is_regression(output) is noticed


# With asv itself


def asv(*arguments, cwd):
    found = subprocess.run([sys.executable, "-m", "asv", *arguments], cwd=cwd, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout + found.stderr
    return found.stdout


@needs_asv
def test_asv_finds_no_problem_with_the_suite():
    assert "No problems found" in asv("check", "--environment", f"existing:{sys.executable}", cwd=ROOT)
