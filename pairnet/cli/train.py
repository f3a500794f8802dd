"""`pairnet train`, `pairnet evaluate` and `pairnet variants`: one network."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pairnet.cli.common import Data, DataDir, Device, Epochs, Json, Pairs, Runs, console, print_json
from pairnet.cli.progress import RunDisplay


def train(
    variant: Annotated[str, typer.Argument(help="A row of `pairnet variants`.")],
    data: Data = "auto",
    data_dir: DataDir = None,
    epochs: Epochs = None,
    pairs: Pairs = 1000,
    seed: Annotated[int, typer.Option(help="Of the draw, the initial weights and the order of batches.")] = 0,
    device: Device = "auto",
    runs: Runs = Path("runs"),
    force: Annotated[bool, typer.Option("--force", help="Train again what is there already.")] = False,
    as_json: Json = False,
) -> None:
    """Train one network, and save its weights and its record in a folder of their own."""
    from pairnet.data.sources import describe, load_dataset
    from pairnet.models.variants import find_variant
    from pairnet.study.runs import Run
    from pairnet.study.saved import train_and_save
    from pairnet.training.loop import resolve_device

    row = find_variant(variant)
    if epochs is not None:
        row = replace(row, recipe=replace(row.recipe, epochs=epochs))
    run = Run(variant=row, pairs=pairs, seed=seed, device=resolve_device(device))
    dataset = load_dataset(data, data_dir=data_dir)
    notes = console(stderr=True)
    notes.print(f"data   {escape(describe(dataset))}")
    with RunDisplay(notes, run) as display:
        saved = train_and_save(run, dataset, runs, force=force, on_epoch=display)
    if not saved.fresh:
        notes.print(f"{escape(str(saved.folder))} holds this very run already; --force trains it again")
    if as_json:
        print_json({"folder": str(saved.folder), **asdict(saved.record)})
    else:
        console().print(f"{variant}: test accuracy {saved.record.accuracy:.4f}, saved in {escape(str(saved.folder))}")


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a saved run.")],
    data: Annotated[
        str | None, typer.Option(help="Other images than the run's own.", show_default="the run's own")
    ] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Load a saved network and measure it on its recorded test draw; exits with 1 when the accuracy is another one."""
    from pairnet.data.sources import load_dataset
    from pairnet.study.saved import evaluate as evaluate_run
    from pairnet.study.saved import load_run

    trained = load_run(run)
    record = trained.record
    dataset = load_dataset(data or record.data.source, data_dir=data_dir)
    accuracy = evaluate_run(trained, dataset, any_images=data is not None)
    if as_json:
        print_json({"run": str(run), "data": dataset.name, "accuracy": accuracy, "recorded": record.accuracy})
    else:
        console().print(f"{record.variant.name} on {dataset.name}: {accuracy:.4f} (recorded {record.accuracy:.4f})")
    if data is None and accuracy != record.accuracy:
        raise typer.Exit(1)


def variants(
    long: Annotated[bool, typer.Option("--long", help="Show structures, in the paper's notation, too.")] = False,
    as_json: Json = False,
) -> None:
    """List the networks: parameters, the paper's count, multiply-adds, structure."""
    from pairnet.models import paper
    from pairnet.models.variants import check, count_multiply_adds, count_parameters, list_variants

    for variant in list_variants():
        check(variant)
    rows = [
        {
            "name": variant.name,
            "structure": variant.structure,
            "parameters": count_parameters(variant),
            "paper_parameters": paper.PARAMETERS.get(variant.name),
            "multiply_adds": count_multiply_adds(variant),
        }
        for variant in list_variants()
    ]
    if as_json:
        print_json(rows)
        return
    caption = "" if long else "--long shows structures"
    table = Table("variant", title="The table of variants", title_justify="left", caption=caption)
    for heading in ("parameters", "paper", "multiply-adds"):
        table.add_column(heading, justify="right", no_wrap=True)
    if long:
        table.add_column("structure")
    for row in rows:
        counts = (row["parameters"], row["paper_parameters"], row["multiply_adds"])
        structure = [escape(str(row["structure"]))] if long else []
        table.add_row(str(row["name"]), *("–" if n is None else f"{n:,}" for n in counts), *structure)
    console().print(table)
