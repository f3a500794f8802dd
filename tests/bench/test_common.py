"""What the classes of the suite share: axes, titles, images; and what asv and its pages read from each of them."""

import ctypes
import inspect
import re
import threading
from pathlib import Path

import numpy as np
import pytest

from bench import common, data_path, gpu, inference, quality, size, training
from bench.fixture import NULL, PRECISIONS
from pairnet.models.paper import TABLE_I, TABLE_III
from pairnet.models.variants import VARIANTS

MODULES = (quality, size, inference, gpu, data_path, training)
CLASSES = [
    found
    for module in MODULES
    for _, found in inspect.getmembers(module, inspect.isclass)
    if found.__module__ == module.__name__ and hasattr(found, "params")
]
PAGE = Path(__file__).parents[2] / "docs" / "benchmarks.md"
METHODS = re.compile("(time|track|peakmem)_")


def benchmarks(kind):
    return [name for name in dir(kind) if METHODS.match(name)]


# Axes


def test_each_variant_is_measured_once_and_those_of_the_pages_come_first():
    assert sorted(common.NAMES) == sorted(variant.name for variant in VARIANTS)
    assert common.NAMES[:6] == list(TABLE_III)
    assert common.NAMES[6:8] == ["order_net", "order_net_fast"]
    assert [NULL, *common.NAMES] == common.NETWORKS


def test_batches_are_one_pair_and_powers_of_two_up_to_that_of_throughput():
    assert common.BATCHES[0] == 1
    assert sorted(set(common.BATCHES)) == common.BATCHES
    assert all(batch.bit_count() == 1 for batch in common.BATCHES)
    assert common.BATCHES[-1] == 8192


def test_precisions_are_those_that_the_hardware_computes_in():
    assert [precision for precision in PRECISIONS if precision != "fp16"] == common.CPU_PRECISIONS
    assert [precision for precision in PRECISIONS if precision != "int8"] == common.GPU_PRECISIONS


@pytest.mark.parametrize(
    ("kind", "params"),
    [
        (quality.Error, [common.NAMES]),
        (quality.ChartedAccuracy, [common.NAMES]),
        (quality.FileError, [common.NAMES, ["fp32", "fp16", "int8"]]),
        (quality.ChartedAbovePaper, [list(dict.fromkeys([*TABLE_I, *TABLE_III]))]),
        (size.Structure, [common.NAMES]),
        (size.File, [common.NAMES, ["fp32", "fp16", "int8"]]),
        (size.Memory, [common.NETWORKS]),
        (inference.Answer, [common.NETWORKS, ["fp32", "int8"], common.BATCHES]),
        (inference.Latency, [common.NETWORKS]),
        (inference.ChartedTail, [common.NETWORKS]),
        (inference.ChartedThroughput, [common.NETWORKS, ["fp32", "int8"]]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_axes_of_the_classes(kind, params):
    assert kind.params == params


# What asv reads


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_parameters_are_called_as_the_arguments_are(kind):
    for method in ["setup", *benchmarks(kind)]:
        if hasattr(kind, method):
            names = [name for name in inspect.signature(getattr(kind, method)).parameters if name != "self"]
            assert [{"kind": "images"}.get(name, name) for name in names if name != "fixture"] == kind.param_names


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_edit_that_keeps_the_meaning_of_figures_keeps_their_version(kind):
    """asv drops the history of another version."""
    assert kind.version == "1"


TIMED = [kind for kind in CLASSES if kind.__module__ != "bench.gpu" and any("time_" in name for name in dir(kind))]


@pytest.mark.parametrize("kind", TIMED, ids=lambda kind: kind.__name__)
def test_timed_rows_have_three_samples_in_one_process_and_end_soon(kind):
    least, most, seconds = kind.repeat
    assert 3 <= least < most <= 20
    assert 0 < seconds <= 2
    assert kind.rounds == 1
    assert 0 < kind.warmup_time <= 0.1
    assert 0 < getattr(kind, "sample_time", 0.01) <= 0.01
    if kind is not inference.Answer:  # whose calls are short
        assert kind.number == 1, "one epoch per sample"
    assert getattr(kind, "timeout", 120) >= 120  # asv.conf.json's


def test_the_networks_are_built_in_the_folder_of_asv_within_an_hour(monkeypatch, tmp_path):
    monkeypatch.setattr(common, "build", lambda folder: ("built in", folder))
    monkeypatch.chdir(tmp_path)
    assert common.NeedsNetworks().setup_cache() == ("built in", tmp_path)
    assert common.NeedsNetworks.setup_cache.timeout == 60 * 60
    assert 120 <= common.NeedsNetworks.timeout <= 600


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_units_are_those_of_the_page(kind):
    """docs/benchmarks.md has a row for each class: `module.Class` (and more), question, unit, gated or charted."""
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    found = [row for row in cells if kind.__name__ in re.findall(r"\w+", row[0]) and kind.__module__[6:] in row[0]]
    if not benchmarks(kind):  # a base class
        assert found == []
        return
    ((_, _, unit, gated),) = found
    assert gated == ("charted" if kind.__name__.startswith("Charted") else "gated")
    for method in benchmarks(kind):
        implied = {"time": "seconds", "peakmem": "bytes"}.get(method.partition("_")[0], "")
        stated = implied or getattr(getattr(kind, method), "unit", None) or kind.unit
        if "," not in unit and unit not in ("", "%"):
            assert stated == unit


def test_a_title_is_set_on_the_method_and_a_unit_only_where_it_is_given():
    @common.titled("rounds of a day", unit="rounds")
    def track_rounds():
        return 3

    @common.titled("rounds of a week")
    def track_week():
        return 21

    assert (track_rounds.pretty_name, track_rounds.unit, track_rounds()) == ("rounds of a day", "rounds", 3)
    assert (track_week.pretty_name, track_week(), hasattr(track_week, "unit")) == ("rounds of a week", 21, False)


# Images, progress, drivers


@pytest.mark.parametrize("batch", [1, 64])
def test_images_are_the_same_random_grey_levels_in_each_call(batch):
    found = common.images(batch)
    assert (found.shape, found.dtype) == ((batch, 2, 28, 28), np.uint8)
    np.testing.assert_array_equal(found, common.images(batch))
    if batch == 64:
        assert set(np.unique(found)) == set(range(256))
        assert found.mean() == pytest.approx(127.5, abs=1)


def test_steps_come_in_their_order_and_without_a_terminal_nothing_is_drawn(capsys):
    assert list(common.with_progress([3, 1, 2], "measuring")) == [3, 1, 2]
    assert capsys.readouterr() == ("", "")


def test_a_bar_is_drawn_on_a_terminal_between_steps_only_and_removed_at_the_end(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    before, drawn = threading.active_count(), []
    for _ in common.with_progress([1, 2], "measuring"):
        drawn.append(capsys.readouterr())
        assert threading.active_count() == before  # nothing draws during a step
    drawn.append(capsys.readouterr())
    assert ["".join(re.findall(r"measuring|\d+%", err)) for _, err in drawn[:2]] == [
        "measuring0%",
        "measuring50%",
    ]
    assert drawn[2].err.endswith("\x1b[1A\x1b[2K")  # one line up, which is cleared
    assert [out for out, _ in drawn] == ["", "", ""]


def test_a_driver_is_found_by_its_library(monkeypatch):
    asked = []
    monkeypatch.setattr(ctypes, "CDLL", asked.append)
    assert common.has_gpu_driver()
    assert asked == ["libcuda.so.1"]

    def missing(name):
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", missing)
    assert not common.has_gpu_driver()
