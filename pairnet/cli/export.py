"""`pairnet export` (also `pairnet-export`): a trained network as a validated ONNX file."""

import shlex
from dataclasses import asdict
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pairnet.artifact.design import DEFAULT_OPSET, NEWEST_OPSET, OLDEST_OPSET
from pairnet.cli.common import Data, DataDir, Json, Runs, VariantFile, announce
from pairnet.cli.failures import FAILED, translate
from pairnet.cli.output import console, note, plain_table, print_json, printable, unbroken
from pairnet.cli.variants import choose_variant
from pairnet.errors import ArgumentError, DataError, ExportError, RecordError, TrainingError
from pairnet.exporting.plan import DEFAULT_MAX_CHANGED, DEFAULT_MAX_DROP, plan_files
from pairnet.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from pairnet.data.sources import Dataset
    from pairnet.exporting.export import Exported
    from pairnet.models.variants import Variant
    from pairnet.records.record import RunRecord

DEFAULT_RUNS = Path("runs")
NAMED = 5
"""Number of folders that a message names."""


def export(
    context: typer.Context,
    model: Annotated[
        str | None, typer.Option(help="Name of a variant: its newest run; if there is none, one is trained.")
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Folder of a saved run, instead of --model.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Export every variant into the folder --output.")] = False,
    file: VariantFile = None,
    output: Annotated[
        Path | None, typer.Option(help="File to write.", show_default="MODEL.onnx, MODEL.fp16.onnx, MODEL.int8.onnx")
    ] = None,
    input_kind: Annotated[
        Literal["images", "pairs"],
        typer.Option("--input", help="Raw pixels, uint8 28x28, or pooled and normalised ones, float32 14x14."),
    ] = "images",
    precision: Annotated[
        Literal["fp32", "fp16", "int8"], typer.Option(help="Type of weights and arithmetic.")
    ] = "fp32",
    with_digits: Annotated[bool, typer.Option("--with-digits", help="Add the output digits [N,2,10].")] = False,
    split: Annotated[bool, typer.Option("--split", help="Also write NAME.encoder.onnx and NAME.head.onnx.")] = False,
    opset: Annotated[int, typer.Option(help=f"ONNX opset, {OLDEST_OPSET} to {NEWEST_OPSET}.")] = DEFAULT_OPSET,
    max_drop: Annotated[
        float | None,
        typer.Option(
            help="Largest loss of accuracy in fp16 or int8, in percentage points.", show_default=f"{DEFAULT_MAX_DROP:g}"
        ),
    ] = None,
    max_changed: Annotated[
        float | None,
        typer.Option(
            help="Largest share of decisions that fp16 or int8 may change, in percent.",
            show_default=f"{DEFAULT_MAX_CHANGED:g}",
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace existing files; nothing is trained again for it.")
    ] = False,
    train: Annotated[bool, typer.Option("--train", help="Train a new network, also if there are runs.")] = False,
    data: Data = "auto",
    data_dir: DataDir = None,
    runs: Runs = DEFAULT_RUNS,
    as_json: Json = False,
) -> None:
    """Write a trained network as a validated ONNX file.

    The file is self-contained and appears only after its validation. With --model, it is the network of that name in
    the folder --runs that was saved last, whatever its recipe and images; with --data, the last one trained on these
    images. If there is none of that name at all, or with --train, one is trained with the variant's own recipe; without
    --train, a folder --runs that does not exist is refused. Studies save records, no networks. With --all, the others
    are written if one is refused; the exit status is then 1.
    """
    from pairnet.data.sources import load_dataset
    from pairnet.models.variants import list_variants
    from pairnet.records.folders import load_record, saved_at

    _check_chosen(model, run, every, context.args)
    if run is not None and train:
        raise ArgumentError("expected `model` or `every` with `train`, got `run`: leave out one of them")
    if file is not None and model is None:
        raise ArgumentError("expected `model` with `file`, got none: name a variant of the file, or leave out `file`")
    if run is None and not train and runs != DEFAULT_RUNS and not runs.exists():
        raise ArgumentError(
            f"`runs`: expected a folder of trained networks, got {runs}, which does not exist: correct its name, or "
            "train a new network with `train`"
        )
    images = cache(partial(load_dataset, data_dir=data_dir))  # loads each source once
    asked = data if data != "auto" or data_dir is not None else None
    chosen = list(list_variants()) if every else [choose_variant(model, file)] if model else []
    planned: list[tuple[Variant, Path | None, Path, Any]] = []
    for variant in chosen or [load_record(run).run.variant for run in (run,) if run]:
        options: Any = {
            "input_kind": input_kind,
            "precision": precision,
            "with_digits": with_digits and (not every or variant.classifies_digits),
            "split": split and (not every or (variant.shared and not variant.net)),
            "opset": opset,
            "max_drop": DEFAULT_MAX_DROP if max_drop is None else max_drop,
            "max_changed": DEFAULT_MAX_CHANGED if max_changed is None else max_changed,
            "force": force,
        }
        target = _target(output, variant.name, precision, every=every)
        plan_files(variant, target, **options)  # fails before anything is trained for it, and before torch is imported
        folder = run if run or train else _newest(variant, images(asked) if asked else None, runs)
        planned.append((variant, folder, target, options))
    for name, given in (("max_drop", max_drop), ("max_changed", max_changed)):
        if given is not None and precision == "fp32":
            raise ArgumentError(
                f"expected `precision` fp16 or int8 with `{name}`, got fp32, which is compared value by value: "
                "leave out one of them"
            )
    from pairnet.exporting.export import export as export_run

    named = {each.name: each.opts[0] for each in context.command.params if each.name}
    results: list[Exported] = []
    refused: dict[str, str] = {}
    try:
        for variant, chosen_run, target, options in planned:
            if chosen_run is None and not train:
                note(f"{variant.name}: no network of that name in {runs}, so one is trained now")
            try:
                folder = chosen_run or _train(variant, images(data), runs)
                record = load_record(folder)
                date = datetime.fromtimestamp(saved_at(folder)).strftime("%Y-%m-%d %H:%M:%S")
                note(f"{variant.name}: from {folder}, saved {date}, {_described(record, variant)}")
                results += export_run(folder, target, dataset=images(asked or record.run.images.source), **options)
            except (ExportError, TrainingError, RecordError, DataError) as error:  # of this one; others may do
                if not every:
                    raise
                refused[variant.name] = translate(str(error), named)
    finally:  # what was written stays, so it is reported, whatever ends the rest
        if results or refused:
            _report(results, as_json=as_json)
        for name, reason in refused.items():
            note(f"{name}: not written: {reason}")
    if refused:
        note(f"wrote {len(planned) - len(refused)} of {len(planned)} variants: export each of the others with --model")
        raise typer.Exit(FAILED)


def _report(results: "list[Exported]", *, as_json: bool) -> None:
    if as_json:
        print_json([{**asdict(each), "paths": list(map(str, each.paths))} for each in results])
    elif results:
        console().print(_table(results))
        note(f"written to {printable(results[0].paths[0].parent.resolve())}")


def _check_chosen(model: str | None, run: Path | None, every: bool, more: "Sequence[str]") -> None:
    """ArgumentError unless exactly one of the options says what to export, and nothing else is named."""
    named = [f"`{name}`" for name, given in (("model", model), ("run", run), ("every", every)) if given]
    if more and run is not None:
        raise ArgumentError(
            f"expected one folder with `run`, got {len(more) + 1}, {run} and {', '.join(more)}: name one, or "
            "the newest by `model`"
        )
    if more:
        raise ArgumentError(
            f"expected options only, got {', '.join(more)}: name a variant with `model`, or a folder with `run`"
        )
    if len(named) != 1:
        raise ArgumentError(
            f"expected one of `model`, `run` and `every`, got {' and '.join(named) or 'none'}: "
            + ("name a variant with `model`, such as final_model" if not named else "leave out the others")
        )


def _described(record: "RunRecord", variant: "Variant") -> str:
    """What distinguishes a run from other runs of its variant."""
    run = record.run
    if run.elsewhere is not None:
        tested = f"{counted(run.tested, 'pair')} of {run.images.title}, seed {run.seed}"
        return f"{run.elsewhere.words}, tested on {tested}, test accuracy {record.accuracy:.4f}"
    own, recipe = asdict(variant.recipe), asdict(run.recipe)
    other = ", ".join(f"{name} {recipe[name]}" for name in own if recipe[name] != own[name] and name != "epochs")
    seed = f"seed {run.seed}" if run.own_seeds is None else run.repetition
    trained = f"{counted(len(record.epochs), 'epoch')} on {run.pairs:,} pairs of {run.images.title}, {seed}"
    return f"{trained}{f', {other}' if other else ''}, test accuracy {record.accuracy:.4f}"


def _newest(variant: "Variant", dataset: "Dataset | None", runs: Path) -> Path | None:
    """Folder of the newest run that fits, after lines that say which runs there are; None: there is none at all.

    Raises ArgumentError if there are only others: on other images, of another structure, or damaged.
    """
    from pairnet.records.folders import newest

    found = newest(runs, variant, checksum=dataset.checksum if dataset else None)
    damaged = ""
    if found.damaged:
        paths, reason = ", ".join(str(path) for path, _ in found.damaged), found.damaged[0][1]
        damaged = f"{counted(len(found.damaged), 'damaged folder')}, {paths}: {reason}"
    on = f" on {dataset.images.title}" if dataset else ""
    if found.newest is not None:
        if damaged:
            note(f"{variant.name}: left out {damaged}")
        if found.elsewhere:
            what, options = counted(len(found.elsewhere), "network"), _options(found.elsewhere)
            note(f"{variant.name}: left out {what} trained elsewhere: export one with {options}")
        if found.fitting > 1:
            note(f"{variant.name}: the newest of {counted(found.fitting, 'run')}{on} in {runs}")
        return found.newest[0]
    if found.other is not None:
        folder, record = found.other
        which = "of another structure" if record.run.variant.structure != variant.structure else "on other images"
        raise ArgumentError(
            f"expected a run of {variant.name}{on} in {runs}, got {counted(found.others, 'other run')}"
            f"{f' and {damaged}' if damaged else ''}; the newest is {which}, {folder}, {_described(record, variant)}: "
            "choose it with `run`, or train another one with `train`"
        )
    if damaged:
        raise ArgumentError(
            f"expected a run of {variant.name} in {runs}, got {damaged}: "
            "remove these folders, or train one with `train`"
        )
    return None


def _options(folders: "Sequence[Path]") -> str:
    """What to type for one of these folders."""
    more = f", and {len(folders) - NAMED} more" if len(folders) > NAMED else ""
    return f"{' or '.join(f'--run {shlex.quote(str(each))}' for each in folders[:NAMED])}{more}"


def _train(variant: "Variant", dataset: "Dataset", runs: Path) -> Path:
    """Folder of a run with the variant's own recipe, which is not trained twice."""
    from pairnet.cli.progress import run_display
    from pairnet.data.drawing import choose_sizes
    from pairnet.records.run import Run
    from pairnet.study.saved import train_and_save

    sizes = choose_sizes(dataset)
    announce(dataset, sizes)
    run = Run(variant=variant, images=dataset.images, pairs=sizes.pairs, test_pairs=sizes.test_pairs)
    with run_display(console(stderr=True), run) as display:
        saved = train_and_save(run, dataset, runs, on_epoch=display)
    if not saved.fresh:
        note(
            f"{variant.name}: {saved.folder} holds this very run already and is not trained again; "
            f"`pairnet train {variant.name} --force` does that, --force of export replaces files only"
        )
    return saved.folder


def _target(output: Path | None, variant: str, precision: str, *, every: bool) -> Path:
    name = f"{variant}.onnx" if precision == "fp32" else f"{variant}.{precision}.onnx"
    if every:
        return (output or Path()) / name
    target = output or Path(name)
    if target.is_dir():
        return target / name
    if target.suffix != ".onnx":
        raise ArgumentError(f"expected `output` to end in .onnx or to be a folder, got {target}")
    return target


def _table(found: "list[Exported]") -> "Table":
    digits = any(each.digits_changed is not None for each in found)
    table = plain_table(
        "file",
        *unbroken(
            "size", "type", "accuracy", "PyTorch", "changed", "further", *(["digits"] if digits else []), "differs"
        ),
        caption="accuracy: of the file on the run's test pairs, and of the network in PyTorch; changed: decisions that "
        "differ, on these and on further pairs of the test images; "
        f"{'digits: two for each of all these pairs, those that differ; ' if digits else ''}"
        "differs: the largest difference of any value",
        least=("type", "size", "differs", "PyTorch"),
    )
    for each in found:
        figures = [
            each.precision,
            f"{each.accuracy:.4f}",
            f"{each.torch_accuracy:.4f}",
            f"{each.changed} of {each.pairs}",
            f"{each.further_changed} of {each.further_pairs}" if each.further_pairs else "-",
            f"{each.difference:.1e}",
        ]
        if digits:
            figures.insert(-1, "-" if each.digits_changed is None else str(each.digits_changed))
        for number, path in enumerate(each.paths):  # the parts of one export have their figures in common
            size = f"{path.stat().st_size / 1000:,.0f} kB"
            table.add_row(printable(path.name), size, *(figures if number == 0 else [""] * len(figures)))
    return table
