"""The files of a report: the page, and next to it results.csv, summary.json and the figures. All appear, or none."""

import csv
import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pairnet.errors import ArgumentError
from pairnet.models.variants import count_multiply_adds
from pairnet.reporting.changes import Changes
from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.rendering import render
from pairnet.reporting.page import changes_page, report_page
from pairnet.reporting.report import Report
from pairnet.study.records import RunRecord

FIGURES = "figures"
RESULTS = "results.csv"
SUMMARY = "summary.json"
ENDINGS = (".svg", ".png")

MARK = '<meta name="generator" content="pairnet">'
"""What every page has in its head: another page of that name is never overwritten."""


def write_report(report: Report, path: Path) -> None:
    """Writes the page `path`, and next to it results.csv, summary.json and the figures as SVG and PNG.

    ArgumentError unless `path` ends in .html, or if files of other origin are next to it; OSError names the file.
    """
    check_path(path)
    drawn = drawings(report)
    images = {drawing.name: render(drawing.figure, name=drawing.name) for drawing in drawn}
    page = report_page(report, drawn, {name: svg for name, (svg, _) in images.items()})
    with _appearing(path) as folder:
        (folder / FIGURES).mkdir()
        for name, (svg, png) in images.items():
            (folder / FIGURES / f"{name}.svg").write_text(svg, encoding="utf-8")
            (folder / FIGURES / f"{name}.png").write_bytes(png)
        write_results(folder / RESULTS, report.selection.records)
        _write_summary(folder, {**summary_of(report), "figures": sorted(images)})
        (folder / path.name).write_text(page, encoding="utf-8")


def write_changes(changes: Changes, path: Path) -> None:
    """Writes the page about two folders and its summary.json; see `write_report`."""
    check_path(path)
    page = changes_page(changes)
    with _appearing(path) as folder:
        _write_summary(folder, asdict(changes))
        (folder / path.name).write_text(page, encoding="utf-8")


def check_path(path: Path) -> None:
    """ArgumentError unless `path` is a name for a page, and neither it nor a file next to it is of something else."""
    if path.suffix != ".html":
        raise ArgumentError(f'expected `output` to end in .html, got "{path.name}"')
    if path.exists():
        if path.is_file() and MARK in path.read_text(encoding="utf-8", errors="replace")[:1000]:
            return
        raise ArgumentError(f"expected a new page or one of pairnet for `output`, got {path}: choose another name")
    for name in (FIGURES, RESULTS, SUMMARY):
        if (path.parent / name).exists():
            raise ArgumentError(
                f"expected a folder for `output` without {name}, which a report writes, got {path.parent}, which has "
                "one of something else: choose another folder"
            )


@contextmanager
def _appearing(path: Path) -> Iterator[Path]:
    """A hidden folder to write into, whose files get their places at the end of the block: a kill leaves no half.

    Files of an older report that the new one does not have are removed, and no others.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=f".{path.stem}-", dir=path.parent))
    try:
        yield new
        _remove_older(path)
        if (new / FIGURES).exists():
            (path.parent / FIGURES).mkdir(exist_ok=True)
            for figure in (new / FIGURES).iterdir():
                figure.replace(path.parent / FIGURES / figure.name)
        for name in (RESULTS, SUMMARY, path.name):  # the page last: it vouches for the others
            if (new / name).exists():
                (new / name).replace(path.parent / name)
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _remove_older(path: Path) -> None:
    """Removes the files that an older report next to `path` lists as its own."""
    try:
        listed = json.loads((path.parent / SUMMARY).read_bytes()).get("figures", [])
    except (OSError, ValueError, AttributeError):
        listed = []
    for name in listed:
        for ending in ENDINGS:
            (path.parent / FIGURES / f"{Path(str(name)).name}{ending}").unlink(missing_ok=True)
    if path.exists():
        (path.parent / RESULTS).unlink(missing_ok=True)
        (path.parent / SUMMARY).unlink(missing_ok=True)
    with suppress(OSError):  # it holds files of something else, or is not there
        (path.parent / FIGURES).rmdir()


def _write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def write_results(path: Path, records: Sequence[RunRecord]) -> None:
    """A CSV file with one line for each run."""
    lines = [_line(record) for record in records]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(lines[0]))
        writer.writeheader()
        writer.writerows(lines)


def _line(record: RunRecord) -> dict[str, Any]:
    """One run as a line of results.csv; what does not apply to it is empty."""
    place, tested = record.environment, record.fold is None
    return {
        "row": record.label,
        "variant": record.variant.name,
        "parameters": record.parameters,
        "multiply_adds": count_multiply_adds(record.variant),
        "data": record.data.name,
        "pairs": record.pairs,
        "test_pairs": record.test_pairs if tested else None,
        "draw": record.seeds.weights,
        "fold": record.fold,
        "folds": None if tested else record.folds,
        "epochs": record.recipe.epochs,
        "accuracy": record.accuracy,
        "seconds": record.seconds,
        "device": place.device,
        "hardware": place.hardware,
        "torch": place.versions.get("torch", ""),
        "revision": place.revision,
        "fingerprint": record.fingerprint,
    }


def summary_of(report: Report) -> dict[str, Any]:
    """What summary.json holds: the numbers of the page, accuracies and differences as fractions of 1."""
    return {
        "title": report.title,
        "sentences": report.sentences,
        "margin": report.margin,
        "tables": {
            table.study.name: {
                "title": table.study.title,
                "cross_validated": table.study.cross_validated,
                "remark": table.remark,
                "rows": [asdict(summary) for summary in table.summaries],
            }
            for table in report.tables
        },
        "others": [asdict(summary) for summary in report.others],
        "families": {
            family.name: {"title": family.title, "effects": [asdict(effect) for effect in family.effects]}
            for family in report.families
        },
        "calibration": [asdict(each) for each in report.calibrations],
        "origins": asdict(report.origins),
        "left_out": report.selection.left_out,
    }
