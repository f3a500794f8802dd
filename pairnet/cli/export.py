"""`pairnet export` (also `pairnet-export`): a trained network as a validated ONNX file."""

from dataclasses import asdict
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape
from rich.table import Table

from pairnet.artifact.design import DEFAULT_OPSET, NEWEST_OPSET, OLDEST_OPSET
from pairnet.cli.common import Data, DataDir, Json, Runs, console, print_json
from pairnet.exporting.plan import DEFAULT_MAX_DROP, plan

if TYPE_CHECKING:
    from rich.console import Console

    from pairnet.data.sources import Dataset
    from pairnet.exporting.export import Exported
    from pairnet.models.variants import Variant
    from pairnet.study.records import RunRecord


def export(
    model: Annotated[
        str | None, typer.Option(help="A row of `pairnet variants`: its newest run, or a new one.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a saved run, instead of --model.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Every variant, into the folder --output.")] = False,
    output: Annotated[Path | None, typer.Option(help="File to write.", show_default="MODEL.onnx")] = None,
    input_kind: Annotated[
        Literal["images", "pairs"],
        typer.Option("--input", help="Raw pixels, uint8 28x28, or pooled and normalised ones, float32 14x14."),
    ] = "images",
    precision: Annotated[Literal["fp32", "fp16", "int8"], typer.Option(help="Of weights and arithmetic.")] = "fp32",
    with_digits: Annotated[bool, typer.Option("--with-digits", help="Add the output `digits` [N,2,10].")] = False,
    split: Annotated[bool, typer.Option("--split", help="Also NAME.encoder.onnx and NAME.head.onnx.")] = False,
    opset: Annotated[int, typer.Option(help=f"ONNX opset, {OLDEST_OPSET} to {NEWEST_OPSET}.")] = DEFAULT_OPSET,
    max_drop: Annotated[float, typer.Option(help="Percentage points that fp16 or int8 may lose.")] = DEFAULT_MAX_DROP,
    force: Annotated[bool, typer.Option("--force", help="Replace what is there.")] = False,
    data: Data = "auto",
    data_dir: DataDir = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Write a trained network as one self-contained ONNX file, validated before it appears.

    Without --run it takes the newest run of the variant that `train` or `export` kept in `runs` (with --data: on these
    images), or trains one. A study keeps records, no nets.
    """
    from pairnet.data.sources import load_dataset
    from pairnet.exporting.export import Exported
    from pairnet.exporting.export import export as export_run
    from pairnet.models.variants import VARIANTS, find_variant
    from pairnet.study.saved import load_record, newest

    if (model is not None) + (run is not None) + every != 1:
        raise ValueError("expected one of --model NAME, --run FOLDER and --all")
    notes, results = console(stderr=True), list[Exported]()
    images = cache(partial(load_dataset, data_dir=data_dir))  # each source once

    names = [variant.name for variant in VARIANTS] if every else [find_variant(model).name if model else ""]
    for name in names:
        variant = load_record(run).variant if run else find_variant(name)
        options: Any = {
            "input_kind": input_kind,
            "precision": precision,
            "with_digits": with_digits and (not every or variant.classifies_digits),
            "split": split and (not every or (variant.shared and not variant.net)),
            "opset": opset,
            "max_drop": max_drop,
            "force": force,
        }
        target = _target(output, variant.name, every=every)
        plan(variant, target, **options)  # before anything is trained for it
        wanted = images(data).checksum if data != "auto" or data_dir is not None else None
        folder = run or newest(runs, name, checksum=wanted) or _train(variant, images(data), runs, notes)
        record = load_record(folder)
        notes.print(f"{record.variant.name}: from {escape(str(folder))}, {_told(record)}")
        results += export_run(folder, target, dataset=images(record.data.source), **options)
    if as_json:
        print_json([{**asdict(each), "paths": list(map(str, each.paths))} for each in results])
    else:
        console().print(_table(results))


def _told(record: "RunRecord") -> str:
    """What makes one run another than its variant's other runs."""
    epochs, data, seed = len(record.epochs), record.data.name, record.seeds.weights
    return f"{epochs} epochs on {record.pairs:,} pairs of {data}, seed {seed}, test accuracy {record.accuracy:.4f}"


def _train(variant: "Variant", dataset: "Dataset", runs: Path, notes: "Console") -> Path:
    """A fresh run with the variant's own recipe."""
    from pairnet.cli.progress import RunDisplay
    from pairnet.data.sources import describe
    from pairnet.study.runs import Run
    from pairnet.study.saved import train_and_save

    notes.print(f"{variant.name}: no network kept in {escape(str(runs))}, so one is trained now")
    notes.print(f"data   {escape(describe(dataset))}")
    run = Run(variant=variant)
    with RunDisplay(notes, run) as display:
        return train_and_save(run, dataset, runs, on_epoch=display).folder


def _target(output: Path | None, variant: str, *, every: bool) -> Path:
    if every:
        return (output or Path()) / f"{variant}.onnx"
    target = output or Path(f"{variant}.onnx")
    if target.is_dir():
        return target / f"{variant}.onnx"
    if target.suffix != ".onnx":
        raise ValueError(f"--output must end in .onnx or be a folder, not {target}")
    return target


def _table(found: "list[Exported]") -> Table:
    table = Table("file", "size", "precision", "test accuracy", "in PyTorch", "changed", "largest difference")
    for each in found:
        table.add_row(
            "\n".join(escape(str(path)) for path in each.paths),
            "\n".join(f"{path.stat().st_size / 1000:,.0f} kB" for path in each.paths),
            each.precision,
            f"{each.accuracy:.4f}",
            f"{each.torch_accuracy:.4f}",
            f"{each.changed} of {each.pairs}",
            f"{each.difference:.1e}",
        )
    return table
