"""`pairnet train` and `pairnet evaluate`: one network."""

from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Annotated, Any

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
    note_folders,
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
    from pairnet.data.drawing import check_images, choose_sizes
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
    check_images(run, dataset)
    announce(dataset, sizes)
    from pairnet.cli.progress import run_display
    from pairnet.study.saved import train_and_save  # imports torch, which takes seconds: after everything was checked

    with run_display(console(stderr=True), run) as display:
        saved = train_and_save(run, dataset, runs, force=force, on_epoch=display)
    if not saved.fresh:
        note(
            f"{saved.folder} holds this run already; --force trains it again, "
            f"`pairnet export --run {saved.folder}` exports it, also if another run is newer"
        )
    if as_json:
        print_json({"folder": str(saved.folder), **saved.record.to_dict()})
    else:
        where = f"saved in {saved.folder}" if saved.fresh else f"{saved.folder} holds this run already"
        print_line(f"{variant}: test accuracy {saved.record.accuracy:.4f}, {where}")


def evaluate(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of saved runs.")],
    data: Annotated[str | None, typer.Option(help="Other images than the run's.", show_default="the run's")] = None,
    data_dir: DataDir = None,
    seeds: Annotated[
        list[int] | None,
        typer.Option("--seed", help="Test pairs of this draw; may be repeated.", show_default="the run's own"),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure saved networks on their test draws.

    On the run's own images this compares with the recorded accuracy, and the exit status is 1 if they differ. On other
    images, given with --data, or other draws, given with --seed, there is nothing to compare: as many pairs are drawn
    from the test images, with the run's seed or with each that is given, and the exit status is 0. Nothing is recorded.
    """
    from pairnet.data.sources import load_dataset
    from pairnet.records.folders import load_record

    for run in runs:
        load_record(run)
    from pairnet.study.saved import evaluate as evaluate_run
    from pairnet.study.saved import load_run  # imports torch, which takes seconds: after the records were checked

    images = cache(partial(load_dataset, data_dir=data_dir))  # loads each source once
    found: list[dict[str, Any]] = []
    differences: list[str] = []
    draws: list[int | None] = [*seeds] if seeds else [None]
    for run, seed in product(runs, draws):
        trained = load_run(run)
        record = trained.record
        if data is None and seed == draws[0]:
            note_folders([record.run.images])
        dataset = images(data or record.run.images.source)
        accuracy = evaluate_run(trained, dataset, any_images=data is not None, seed=seed)
        own = seed is None or (record.run.own_seeds is None and seed == record.run.seed)
        recorded = record.accuracy if own and dataset.checksum == record.run.images.checksum else None
        entry = {"run": str(run), "data": dataset.name, "accuracy": accuracy, "recorded": recorded}
        found.append(entry if seed is None else {**entry, "draw": seed})
        which = f"{run}: " if len(runs) > 1 else ""
        if not as_json:
            compared = "recorded" if own else f"recorded on {record.run.repetition}"
            if dataset.checksum != record.run.images.checksum:
                compared = f"recorded on {record.run.images.title}"
            name = record.run.name if record.run.elsewhere is not None else record.run.variant.name
            on = f"{name} on {data or dataset.images.title}{'' if seed is None else f', draw {seed}'}"
            print_line(f"{which}{on}: {accuracy:.4f} ({compared}: {record.accuracy:.4f})")
        if recorded is not None and accuracy != recorded:
            differences.append(
                f"{which}expected the recorded accuracy, got a difference of {abs(accuracy - recorded):.4f}: "
                f"{DIFFERENCES}"
            )
    if as_json:
        print_json(found if len(found) > 1 else found[0])
    for difference in differences:
        note(difference)
    if differences:
        raise typer.Exit(1)
