"""Trains each variant with its own recipe and exports it, once for the whole suite: about four minutes on two cores.

The data are always the 5,000 embedded digits, 1,000 pairs for training and 1,000 for testing, so no figure depends on
what a machine has downloaded. PAIRNET_BENCH_REPEATS (3) is the number of seeds, a third of them for recipes of more
than LONG epochs. PAIRNET_BENCH_VARIANTS selects variants, separated by commas. Runs are executed in parallel, one
thread each, longest first. Progress is printed on the terminal and in .asv/fixture.log.
"""

import hashlib
import math
import os
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pairnet.artifact.design import DEFAULT_OPSET, Precision
from pairnet.models.paper import TABLE_III
from pairnet.models.variants import VARIANTS, Variant, count_multiply_adds, find_variant

if TYPE_CHECKING:
    from pairnet.data.sources import Dataset
    from pairnet.errors import ExportError
    from pairnet.exporting.export import Exported
    from pairnet.study.saved import SavedRun

DATA, QUICK_DATA = "mnist5k", "glyphs:2000"
LONG = 50  # epochs
NULL = "null"
PRECISIONS: tuple[Precision, ...] = ("fp32", "fp16", "int8")
GOAL = TABLE_III["final_model"].mean
"""The paper's best accuracy: 0.952."""


@dataclass(frozen=True, kw_only=True)
class File:
    """One exported file, or why it was refused."""

    variant: str
    precision: str
    error: float = math.nan  # in % of the test pairs
    refused: str = ""  # message of the export's validation


@dataclass(frozen=True, kw_only=True)
class Network:
    """Results of one variant; errors in % of the test pairs."""

    errors: tuple[float, ...]  # by seed
    seconds_to_goal: tuple[float, ...]  # of the seeds that reached GOAL
    files: dict[str, File]  # exported from the first seed, by precision


@dataclass(frozen=True, kw_only=True)
class Fixture:
    """Results of `build`: networks by name, and the folder of their files."""

    folder: Path
    networks: dict[str, Network]

    def network(self, name: str) -> Network:
        """Results of a variant. Raises NotImplementedError, which asv takes for "skipped", if it was not trained."""
        if name not in self.networks:
            raise NotImplementedError(f"{name} is not named in PAIRNET_BENCH_VARIANTS")
        return self.networks[name]

    def file(self, name: str, precision: str) -> Path:
        """Path of an exported file. Raises NotImplementedError as `network` does; RuntimeError if export refused it."""
        if name != NULL:
            if refused := self.network(name).files[precision].refused:
                raise RuntimeError(refused)
        elif precision != "fp32":
            raise NotImplementedError("the null model exists in fp32 only")
        return self.folder / f"{name}-{precision}.onnx"


def seeds(variant: Variant) -> range:
    """Seeds of the runs of one variant."""
    repeats = int(os.environ.get("PAIRNET_BENCH_REPEATS", "3"))
    if repeats < 1:
        raise ValueError(f"PAIRNET_BENCH_REPEATS must be at least 1, got {repeats}")
    return range(max(1, repeats // 3) if variant.recipe.epochs > LONG else repeats)


def chosen() -> list[Variant]:
    """The variants to train, the longest first."""
    names = os.environ.get("PAIRNET_BENCH_VARIANTS", "")
    found = [find_variant(name.strip()) for name in names.split(",")] if names else VARIANTS
    return sorted(found, key=lambda variant: -variant.recipe.epochs * count_multiply_adds(variant))


def build(folder: Path, *, quick: bool = False) -> Fixture:
    """Trains and exports all `chosen` variants into `folder`.

    quick: one run of five epochs each, on 200 pairs of digits that pairnet draws, in fp32 and fp16, for figures that do
    not depend on what the weights have learned. An error of a run is raised; a refused export fails only the benchmarks
    of that file.
    """
    from pairnet.data.sources import load_dataset
    from pairnet.host import cores
    from pairnet.models.variants import with_epochs
    from pairnet.records.run import Run
    from pairnet.study.saved import train_and_save

    dataset, runs = load_dataset(QUICK_DATA if quick else DATA), folder / "runs"
    planned = [
        Run(variant=with_epochs(variant, 5), images=dataset.images, pairs=200)
        if quick
        else Run(variant=variant, images=dataset.images, seed=seed)
        for variant in chosen()
        for seed in (range(1) if quick else seeds(variant))
    ]
    tasks = [partial(train_and_save, run, dataset, runs) for run in planned]
    write_null(folder / f"{NULL}-fp32.onnx")
    with Progress() as report, ProcessPoolExecutor(min(cores(), len(tasks)), get_context("spawn")) as pool:
        saved = _all(
            pool, tasks, lambda one: report(f"{one.record.run.variant.name}: {100 * one.record.accuracy:.1f} %")
        )
        first = {one.record.run.variant.name: one for one in saved if one.record.run.seed == 0}
        files = _export(pool, first, dataset, folder, report, PRECISIONS[: 2 if quick else 3])
    return Fixture(
        folder=folder,
        networks={
            name: Network(
                errors=tuple(100 * (1 - one.record.accuracy) for one in saved if one.record.run.variant.name == name),
                seconds_to_goal=tuple(
                    seconds for one in saved if one.record.run.variant.name == name for seconds in _to_goal(one)
                ),
                files={file.precision: file for file in files if file.variant == name},
            )
            for name in first
        },
    )


def _export(
    pool: ProcessPoolExecutor,
    runs: "dict[str, SavedRun]",
    dataset: "Dataset",
    folder: Path,
    report: "Progress",
    precisions: tuple[Precision, ...],
) -> list[File]:
    """Writes NAME-PRECISION.onnx for each run and precision."""
    from pairnet.errors import ExportError
    from pairnet.exporting.export import export

    wanted = [(name, precision) for name in runs for precision in precisions]
    paths = [folder / f"{name}-{precision}.onnx" for name, precision in wanted]
    tasks = [
        partial(
            export, runs[name].folder, path, dataset=dataset, precision=precision, max_drop=100.0, max_changed=100.0
        )
        for (name, precision), path in zip(wanted, paths, strict=True)
    ]

    def done(found: "list[Exported] | ExportError") -> None:
        report(f"refused: {found}" if isinstance(found, ExportError) else found[0].paths[0].name)

    files = []
    for (name, precision), found in zip(wanted, _all(pool, tasks, done, (ExportError,)), strict=True):
        if isinstance(found, ExportError):
            files.append(File(variant=name, precision=precision, refused=str(found)))
        else:
            files.append(File(variant=name, precision=precision, error=100 * (1 - found[0].accuracy)))
    return files


def _all(
    pool: ProcessPoolExecutor,
    tasks: Sequence[Callable[[], Any]],
    done: Callable[[Any], None],
    expected: tuple[type[Exception], ...] = (),
) -> list[Any]:
    """Results in the order of the tasks; `done` is called with each as soon as it is available.

    An `expected` error is returned as the task's result; any other one cancels the rest and is raised. Worker processes
    can import pairnet but not bench, so tasks must not refer to bench.
    """

    def outcome(future: Future[Any]) -> Any:
        try:
            return future.result()
        except expected as error:
            return error

    futures = [pool.submit(task) for task in tasks]
    try:
        for future in as_completed(futures):
            done(outcome(future))
    except BaseException:
        pool.shutdown(cancel_futures=True)
        raise
    return [outcome(future) for future in futures]


def _to_goal(saved: "SavedRun") -> list[float]:
    """Seconds until a measurement of the run reached GOAL, from its mean time per epoch; empty if none did."""
    record = saved.record
    reached = [number for number, epoch in enumerate(record.epochs, 1) if (epoch.validation_accuracy or 0.0) >= GOAL]
    return [record.seconds * reached[0] / len(record.epochs)] if reached else []


def write_null(path: Path) -> None:
    """Writes a file that answers 0.5 for each pair and computes no layer: its latency is the overhead of the harness.

    It consists of operators that `pairnet export` writes and has valid metadata, so it passes each check of a file. The
    answer is computed from one pixel of each pair, times zero, since it needs to be as long as the batch.
    """
    from onnx import TensorProto, helper, numpy_helper

    from pairnet.artifact.inspection import inspect
    from pairnet.artifact.metadata import FileMetadata
    from pairnet.artifact.weights import initializers_digest
    from pairnet.host import revision
    from pairnet.records.seeds import seeds_of_draw

    constants: dict[str, NDArray[Any]] = {
        "pair.shape": np.array([-1, 2 * 28 * 28], np.int64),
        "one": np.array([1, 2 * 28 * 28 - 1], np.int64),
        "zero": np.array(0, np.float32),
        "score.shape": np.array([-1], np.int64),
    }
    nodes = [
        helper.make_node("Reshape", ["pair", "pair.shape"], ["pixels"]),
        helper.make_node("Split", ["pixels", "one"], ["first", "others"], axis=1),
        helper.make_node("Cast", ["first"], ["grey"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["grey", "zero"], ["product"]),
        helper.make_node("Reshape", ["product", "score.shape"], ["score"]),
        helper.make_node("Sigmoid", ["score"], ["probability"]),
    ]
    graph = helper.make_graph(
        nodes,
        "null",
        [helper.make_tensor_value_info("pair", TensorProto.UINT8, ["N", 2, 28, 28])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["N"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", DEFAULT_OPSET)], ir_version=10)
    metadata = FileMetadata(
        variant=NULL,
        structure="fc(392,1)",  # a layer whose weights are all zero: its products are omitted
        parameters=393,
        part="joint",
        input_kind="images",
        precision="fp32",
        data=DATA,
        data_source=DATA,
        data_checksum=hashlib.sha256(DATA.encode()).hexdigest(),
        pairs=1000,
        test_pairs=1000,
        seeds=seeds_of_draw(0),
        mean=0.0,
        std=1.0,
        recipe={},
        run=NULL,
        run_accuracy=0.5,
        test_accuracy=0.5,
        versions={},
        revision=revision(),
        run_revision=revision(),
        weights_sha256=initializers_digest(model),
    )
    helper.set_model_props(model, metadata.to_text())
    content = model.SerializeToString()
    inspect(content, path.name)
    path.write_bytes(content)


class Progress:
    """Prints a line per finished step: on the terminal, in .asv/fixture.log, and on stdout for asv."""

    def __init__(self) -> None:
        log = Path(__file__).parents[1] / ".asv" / "fixture.log"
        log.parent.mkdir(exist_ok=True)
        self._files = [log.open("w")]
        with suppress(OSError):  # no terminal
            self._files.append(Path("/dev/tty").open("w"))  # noqa: SIM115
        self._began = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files:
            file.close()

    def __call__(self, line: str) -> None:
        """Prints `line` with the seconds since the start."""
        text = f"fixture {time.monotonic() - self._began:5.0f} s  {line}\n"
        for file in self._files:
            file.write(text)
            file.flush()
        os.write(1, text.encode())
