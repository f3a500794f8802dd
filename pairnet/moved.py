"""Modules of earlier versions: importing one fails with the name of the module that replaced it."""

from collections.abc import Sequence
from types import ModuleType

MOVED = {
    "batched": "training.stacked",
    "benchmarks": "cli.bench_results",
    "calibration": "training.calibration",
    "checking": "exporting.validate",
    "designs": "artifact.design",
    "fetching": "data.download",
    "figures": "reporting.figures.drawing",
    "graphs": "exporting.graph",
    "grouping": "study.engines.stacked",
    "idx": "data.idx",
    "images": "data.pools",
    "inputs": "serving.inputs",
    "live": "cli.progress",
    "loader": "data.loader (or: from pairnet import PairLoader)",
    "nets": "models.networks (or: from pairnet import build)",
    "notation": "models.notation",
    "optimising": "training.optimiser",
    "pairs": "data.pairs (or: from pairnet import draw_pairs)",
    "paper": "models.paper",
    "pictures": "serving.pictures",
    "predictor": "serving.predictor (or: from pairnet import Predictor)",
    "quantising": "exporting.quantise",
    "recipes": "models.recipes (or: from pairnet import Recipe)",
    "recorded": "artifact.recorded",
    "records": "study.records (or: from pairnet import RunRecord)",
    "report": "reporting.summaries",
    "runs": "study.runs (or: from pairnet import Run)",
    "sessions": "artifact.sessions",
    "sources": "data.sources (or: from pairnet import load_dataset)",
    "tables": "study.plan",
    "variants": "models.variants (or: from pairnet import find_variant)",
}
"""Old names and new places, both without the package's name."""


def check(module: str) -> None:
    """Raises ModuleNotFoundError with the new name if `module`, for example "pairnet.predictor", has moved."""
    if new := MOVED.get(module.removeprefix("pairnet.")):
        raise ModuleNotFoundError(f"{module} is now pairnet.{new}", name=module)


class Finder:
    """The last entry of sys.meta_path: it is asked only for modules that do not exist."""

    def find_spec(self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> None:
        """Raises ModuleNotFoundError with the new name of a module that has moved."""
        if name.startswith("pairnet."):
            check(name)
