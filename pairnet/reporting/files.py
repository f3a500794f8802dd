"""The files of a report: the page, and next to it CSV files, summary.json and the figures. All appear, or none."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pairnet.errors import ArgumentError
from pairnet.opening import read_file
from pairnet.reporting.changes import Changes
from pairnet.reporting.component_tables import component_records
from pairnet.reporting.contrast_lines import write_contrasts
from pairnet.reporting.drawings import drawings
from pairnet.reporting.figures.rendering import render
from pairnet.reporting.page import changes_page, report_page
from pairnet.reporting.report import Report
from pairnet.reporting.results import write_lines, write_results
from pairnet.reporting.rows import write_rows
from pairnet.reporting.sweeps import sweep_values
from pairnet.writing import check_folder, folder_of_files, marked_files

FIGURES = "figures"
RESULTS = "results.csv"
COMPONENTS = "components.csv"
ROWS = "rows.csv"
CONTRASTS = "contrasts.csv"
SUMMARY = "summary.json"
ENDINGS = (".svg", ".png")

LARGEST_FILE = 1 << 28
"""Bytes of a page or a summary that is read again."""

CONTENT = "a report"
"""What the mark of the folder says."""

GENERATOR = '<meta name="generator" content="pairnet">'
"""What every page has in its head: by it the reports of versions without marks are recognised."""


def write_report(report: Report, path: Path) -> None:
    """Writes the page `path`, and next to it CSV files, summary.json and the figures as SVG and PNG.

    ArgumentError unless `path` ends in .html, or if files of other origin are next to it; OSError names the file.
    """
    check_path(path)
    drawn = drawings(report)
    images = {drawing.name: render(drawing.draw(), name=drawing.name) for drawing in drawn}
    page = report_page(report, drawn, {name: svg for name, (svg, _) in images.items()})
    with folder_of_files(path.parent, content=CONTENT, older=_older(path)) as folder:
        (folder / FIGURES).mkdir()
        for name, (svg, png) in images.items():
            (folder / FIGURES / f"{name}.svg").write_text(svg, encoding="utf-8")
            (folder / FIGURES / f"{name}.png").write_bytes(png)
        failures = {each.fingerprint: each for found in report.selection.failures.values() for each in found}
        write_results(folder / RESULTS, report.selection.records, list(failures.values()))
        if lines := list(component_records([(each.study.name, each.summaries) for each in report.tables])):
            write_lines(folder / COMPONENTS, lines)
        write_rows(folder / ROWS, report)
        write_contrasts(folder / CONTRASTS, report.families)
        _write_summary(folder, {**summary_of(report), "figures": sorted(images)})
        (folder / path.name).write_text(page, encoding="utf-8")


def write_changes(changes: Changes, path: Path) -> None:
    """Writes the page about two folders and its summary.json; see `write_report`."""
    check_path(path)
    page = changes_page(changes)
    with folder_of_files(path.parent, content=CONTENT, older=_older(path)) as folder:
        _write_summary(folder, asdict(changes))
        (folder / path.name).write_text(page, encoding="utf-8")


def check_path(path: Path) -> None:
    """ArgumentError unless `path` is a name for a page, in a folder that is new, empty or that of a report."""
    if path.suffix != ".html":
        raise ArgumentError(f'expected `output` to end in .html, got "{path.name}"')
    folder = path.parent
    check_folder(folder, content=CONTENT, older=_older(path), names=(path.name,))
    pages = [name for name in marked_files(folder, CONTENT) if name.endswith(".html")]
    if pages and path.name not in pages:
        raise ArgumentError(
            f"expected {folder / pages[0]} for `output`, the page there, got {path}: choose one folder each"
        )


def _older(path: Path) -> list[str]:
    """The files of the report `path` of a version without marks, by its summary; none if it is no page of pairnet."""
    if not path.is_file() or GENERATOR.encode() not in _read(path)[:1000]:
        return []
    try:
        listed = json.loads(_read(path.parent / SUMMARY)).get("figures", [])
    except (ValueError, AttributeError, RecursionError):
        listed = []
    figures = [f"{FIGURES}/{Path(str(name)).name}{ending}" for name in listed for ending in ENDINGS]
    return [path.name, RESULTS, SUMMARY, *figures]


def _read(path: Path) -> bytes:
    return read_file(path, what="a file of a report", largest=LARGEST_FILE, error=ArgumentError)


def _write_summary(folder: Path, summary: Mapping[str, Any]) -> None:
    (folder / SUMMARY).write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def summary_of(report: Report) -> dict[str, Any]:
    """What summary.json holds: the numbers of the page, accuracies and differences as fractions of 1.

    Each row lists its failed draws.
    """
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
            family.name: {
                "title": family.title,
                "effects": [{**asdict(effect), "method": effect.method} for effect in family.effects],
                "left_out": family.left_out,
            }
            for family in report.families
        },
        "sweeps": sweep_values(report.tables),
        "calibration": [asdict(each) for each in report.calibrations],
        "origins": asdict(report.origins),
        "left_out": report.selection.left_out,
    }
