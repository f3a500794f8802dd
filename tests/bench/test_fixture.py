"""The fixture of the suite: what it trains and exports, and the results that it keeps; no network is trained here."""

import math
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from hashlib import sha256
from threading import Event
from types import SimpleNamespace

import onnx
import pytest

import pairnet.data.sources
import pairnet.exporting.export
import pairnet.host
import pairnet.study.saved
from bench import fixture
from pairnet.artifact.design import DEFAULT_OPSET
from pairnet.artifact.inspection import inspect
from pairnet.artifact.weights import initializers_digest
from pairnet.errors import AccuracyError, ExportError, TrainingError
from pairnet.models.paper import TABLE_III
from pairnet.models.variants import VARIANTS, count_multiply_adds, find_variant
from pairnet.records.run import Run, seeds_of_draw

SECONDS, EPOCHS = 10.0, 25
ACCURACIES = {("w_net", 0): 0.90, ("w_net", 1): 0.97, ("w_net", 2): 0.95, ("order_net", 0): 0.98}


class Pool:
    """Runs each task at once, in this process."""

    def __init__(self, processes, context):
        self.opened = (processes, context.get_start_method())
        self.tasks, self.shut = [], []

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.shut.append(error)

    def shutdown(self, **options):
        self.shut.append(options)

    def submit(self, task):
        self.tasks.append(task)
        future = Future()
        try:
            future.set_result(task())
        except Exception as error:
            future.set_exception(error)
        return future


def trained(run, dataset, runs):
    """A saved run of ten seconds, whose held-out pairs were measured after each fifth epoch."""
    accuracy = ACCURACIES.get((run.variant.name, run.seed), 0.5)
    measured = [accuracy - 0.01 * (5 - each) for each in range(1, 6)]
    epochs = [
        SimpleNamespace(validation_accuracy=None if number % 5 else measured[number // 5 - 1])
        for number in range(1, EPOCHS + 1)
    ]
    record = SimpleNamespace(run=run, accuracy=accuracy, epochs=epochs, seconds=SECONDS)
    return SimpleNamespace(folder=runs / f"{run.variant.name}-{run.seed}", record=record)


def in_folder(monkeypatch, folder):
    """The log is in `folder`, and so is the terminal, if it is made there: the path of that file is returned."""
    terminal, usual = folder / "dev" / "tty", fixture.Path
    monkeypatch.setattr(fixture, "__file__", str(folder / "bench" / "fixture.py"))
    monkeypatch.setattr(fixture, "Path", lambda name: terminal if name == "/dev/tty" else usual(name))
    return terminal


@pytest.fixture
def workshop(monkeypatch, tmp_path, glyph_set):
    """Replaces data, training, export and processes; what they were asked for is in its lists."""
    made = SimpleNamespace(data=[], runs=[], exports=[], pools=[], folder=tmp_path / "built")
    made.folder.mkdir()

    def load(name):
        made.data.append(name)
        return glyph_set

    def train(run, dataset, runs):
        assert dataset is glyph_set
        made.runs.append((run, runs))
        return trained(run, dataset, runs)

    def export(run, path, **options):
        made.exports.append((run, path, options))
        if options["precision"] == "int8" and path.name.startswith("order_net"):
            raise AccuracyError("expected at most 100 points, got more")
        return [SimpleNamespace(paths=(path,), accuracy={"fp32": 0.9, "fp16": 0.89, "int8": 0.7}[options["precision"]])]

    def pool(*arguments):
        made.pools.append(Pool(*arguments))
        return made.pools[-1]

    monkeypatch.setattr(pairnet.data.sources, "load_dataset", load)
    monkeypatch.setattr(pairnet.study.saved, "train_and_save", train)
    monkeypatch.setattr(pairnet.exporting.export, "export", export)
    monkeypatch.setattr(pairnet.host, "cores", lambda: 3)
    monkeypatch.setattr(fixture, "ProcessPoolExecutor", pool)
    in_folder(monkeypatch, tmp_path)
    monkeypatch.setenv("PAIRNET_BENCH_VARIANTS", "w_net, order_net")
    monkeypatch.setenv("PAIRNET_BENCH_REPEATS", "3")
    return made


def test_each_variant_is_trained_with_its_recipe_once_for_each_seed_the_longest_first(workshop, glyph_set):
    fixture.build(workshop.folder)
    planned = [("order_net", 0), ("w_net", 0), ("w_net", 1), ("w_net", 2)]
    runs = [Run(variant=find_variant(name), images=glyph_set.images, seed=seed) for name, seed in planned]
    assert workshop.runs == [(run, workshop.folder / "runs") for run in runs]
    assert {run.pairs for run, _ in workshop.runs} == {1000}
    assert workshop.data == ["mnist5k"]
    (pool,) = workshop.pools
    assert pool.opened == (3, "spawn")
    assert pool.shut == [(None, None, None)]


def test_no_more_processes_are_started_than_there_are_runs(workshop, monkeypatch):
    monkeypatch.setenv("PAIRNET_BENCH_VARIANTS", "w_net")
    monkeypatch.setenv("PAIRNET_BENCH_REPEATS", "2")
    fixture.build(workshop.folder)
    assert workshop.pools[0].opened == (2, "spawn")


def test_results_are_kept_by_network_in_the_order_of_the_seeds(workshop):
    built = fixture.build(workshop.folder)
    assert built.folder == workshop.folder
    assert list(built.networks) == ["order_net", "w_net"]
    assert built.network("w_net").errors == pytest.approx((10.0, 3.0, 5.0))
    assert built.network("order_net").errors == pytest.approx((2.0,))
    goal = TABLE_III["final_model"].mean
    assert goal == fixture.GOAL
    # measured after epochs 5, 10, ... : 0.93 0.94 0.95 0.96 0.97, and 0.94 ... 0.98
    assert built.network("w_net").seconds_to_goal == pytest.approx((SECONDS * 20 / EPOCHS,))
    assert built.network("order_net").seconds_to_goal == pytest.approx((SECONDS * 15 / EPOCHS,))


def test_the_first_run_of_each_network_is_exported_in_each_precision(workshop, glyph_set):
    built = fixture.build(workshop.folder)
    expected = [
        (
            workshop.folder / "runs" / f"{name}-0",
            workshop.folder / f"{name}-{precision}.onnx",
            {"dataset": glyph_set, "precision": precision, "max_drop": 100.0, "max_changed": 100.0},
        )
        for name in ("order_net", "w_net")
        for precision in ("fp32", "fp16", "int8")
    ]
    assert workshop.exports == expected
    files = built.network("w_net").files
    assert {precision: round(file.error, 6) for precision, file in files.items()} == {
        "fp32": 10.0,
        "fp16": 11.0,
        "int8": 30.0,
    }
    for name, precision in (("w_net", "fp16"), ("order_net", "fp32"), ("null", "fp32")):
        assert built.file(name, precision) == workshop.folder / f"{name}-{precision}.onnx"
    assert [(file.variant, file.precision, file.refused) for file in files.values()] == [
        ("w_net", precision, "") for precision in files
    ]


def test_a_refused_export_is_kept_with_its_reason_and_reported(workshop, capfd):
    built = fixture.build(workshop.folder)
    file = built.network("order_net").files["int8"]
    assert (file.variant, file.precision, file.refused) == (
        "order_net",
        "int8",
        "expected at most 100 points, got more",
    )
    assert math.isnan(file.error)
    with pytest.raises(RuntimeError, match="expected at most 100 points, got more"):
        built.file("order_net", "int8")
    lines = [line.split(" s  ")[1] for line in capfd.readouterr().out.splitlines()]
    assert sorted(lines[:4]) == ["order_net: 98.0 %", "w_net: 90.0 %", "w_net: 95.0 %", "w_net: 97.0 %"]
    assert sorted(lines[4:]) == sorted(
        [
            "order_net-fp32.onnx",
            "order_net-fp16.onnx",
            "refused: expected at most 100 points, got more",
            *(f"w_net-{precision}.onnx" for precision in ("fp32", "fp16", "int8")),
        ]
    )
    assert issubclass(AccuracyError, ExportError)


def test_a_run_that_fails_ends_the_build(workshop, monkeypatch):
    def fail(run, dataset, runs):
        raise TrainingError("the loss is not finite")

    monkeypatch.setattr(pairnet.study.saved, "train_and_save", fail)
    with pytest.raises(TrainingError, match="the loss is not finite"):
        fixture.build(workshop.folder)
    assert workshop.exports == []


def test_a_quick_fixture_has_one_short_run_of_each_network_without_int8(workshop, glyph_set):
    built = fixture.build(workshop.folder, quick=True)
    assert workshop.data == ["glyphs:2000"]
    assert [(run.variant.name, run.variant.recipe.epochs, run.pairs, run.seed) for run, _ in workshop.runs] == [
        ("order_net", 5, 200, 0),
        ("w_net", 5, 200, 0),
    ]
    assert {run.images for run, _ in workshop.runs} == {glyph_set.images}
    assert [set(network.files) for network in built.networks.values()] == [{"fp32", "fp16"}] * 2


# What is trained


def test_without_a_choice_all_variants_are_trained_the_most_work_first(monkeypatch):
    monkeypatch.delenv("PAIRNET_BENCH_VARIANTS", raising=False)
    found = fixture.chosen()
    assert {variant.name for variant in found} == {variant.name for variant in VARIANTS}
    work = [variant.recipe.epochs * count_multiply_adds(variant) for variant in found]
    assert work == sorted(work, reverse=True)


def test_seeds_are_three_and_a_third_for_long_recipes_at_least_one(monkeypatch):
    usual, long = find_variant("w_net"), find_variant("order_net")
    assert (usual.recipe.epochs, long.recipe.epochs) == (25, 120)
    monkeypatch.delenv("PAIRNET_BENCH_REPEATS", raising=False)
    assert (fixture.seeds(usual), fixture.seeds(long)) == (range(3), range(1))
    for repeats, few in ((1, 1), (2, 1), (5, 1), (7, 2), (30, 10)):
        monkeypatch.setenv("PAIRNET_BENCH_REPEATS", str(repeats))
        assert (fixture.seeds(usual), fixture.seeds(long)) == (range(repeats), range(few))


@pytest.mark.parametrize(("epochs", "count"), [(50, 6), (51, 2)])
def test_a_recipe_is_long_above_fifty_epochs(monkeypatch, epochs, count):
    monkeypatch.setenv("PAIRNET_BENCH_REPEATS", "6")
    variant = SimpleNamespace(recipe=SimpleNamespace(epochs=epochs))
    assert fixture.seeds(variant) == range(count)


# Results


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ([None, 0.9, None, 0.96, None, 0.97], [4 / 6]),
        ([0.952, None], [1 / 2]),  # reached, not surpassed
        ([0.9519, 0.951], []),
        ([None, None], []),
    ],
)
def test_seconds_to_the_goal_end_with_the_epoch_that_first_reached_it(accuracies, expected):
    epochs = [SimpleNamespace(validation_accuracy=accuracy) for accuracy in accuracies]
    run = SimpleNamespace(record=SimpleNamespace(epochs=epochs, seconds=12.0))
    assert fixture._to_goal(run) == pytest.approx([12.0 * share for share in expected])


def test_results_come_in_the_order_of_the_tasks_and_are_reported_as_they_are_there():
    reported, second = [], Event()

    def late():
        second.wait(30)
        return "first"

    def done(result):
        reported.append(result)
        second.set()

    with ThreadPoolExecutor(2) as pool:
        assert fixture._all(pool, [late, lambda: "second"], done) == ["first", "second"]
    assert reported == ["second", "first"]


def test_an_error_cancels_what_has_not_begun():
    ran, go = [], Event()

    class Watched(ThreadPoolExecutor):
        """Lets the task in progress end once the others are cancelled."""

        def shutdown(self, wait=True, **options):
            super().shutdown(wait=False, **options)
            go.set()
            super().shutdown(wait=wait)

    def fail():
        raise ValueError("this one")

    with Watched(1) as pool:
        with pytest.raises(ValueError, match="this one"):
            fixture._all(pool, [fail, partial(go.wait, 30), *[partial(ran.append, 1)] * 100], ran.append)
        with pytest.raises(RuntimeError, match="shutdown"):
            pool.submit(fail)
    assert ran == []


def test_an_error_of_a_report_ends_the_rest_too():
    pool = Pool(1, SimpleNamespace(get_start_method=str))

    def interrupt(result):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fixture._all(pool, [lambda: 1, lambda: 2], interrupt)
    assert pool.shut == [{"cancel_futures": True}]


# The null model


def test_the_null_model_is_a_file_of_pairnet_that_computes_no_layer(tmp_path):
    path = tmp_path / "null-fp32.onnx"
    fixture.write_null(path)
    metadata = inspect(path.read_bytes(), path.name)
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    assert not {"Conv", "Gemm", "MatMul"} & {node.op_type for node in model.graph.node}
    assert (metadata.variant, metadata.run, metadata.part, metadata.precision) == ("null", "null", "joint", "fp32")
    assert (metadata.structure, metadata.parameters) == ("fc(392,1)", 392 + 1)
    assert (metadata.input_kind, metadata.data, metadata.data_source) == ("images", "mnist5k", "mnist5k")
    assert (metadata.pairs, metadata.test_pairs, metadata.seeds) == (1000, 1000, seeds_of_draw(0))
    assert (metadata.mean, metadata.std) == (0.0, 1.0)
    assert (metadata.run_accuracy, metadata.test_accuracy) == (0.5, 0.5)  # of a coin
    assert metadata.revision == metadata.run_revision == pairnet.host.revision()
    assert metadata.data_checksum == sha256(b"mnist5k").hexdigest()  # no image is in it
    assert [(each.domain, each.version) for each in model.opset_import] == [("", DEFAULT_OPSET)]
    assert metadata.weights_sha256 == initializers_digest(model)
    assert (metadata.recipe, metadata.versions) == ({}, {})


def test_the_null_model_is_skipped_in_other_precisions_and_needs_no_training(tmp_path):
    empty = fixture.Fixture(folder=tmp_path, networks={})
    assert empty.file("null", "fp32") == tmp_path / "null-fp32.onnx"
    with pytest.raises(NotImplementedError, match="the null model exists in fp32 only"):
        empty.file("null", "fp16")
    with pytest.raises(NotImplementedError, match="w_net is not named in PAIRNET_BENCH_VARIANTS"):
        empty.file("w_net", "fp32")


# Progress


def test_progress_is_written_to_the_terminal_a_log_and_stdout(monkeypatch, tmp_path, capfd):
    terminal = in_folder(monkeypatch, tmp_path)
    terminal.parent.mkdir()
    (tmp_path / ".asv").mkdir()
    (tmp_path / ".asv" / "fixture.log").write_text("of the last time\n")
    now = iter([100.0, 103.0, 141.6])
    monkeypatch.setattr(fixture, "time", SimpleNamespace(monotonic=lambda: next(now)))
    with fixture.Progress() as report:
        report("fc_1: 80.0 %")
        assert terminal.read_text() == "fixture     3 s  fc_1: 80.0 %\n"  # at once, not at the end
        report("fc_2: 81.0 %")
    text = "fixture     3 s  fc_1: 80.0 %\nfixture    42 s  fc_2: 81.0 %\n"
    assert terminal.read_text() == text
    assert (tmp_path / ".asv" / "fixture.log").read_text() == text
    assert capfd.readouterr().out == text
    assert all(file.closed for file in report._files)


def test_progress_needs_no_terminal(monkeypatch, tmp_path):
    assert not in_folder(monkeypatch, tmp_path).parent.exists()
    with fixture.Progress() as report:
        report("fc_1: 80.0 %")
    assert "fc_1: 80.0 %" in (tmp_path / ".asv" / "fixture.log").read_text()
