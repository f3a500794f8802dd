"""Pairs per second of one trained network in PyTorch, OpenVINO and our predictor, and of ranking against all pairs.

    python -m bench.peers_inference [--runs runs] [--rounds 15] [--device cpu] [--peers REGEX] [--markdown]

OpenVINO takes part if it is installed (`pip install -e '.[peers]'`). All peers run in one process and take turns
(bench/turns.py), a warm-up of each is discarded, and our predictor is measured twice: the difference is the noise.
Printed are median and quartiles. Our predictor and OpenVINO get raw pixels (uint8 [N,2,28,28]) in host memory and pool
and normalise them; PyTorch gets pixels that are already pooled and normalised, which saves it that work. Speed does not
depend on the weights: without a saved run of final_model, one is trained for an epoch.
"""

import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.common import with_progress
from bench.gpu import matrix_product
from bench.turns import AGAIN, Spread, seconds_of, spread, take_turns
from bench.turns import markdown as markdown_table
from pairnet.artifact.design import Precision
from pairnet.artifact.recorded import as_input
from pairnet.artifact.runtime import ort
from pairnet.data.pairs import Moments, draw_pairs
from pairnet.data.sources import Dataset, load_dataset
from pairnet.errors import one_line
from pairnet.exporting.export import export
from pairnet.host import cores, hardware
from pairnet.models.networks import JointNetwork, TwinNetwork
from pairnet.models.recipes import Recipe
from pairnet.models.variants import count_multiply_adds, find_variant
from pairnet.records.folders import newest
from pairnet.records.record import RunRecord
from pairnet.records.run import Run
from pairnet.serving.predictor import Predictor
from pairnet.study.saved import load_run, train_and_save

VARIANT = "final_model"
BATCHES = (1, 100, 1000)
LEAST = 0.2  # minimum seconds of one measurement
PAUSE = 0.1  # seconds for the threads of the previous peer to stop spinning

Pixels = NDArray[np.uint8]
Answer = Callable[[Pixels, NDArray[np.float32]], Any]
"""Called with the same pairs in two forms, raw [N,2,28,28] and ready [N,2,14,14]; uses the one it needs."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """One implementation of inference."""

    name: str
    answer: Answer
    precision: str = ""  # the GPU's matrix product it is compared with; empty on a CPU


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Speed of one peer at one batch size: pairs/s, and CPU time per pair summed over all cores."""

    rate: Spread
    cost: float  # µs of CPU time, including threads that spin while they wait

    def __str__(self) -> str:
        values = (self.rate.median, self.rate.low, self.rate.high)
        median, low, high = (f"{value / 1e3:.{value < 1e5:d}f}" for value in values)
        return f"{median} k ({low}-{high})"


def measured(peers: list[Peer], raw: Pixels, ready: NDArray[np.float32], rounds: int) -> dict[str, Speed]:
    """Speeds of all peers on the same batch: they take turns for `rounds` rounds, after a warm-up."""
    ready_peers = {}
    for peer in with_progress(peers, f"batch {len(raw)}, warm-up"):
        try:
            ready_peers[peer.name] = _turn(peer, raw, ready)
        except Exception as error:  # a peer that fails must not hide the others
            sys.stderr.write(f"{peer.name} failed: {one_line(error)}\n")
    found = take_turns(ready_peers, rounds, description=f"batch {len(raw)}")
    return {
        name: Speed(rate=spread(tuple(rate for rate, _ in turns)), cost=spread(tuple(cost for _, cost in turns)).median)
        for name, turns in found.items()
    }


def _turn(peer: Peer, raw: Pixels, ready: NDArray[np.float32]) -> Callable[[], tuple[float, float]]:
    """A function that measures one peer for LEAST seconds -> pairs/s, µs of CPU time per pair."""
    for _ in range(3):
        peer.answer(raw, ready)
    repeats = max(1, round(LEAST / seconds_of(lambda: peer.answer(raw, ready))))

    def turn() -> tuple[float, float]:
        time.sleep(PAUSE)
        peer.answer(raw, ready)
        began, spent = time.perf_counter(), time.process_time()
        for _ in range(repeats):
            peer.answer(raw, ready)
        answered = repeats * len(raw)
        return answered / (time.perf_counter() - began), 1e6 * (time.process_time() - spent) / answered

    return turn


def torch_peers(net: JointNetwork | TwinNetwork) -> Iterator[Peer]:
    """Eager and compiled, on all cores."""
    torch.set_num_threads(cores())

    def answer(net: Any) -> Answer:
        def run(raw: Pixels, ready: NDArray[np.float32]) -> NDArray[np.float32]:
            with torch.inference_mode():
                found: NDArray[np.float32] = net(torch.from_numpy(ready)).main.sigmoid().numpy()
                return found

        return run

    yield Peer(name="PyTorch eager, fp32", answer=answer(net))
    yield Peer(name="PyTorch compiled, fp32", answer=answer(torch.compile(net, dynamic=False)))


def ours(predictor: Predictor) -> Answer:
    """Answers from raw pixels, as a client sends them."""
    return lambda raw, ready: predictor.probability(raw)


def our_peers(files: dict[Precision, Path]) -> Iterator[Peer]:
    """The predictor and ONNX Runtime with their defaults, on the same file."""
    for precision, path in files.items():
        yield Peer(name=f"pairnet, {precision}", answer=ours(Predictor(path, provider="cpu")))
    yield Peer(name=f"pairnet, fp32{AGAIN}", answer=ours(Predictor(files["fp32"], provider="cpu")))
    split = Predictor(files["fp32"], provider="cpu", threads_per_run=cores())
    yield Peer(name="pairnet, fp32, each run on all threads", answer=ours(split))
    session = ort.InferenceSession(str(files["fp32"]), providers=["CPUExecutionProvider"])
    yield Peer(name="ONNX Runtime's defaults, fp32", answer=lambda raw, ready: session.run(None, {"pair": raw}))


def openvino_peers(files: dict[Precision, Path]) -> Iterator[Peer]:
    """OpenVINO on the same files, in whole batches and in chunks; no peers if it is not installed."""
    try:
        import openvino
    except ModuleNotFoundError:
        sys.stderr.write("openvino is not installed, its rows are left out: pip install -e '.[peers]'\n")
        return

    core, chunk = openvino.Core(), 64

    def compiled(path: Path, hint: str, threads: int, streams: int) -> Any:
        settings = {"INFERENCE_PRECISION_HINT": hint, "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": streams}
        return core.compile_model(str(path), "CPU", settings)

    def whole(model: Any) -> Answer:
        request = model.create_infer_request()
        return lambda raw, ready: request.infer({"pair": raw})

    def in_chunks(model: Any) -> Answer:
        queue = openvino.AsyncInferQueue(model, cores())

        def run(raw: Pixels, ready: NDArray[np.float32]) -> None:
            for start in range(0, len(raw), chunk):
                queue.start_async({"pair": raw[start : start + chunk]})
            queue.wait_all()

        return run

    version, joint = openvino.__version__.split("-")[0], files["fp32"]
    kinds = (("fp32", joint, "f32"), ("bf16", joint, "bf16"), ("int8 (our file)", files["int8"], "f32"))
    for label, path, hint in kinds:
        name, parts = f"OpenVINO {version}, {label}", compiled(path, hint, cores(), cores())
        yield Peer(name=name, answer=whole(compiled(path, hint, cores(), 1)))
        yield Peer(name=f"{name}, in chunks of {chunk}", answer=in_chunks(parts))


def cuda_peers(net: JointNetwork | TwinNetwork, files: dict[Precision, Path]) -> Iterator[Peer]:
    """PyTorch and our predictor on the GPU, from host memory to host memory."""

    def answer(net: Any, dtype: torch.dtype, *, tf32: bool) -> Answer:
        def run(raw: Pixels, ready: NDArray[np.float32]) -> NDArray[np.float32]:
            torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = tf32
            with torch.inference_mode():
                pair = torch.from_numpy(ready).cuda().to(dtype)
                found: NDArray[np.float32] = net(pair).main.sigmoid().float().cpu().numpy()
                return found

        return run

    for precision, dtype in (("fp32", torch.float32), ("tf32", torch.float32), ("fp16", torch.float16)):
        typed = deepcopy(net).cuda().to(dtype)
        for label, made in (
            ("eager", typed),
            ("compiled", torch.compile(typed, dynamic=False)),
            ("CUDA-graphed", torch.compile(typed, dynamic=False, mode="reduce-overhead")),
        ):
            run = answer(made, dtype, tf32=precision == "tf32")
            yield Peer(name=f"PyTorch {label}, {precision}", answer=run, precision=precision)
    for precision in ("fp32", "tf32", "fp16"):
        path = files["fp16" if precision == "fp16" else "fp32"]
        options = {"use_tf32": "1" if precision == "tf32" else "0"}
        for label, graphs in (("", ()), (", CUDA graphs", BATCHES)):
            predictor = Predictor(path, provider="cuda", provider_options=options, graph_batches=graphs)
            yield Peer(name=f"pairnet on CUDA{label}, {precision}", answer=ours(predictor), precision=precision)


def rank_against_all_pairs(path: Path, images: Pixels, rounds: int) -> tuple[float, float, bool]:
    """Seconds of Predictor.rank (median), seconds of all pairs through the joint graph (once), whether scores agree."""
    count = len(images)
    with Predictor(path, provider="cpu") as predictor:
        predictor.rank(images)
        seconds = []
        for _ in with_progress(range(rounds), "ranking"):
            began = time.perf_counter()
            score = predictor.rank(images).score
            seconds.append(time.perf_counter() - began)
        table = np.empty((count, count), np.float32)
        pairs = np.empty((count, 2, *images.shape[1:]), np.uint8)
        pairs[:, 1] = images
        began = time.perf_counter()
        for i in range(count):
            pairs[:, 0] = images[i]
            table[i] = predictor.probability(pairs)
        whole = time.perf_counter() - began
    expected = ((table + 1 - table.T) / 2).mean(1)
    return float(np.median(seconds)), whole, bool(np.abs(score - expected).max() < 1e-4)


def trained(runs: Path, scratch: Path, data: str) -> tuple[RunRecord, JointNetwork | TwinNetwork, Path, Dataset]:
    """The newest saved run of VARIANT with its data, or one trained for an epoch on `data`."""
    saved = newest(runs, find_variant(VARIANT)).newest
    if saved is not None:
        folder = saved[0]
    else:
        dataset = load_dataset(data)
        run = Run(variant=replace(find_variant(VARIANT), recipe=Recipe(epochs=1)), images=dataset.images)
        folder = train_and_save(run, dataset, scratch).folder
    found = load_run(folder)
    return found.record, found.network, folder, load_dataset(found.record.run.images.source)


def main(
    runs: Annotated[Path, typer.Option(help="Folder of saved runs.")] = Path("runs"),
    data: Annotated[str, typer.Option(help="Images for a network that has to be trained.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    peers: Annotated[str, typer.Option(help="Only peers whose name matches this regular expression.")] = "",
    images: Annotated[int, typer.Option(help="Images to rank; 0 to leave it out.")] = 1000,
    rounds: Annotated[int, typer.Option(help="Measurements of each peer.")] = 15,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print Markdown.")] = False,
) -> None:
    """Measures all peers and prints both tables."""
    torch._dynamo.config.recompile_limit = 64  # for each precision, mode and batch; beyond it, torch would run eagerly
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    console = Console(width=140, highlight=False)
    with tempfile.TemporaryDirectory() as scratch:
        record, net, folder, dataset = trained(runs, Path(scratch), data)
        files: dict[Precision, Path] = {p: Path(scratch) / f"{p}.onnx" for p in ("fp32", "fp16", "int8")}
        for precision, path in with_progress([*files.items()], "export"):
            export(
                folder,
                path,
                dataset=dataset,
                precision=precision,
                split=precision == "fp32",
                max_drop=100,
                max_changed=100,
            )
        peaks = dict[str, float]()
        if device == "cpu":
            found_peers = [*torch_peers(net), *our_peers(files), *openvino_peers(files)]
        else:
            found_peers = [*cuda_peers(net, files)]
            peaks = {precision: matrix_product(precision) for precision in ("fp32", "tf32", "fp16")}
        chosen = [peer for peer in found_peers if re.search(peers, peer.name)]
        test, found = dataset.test, Moments(mean=record.mean, std=record.std)
        pairs = draw_pairs(test, count=max(BATCHES), seed=record.run.seeds.test_draw)
        raw, ready = (as_input(pairs, test, found, kind) for kind in ("images", "pairs"))
        speeds = {batch: measured(chosen, raw[:batch], ready[:batch], rounds) for batch in BATCHES}
        if images:
            ranked, whole, same = rank_against_all_pairs(files["fp32"], test.take(np.arange(images))[0], rounds)
    largest = speeds[max(BATCHES)]
    headings = ["", *(f"batch {batch}, pairs/s" for batch in BATCHES), "CPU µs/pair"]
    rows = [[peer.name, *(str(speeds[batch].get(peer.name, "failed")) for batch in BATCHES)] for peer in chosen]
    rows = [[*row, f"{largest[row[0]].cost:.1f}" if row[0] in largest else ""] for row in rows]
    if peaks:
        headings.append("of a matrix product")
        work = 2 * count_multiply_adds(find_variant(VARIANT))  # of the network; the file omits what pooling drops
        for row, peer in zip(rows, chosen, strict=True):
            if peer.precision and peer.name in largest:
                row.append(f"{100 * largest[peer.name].rate.median * work / peaks[peer.precision]:.2f} %")
            else:
                row.append("")
    show(console, headings, rows, markdown=markdown)
    versions = f"torch {torch.__version__}, ONNX Runtime {ort.__version__}"
    console.print(f"median (quartiles) of {rounds} rounds, {VARIANT}, {hardware()}; {versions}")
    if images:
        console.print(
            f"{images:,} images ranked in {ranked:.3f} s (median of {rounds}); all {images**2:,} pairs through the "
            f"joint graph in {whole:.1f} s (once): {whole / ranked:.0f} times as long; same scores: {same}"
        )


def show(console: Console, headings: list[str], rows: list[list[str]], *, markdown: bool) -> None:
    """Prints a table for the terminal or as Markdown."""
    if markdown:
        sys.stdout.write(markdown_table(headings, rows) + "\n")
        return
    table = Table(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row)
    console.print(table)


if __name__ == "__main__":
    typer.run(main)
