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

import bench
from bench import common, fixture, plant
from pairnet.errors import ArgumentError
from pairnet.exporting.export import export

pytest_plugins = ("trained_runs",)

ROOT = Path(__file__).parents[2]
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
    assert takes[: 1 if issubclass(found, common.NeedsNetworks) else 0] in (["fixture"], [])
    assert len(takes) == len(found.params) + issubclass(found, common.NeedsNetworks)


@pytest.mark.parametrize(("found", "method"), BENCHMARKS, ids=lambda value: getattr(value, "__name__", value))
def test_the_pages_of_asv_have_a_title_and_draw_the_main_variants(found, method):
    """asv draws eight lines: the first values of the first parameter, with the first value of each other one."""
    assert getattr(getattr(found, method), "pretty_name", getattr(found, "pretty_name", ""))
    if found.param_names[:1] == ["variant"] and found.__name__ != "ChartedAbovePaper":
        assert len(common.FIRST) == 8
        assert [value for value in found.params[0] if value != fixture.NULL][:8] == common.FIRST


@pytest.mark.parametrize(("found", "method"), BENCHMARKS, ids=lambda value: getattr(value, "__name__", value))
def test_figures_that_are_better_when_higher_are_not_gated(found, method):
    rises = any(word in method for word in ("accuracy", "per_second", "fraction", "above"))
    assert rises <= found.__name__.startswith("Charted")


@pytest.mark.parametrize("path", sorted((ROOT / "bench").glob("*.py")), ids=lambda path: path.name)
def test_no_module_level_function_is_named_like_a_benchmark(path):
    """asv selects by name: any function called time_... would run as a benchmark."""
    functions = [node.name for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)]
    assert not [name for name in functions if KINDS.match(name)]


def test_libraries_use_one_thread():
    code = "import os; os.environ.pop('OMP_NUM_THREADS', None); import bench; print(os.environ['OMP_NUM_THREADS'])"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "1"


submitted = []


class Pool(fixture.ProcessPoolExecutor):
    def submit(self, task):
        submitted.append(task)
        return super().submit(task)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The fixture with the variant that trains in a second."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(fixture, "ProcessPoolExecutor", Pool)
        patch.setenv("PAIRNET_BENCH_VARIANTS", "order_net_fast")
        patch.setenv("PAIRNET_BENCH_REPEATS", "1")
        return fixture.build(tmp_path_factory.mktemp("built"))


def test_the_fixture_trains_exports_and_measures(built):
    net = built.network("order_net_fast")
    assert len(net.errors) == 1
    assert 0 < net.errors[0] < 20
    assert net.files["fp32"].error == pytest.approx(net.errors[0])
    assert set(net.files) == set(fixture.PRECISIONS)
    assert all(0 < seconds < 60 for seconds in net.seconds_to_goal)


@pytest.mark.parametrize("precision", fixture.PRECISIONS)
def test_errors_are_those_of_the_files_on_pairs_that_were_held_out(built, digits5k, precision):
    """Computed again from the test images: the digits themselves say which answers are right."""
    from bench import quality
    from pairnet.data.pairs import draw_indices
    from pairnet.serving.predictor import Predictor

    rows = draw_indices(len(digits5k.test), count=1000, seed=1)  # of the draw 0: 0 to train on, 1 to test on
    pairs, digits = digits5k.test.take(rows, 1)
    with Predictor(built.file("order_net_fast", precision), provider="cpu", threads=1) as predictor:
        wrong = (predictor.probability(pairs) > 0.5) != (digits[:, 0] <= digits[:, 1])
    expected = 100 * wrong.mean()
    assert quality.FileError().track_error(built, "order_net_fast", precision) == pytest.approx(expected)
    if precision == "fp32":
        assert quality.Error().track_error(built, "order_net_fast") == pytest.approx(expected)


@pytest.mark.parametrize("name", ["null", "order_net_fast"])
def test_exported_files_answer(built, name):
    from pairnet.serving.predictor import Predictor

    with Predictor(built.file(name, "fp32"), provider="cpu", threads=1) as predictor:
        answer = predictor.probability(common.images(3))
    assert answer.shape == (3,)
    assert name != "null" or answer.tolist() == [0.5] * 3


def test_tracked_values_are_those_of_their_titles(built):
    from bench import inference, quality, size

    net = built.network("order_net_fast")
    error = net.errors[0]
    assert size.Structure().track_parameters("order_net_fast") == 10_354
    assert size.Structure().track_multiply_adds("fc_1") == 392 * 196 + 196 * 98 + 98
    assert (
        size.File().track_bytes(built, "order_net_fast", "int8") == built.file("order_net_fast", "int8").stat().st_size
    )
    assert quality.Error().track_error(built, "order_net_fast") == error
    assert quality.FileError().track_error(built, "order_net_fast", "fp16") == net.files["fp16"].error
    assert quality.ChartedAccuracy().track_accuracy(built, "order_net_fast") == 100 - error
    two_runs = replace(built, networks={"final_model": replace(net, errors=(4.0, 5.0))})  # the paper: 4.8
    assert quality.ChartedAbovePaper().track_points_above_paper(two_runs, "final_model") == pytest.approx(0.3)
    for benchmark, expected in ((inference.Latency().track_p50, 50), (inference.ChartedTail().track_p99, 99)):
        benchmark.__self__.latencies = lambda: [float(n) for n in range(101)]
        assert benchmark(built, "order_net_fast") == pytest.approx(expected, abs=1)


def test_variants_that_were_not_trained_are_skipped(built):
    for ask in (lambda: built.network("fc_1"), lambda: built.file("fc_1", "fp32"), lambda: built.file("null", "int8")):
        with pytest.raises(NotImplementedError):
            ask()


def test_a_file_that_export_refuses_fails_its_own_benchmarks_and_no_others(built):
    net = built.network("order_net_fast")
    refused = fixture.File(variant="order_net_fast", precision="int8", refused="expected more, found less")
    damaged = replace(built, networks={"order_net_fast": replace(net, files={**net.files, "int8": refused})})
    assert damaged.file("order_net_fast", "fp32") == built.file("order_net_fast", "fp32")
    with pytest.raises(RuntimeError, match="expected more, found less"):
        damaged.file("order_net_fast", "int8")


def test_a_refused_export_is_a_result_and_other_errors_are_raised(built, digits5k):
    (run,) = (built.folder / "runs").glob("order_net_fast-*")
    taken = built.file("order_net_fast", "fp32")  # which no export replaces
    reported, task = [], partial(export, run, taken, dataset=digits5k)
    with ThreadPoolExecutor(1) as pool:
        (found,) = fixture._all(pool, [task], reported.append, (ArgumentError,))
        assert isinstance(found, ArgumentError)
        assert reported == [found]
        with pytest.raises(ArgumentError):
            fixture._all(pool, [task], reported.append)


def test_worker_processes_do_not_import_the_suite(built):
    """asv imports bench in its own way, so worker processes cannot."""
    assert {task.func.__module__.split(".")[0] for task in submitted} == {"pairnet"}


@pytest.mark.parametrize("found", sorted({f for f, _ in BENCHMARKS if issubclass(f, common.NeedsNetworks)}, key=str))
def test_variants_that_were_not_trained_are_skipped_in_setup(built, found):
    """asv skips if setup raises NotImplementedError, still calls teardown, and takes later errors for failures."""
    instance, first = found(), [values[0] for values in found.params[1:]]
    with pytest.raises(NotImplementedError, match="PAIRNET_BENCH_VARIANTS"):
        instance.setup(built, "fc_1", *first)
    assert not hasattr(instance, "teardown")


@pytest.mark.skipif(common.has_gpu_driver(), reason="this machine has an NVIDIA driver")
def test_without_a_gpu_its_rows_are_skipped_with_a_reason(built):
    gpu, training = importlib.import_module("bench.gpu"), importlib.import_module("bench.training")
    with pytest.raises(NotImplementedError, match=r"driver|CUDAExecutionProvider"):
        gpu.Resident().setup(built, "null", "cuda", "fp32", 1)
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
def test_each_planted_fault_applies_to_the_intended_function(change, function):
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
        ("· Building 00233206 <main> for virtualenv-py3.11\n", False),  # killed before its end
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
def test_asv_check_passes():
    assert "No problems found" in asv("check", "--environment", f"existing:{sys.executable}", cwd=ROOT)
