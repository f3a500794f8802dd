"""pairnet: two handwritten digits, is the first equal to or less than the second?

A benchmark of weight sharing and auxiliary losses, from images to trained networks, ONNX files and their predictions.

Images and pairs
    load_dataset    load images: full MNIST, the 5,000 embedded ones, procedural digits, or IDX files -> Dataset
    Dataset         images to train on and images to test on, with their checksum and origin
    draw_pairs      draw pairs of images at random, reproducibly
    moments         mean and standard deviation of the pixels of pairs
    PairLoader      batches of pairs, warped and normalised, prepared in the background

Networks
    VARIANTS        the table of built-in variants
    Variant         the structure of a network in the paper's notation, and its recipe
    find_variant    a variant of the table by its name
    read_variants   read variants from a TOML file
    Recipe          how a network is trained: epochs, batch size, optimiser, losses
    Warp            how training images are warped
    build           a network in torch, with the weights that a seed gives it

Training
    Run             everything that is chosen for a run: variant, images, number of pairs, seed, fold, device
    Images          which images a run draws its pairs from: `dataset.images`
    Seeds           the seeds of a run that do not follow from the number of its draw
    train           train the network of one run -> TrainedRun
    TrainedRun      a trained network with the record of its run
    load_run        load a trained run from its folder
    import_weights  evaluate a network that was trained elsewhere -> TrainedRun
    save_weights    write the weights of a network as the file that import_weights reads
    run_study       execute many runs at once; continues after an interruption
    RunRecord       what a run was, where it ran, and what it measured
    read_records    read the records in a folder
    verify_runs     repeat recorded runs and compare the results with the records

Export and prediction
    export          write a trained network as a validated ONNX file
    Predictor       predict with such a file; needs no torch

Errors
    PairnetError    base of all errors that pairnet raises; `pairnet.errors` describes each one

A name is imported when it is first used: `import pairnet` loads neither torch nor NumPy.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from pairnet.version import __version__ as __version__

if TYPE_CHECKING:
    from pairnet.data.loader import PairLoader
    from pairnet.data.pairs import draw_pairs, moments
    from pairnet.data.sources import Dataset, load_dataset
    from pairnet.errors import (
        AccuracyError,
        ArgumentError,
        AxesError,
        CheckerError,
        ClosedError,
        DataError,
        DecisionsError,
        ExportError,
        GraphError,
        IdxError,
        InputError,
        InstallationError,
        MissingExtraError,
        ModelError,
        NamesError,
        NotationError,
        PairnetError,
        PictureError,
        PortError,
        ProviderError,
        RecordError,
        RequestError,
        ResultsError,
        ShapesError,
        TrainingError,
        ValuesError,
        WeightsError,
        WorkerError,
    )
    from pairnet.exporting.export import export
    from pairnet.models.networks import build
    from pairnet.models.recipes import Recipe, Warp
    from pairnet.models.variant_files import read_variants
    from pairnet.models.variants import VARIANTS, Variant, find_variant
    from pairnet.records.record import RunRecord
    from pairnet.records.run import Images, Run
    from pairnet.records.seeds import Seeds
    from pairnet.records.store import read_records
    from pairnet.serving.predictor import Predictor
    from pairnet.study.imported import import_weights, save_weights
    from pairnet.study.repetition import verify_runs
    from pairnet.study.running import run_study
    from pairnet.study.saved import TrainedRun, load_run, train


__all__ = [
    "VARIANTS",
    "AccuracyError",
    "ArgumentError",
    "AxesError",
    "CheckerError",
    "ClosedError",
    "DataError",
    "Dataset",
    "DecisionsError",
    "ExportError",
    "GraphError",
    "IdxError",
    "Images",
    "InputError",
    "InstallationError",
    "MissingExtraError",
    "ModelError",
    "NamesError",
    "NotationError",
    "PairLoader",
    "PairnetError",
    "PictureError",
    "PortError",
    "Predictor",
    "ProviderError",
    "Recipe",
    "RecordError",
    "RequestError",
    "ResultsError",
    "Run",
    "RunRecord",
    "Seeds",
    "ShapesError",
    "TrainedRun",
    "TrainingError",
    "ValuesError",
    "Variant",
    "Warp",
    "WeightsError",
    "WorkerError",
    "build",
    "draw_pairs",
    "export",
    "find_variant",
    "import_weights",
    "load_dataset",
    "load_run",
    "moments",
    "read_records",
    "read_variants",
    "run_study",
    "save_weights",
    "train",
    "verify_runs",
]

_MODULES = {
    "VARIANTS": "models.variants",
    "Dataset": "data.sources",
    "Images": "records.run",
    "PairLoader": "data.loader",
    "Predictor": "serving.predictor",
    "Recipe": "models.recipes",
    "Run": "records.run",
    "RunRecord": "records.record",
    "Seeds": "records.seeds",
    "TrainedRun": "study.saved",
    "Variant": "models.variants",
    "Warp": "models.recipes",
    "build": "models.networks",
    "draw_pairs": "data.pairs",
    "moments": "data.pairs",
    "export": "exporting.export",
    "find_variant": "models.variants",
    "import_weights": "study.imported",
    "load_dataset": "data.sources",
    "load_run": "study.saved",
    "read_records": "records.store",
    "read_variants": "models.variant_files",
    "run_study": "study.running",
    "save_weights": "study.imported",
    "train": "study.saved",
    "verify_runs": "study.repetition",
}
"""The module of each public name; the other names of __all__ are in pairnet.errors."""

_NEED_TORCH = ("TrainedRun", "build", "export", "import_weights", "load_run", "save_weights", "train")


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'pairnet' has no attribute '{name}'")
    from pairnet.extras import needed_by

    with needed_by(f"pairnet.{name}"):
        value: object = getattr(import_module(f"pairnet.{_MODULES.get(name, 'errors')}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """Names that can be loaded: without torch those that need it are left out, so that help() and completion work."""
    from importlib.util import find_spec

    without = () if find_spec("torch") else _NEED_TORCH
    return sorted({*globals(), *__all__} - {*without})
