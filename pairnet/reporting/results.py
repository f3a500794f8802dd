"""results.csv: one line for each run of a report, finished or failed, with its recipe, seeds and outcome."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from pairnet.models.recipes import Recipe, Warp
from pairnet.models.variants import count_multiply_adds, count_parameters
from pairnet.records.failures import FINISHED
from pairnet.records.record import FailedRun, RunRecord
from pairnet.records.run import Run

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With these a cell begins that a spreadsheet computes."""


def write_results(path: Path, records: Sequence[RunRecord], failures: Sequence[FailedRun] = ()) -> None:
    """A CSV file with one line for each run, those that failed after those that finished.

    docs/report.md lists the columns and their units. What does not apply to a run is empty, so a failed run has no
    accuracy. A failure that was recorded without its run has no line.
    """
    lines = [_line(record, record.run) for record in records]
    lines += [_line(failure, failure.run) for failure in failures if failure.run is not None]
    write_lines(path, lines)


def write_lines(path: Path, lines: Sequence[Mapping[str, Any]]) -> None:
    """A CSV file whose columns are the keys of the first line; empty without lines.

    A spreadsheet computes a cell that begins like a formula, so such text, of a label for instance, has an apostrophe
    in front of it.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        if not lines:
            return
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows({key: _as_text(value) for key, value in line.items()} for line in lines)


def _as_text(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULA) else value


def _line(record: RunRecord | FailedRun, run: Run) -> dict[str, Any]:
    place, tested = record.environment, run.fold is None
    done, failed = (record, None) if isinstance(record, RunRecord) else (None, record)
    return {
        "row": run.name,
        "variant": run.variant.name,
        "parameters": count_parameters(run.variant) if done is None else done.parameters,
        "multiply_adds": count_multiply_adds(run.variant),
        "data": run.images.name,
        "pairs": run.pairs,
        "test_pairs": run.tested if tested else None,
        "draw": run.seed,
        **asdict(run.seeds),
        "fold": run.fold,
        "folds": None if tested else run.folds,
        "epochs": run.recipe.epochs,
        "accuracy": done and done.accuracy,
        "seconds": done and done.seconds,
        "device": run.device,
        "hardware": place.hardware,
        "torch": place.versions.get("torch", ""),
        "revision": place.revision,
        "fingerprint": record.fingerprint,
        "outcome": failed.kind if failed else FINISHED,
        "failed_epoch": failed and failed.epoch,
        "error": failed and failed.error,
        "structure": run.variant.structure,
        **_recipe(run.recipe),
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    """The settings of a recipe, one column each; those of a warp are empty without one."""
    found = {name: value for name, value in recipe.to_dict().items() if name not in ("epochs", "warp")}
    warp = {} if recipe.warp is None else asdict(recipe.warp)
    return {
        **found,
        "betas": " ".join(f"{beta:g}" for beta in recipe.betas),
        **{f"warp_{each.name}": warp.get(each.name) for each in fields(Warp)},
    }
