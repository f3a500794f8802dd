"""`pairnet train` and `pairnet evaluate`: one network."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import (
    Data,
    DataDir,
    Device,
    Epochs,
    Json,
    Measurements,
    Pairs,
    Runs,
    TestPairs,
    VariantFile,
    announce,
    number_of,
)
from pairnet.cli.output import console, note, print_json, print_line
from pairnet.cli.variants import choose_variant

DIFFERENCES = "one or two pairs may differ with another version of torch or kind of CPU; more, and the run is damaged"


def train(
    variant: Annotated[str, typer.Argument(help="A name that `pairnet variants` lists.")],
    file: VariantFile = None,
    data: Data = "auto",
    data_dir: DataDir = None,
    epochs: Epochs = None,
    pairs: Pairs = None,
    test_pairs: TestPairs = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw, the initial weights and the order of batches.")] = 0,
    measurements: Measurements = "5",
    device: Device = "auto",
    runs: Runs = Path("runs"),
    force: Annotated[bool, typer.Option("--force", help="Train again if the same run is there.")] = False,
    as_json: Json = False,
) -> None:
    """Train one network and save it with its record.

    Weights and record are written to a folder of their own in the folder --runs.
    """
    from pairnet.data.drawing import choose_sizes
    from pairnet.data.sources import load_dataset
    from pairnet.models.variants import with_epochs
    from pairnet.records.run import Run
    from pairnet.training.device import resolve_device

    measured = number_of(measurements)
    chosen = with_epochs(choose_variant(variant, file), epochs)
    device = resolve_device(device)
    dataset = load_dataset(data, data_dir=data_dir)
    sizes = choose_sizes(dataset, pairs=pairs, test_pairs=test_pairs)
    run = Run(
        variant=chosen,
        images=dataset.images,
        pairs=sizes.pairs,
        test_pairs=sizes.test_pairs,
        seed=seed,
        device=device,
        measurements=measured or chosen.recipe.epochs,
    )
    announce(dataset, sizes)
    from pairnet.cli.progress import run_display
    from pairnet.study.saved import train_and_save  # imports torch, which takes seconds: after everything was checked

    with run_display(console(stderr=True), run) as display:
        saved = train_and_save(run, dataset, runs, force=force, on_epoch=display)
    if not saved.fresh:
        note(f"{saved.folder} holds this run already; --force trains it again")
    if as_json:
        print_json({"folder": str(saved.folder), **saved.record.to_dict()})
    else:
        print_line(f"{variant}: test accuracy {saved.record.accuracy:.4f}, saved in {saved.folder}")


def evaluate(
    run: Annotated[Path, typer.Argument(help="Folder of a saved run.")],
    data: Annotated[str | None, typer.Option(help="Other images than the run's.", show_default="the run's")] = None,
    data_dir: DataDir = None,
    as_json: Json = False,
) -> None:
    """Measure a saved network on its test draw.

    On the run's own images this compares with the recorded accuracy, and the exit status is 1 if they differ. On other
    images, given with --data, there is nothing to compare: pairs are drawn from their test images with the run's seed,
    and the exit status is 0.
    """
    from pairnet.data.sources import load_dataset
    from pairnet.records.folders import load_record

    load_record(run)
    from pairnet.study.saved import evaluate as evaluate_run
    from pairnet.study.saved import load_run  # imports torch, which takes seconds: after the record was checked

    trained = load_run(run)
    record = trained.record
    dataset = load_dataset(data or record.run.images.source, data_dir=data_dir)
    accuracy = evaluate_run(trained, dataset, any_images=data is not None)
    recorded = record.accuracy if dataset.checksum == record.run.images.checksum else None
    if as_json:
        print_json({"run": str(run), "data": dataset.name, "accuracy": accuracy, "recorded": recorded})
    else:
        compared = f"recorded on {record.run.images.name}" if recorded is None else "recorded"
        print_line(
            f"{record.run.variant.name} on {data or dataset.name}: {accuracy:.4f} ({compared}: {record.accuracy:.4f})"
        )
    if recorded is not None and accuracy != recorded:
        note(f"expected the recorded accuracy, got a difference of {abs(accuracy - recorded):.4f}: {DIFFERENCES}")
        raise typer.Exit(1)
