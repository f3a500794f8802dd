"""`pairnet import`: weights that were trained elsewhere, evaluated and saved among the runs as what they are."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import Data, DataDir, Json, Pairs, Runs, TestPairs, VariantFile, announce
from pairnet.cli.output import note, print_json, print_line, printable
from pairnet.cli.variants import choose_variant
from pairnet.wording import counted


def import_network(
    weights: Annotated[Path, typer.Argument(help="Safetensors file with the tensors of a network.")],
    variant: Annotated[str, typer.Option(help="Its structure: a name that `pairnet variants` lists.")],
    file: VariantFile = None,
    origin: Annotated[str, typer.Option(help="Who or what trained it, on one line; it becomes part of its name.")] = "",
    data: Data = "auto",
    data_dir: DataDir = None,
    pairs: Pairs = None,
    test_pairs: TestPairs = None,
    seed: Annotated[
        int, typer.Option(help="Number of the draw, as of `pairnet train`: its test pairs, and its training pairs.")
    ] = 0,
    mean: Annotated[
        float | None,
        typer.Option(help="Mean of the pixels in its training, 0 to 255.", show_default="of the training pairs"),
    ] = None,
    std: Annotated[
        float | None, typer.Option(help="Standard deviation of the pixels.", show_default="of the training pairs")
    ] = None,
    runs: Runs = Path("runs"),
    as_json: Json = False,
) -> None:
    """Evaluate and save a network that was trained elsewhere.

    Takes weights for a known structure, measures them on the test pairs of a draw, and saves them with a record that
    says where they come from: no epochs, no recipe, the SHA-256 of the weights. `pairnet export --run` then writes a
    file that says the same. Pixels are normalised with --mean and --std, or with those of the draw's training pairs.
    """
    from pairnet.data.drawing import check_images, choose_sizes
    from pairnet.data.pairs import Moments
    from pairnet.data.sources import load_dataset
    from pairnet.records.elsewhere import Elsewhere
    from pairnet.records.run import Run

    Elsewhere(weights="", origin=origin, mean=mean, std=std)  # refused before torch is imported
    pixels = None if mean is None or std is None else Moments(mean=mean, std=std)
    chosen = choose_variant(variant, file)
    dataset = load_dataset(data, data_dir=data_dir)
    sizes = choose_sizes(dataset, pairs=pairs, test_pairs=test_pairs)
    run = Run(variant=chosen, images=dataset.images, pairs=sizes.pairs, test_pairs=sizes.test_pairs, seed=seed)
    check_images(run, dataset)
    announce(dataset, sizes)
    from pairnet.study.imported import import_and_save  # imports torch, which takes seconds

    saved = import_and_save(weights, run, dataset, runs, pixels=pixels, origin=origin)
    record = saved.record
    drawn = f"of the {counted(run.pairs, 'training pair')} of draw {seed}; --mean and --std state others"
    whose = drawn if pixels is None else "as stated"
    note(f"pixels {record.mean:.4f} mean, {record.std:.4f} standard deviation, {whose}")
    if as_json:
        print_json({"folder": str(saved.folder), **record.to_dict()})
        return
    where = f"saved in {saved.folder}" if saved.fresh else f"{saved.folder} holds this network already"
    print_line(f"{printable(record.run.name)}: test accuracy {record.accuracy:.4f}, {where}")
