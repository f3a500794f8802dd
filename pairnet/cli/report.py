"""`pairnet report`: a page about the runs in a folder, or about what changed between two folders."""

import webbrowser
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pairnet.cli.common import (
    AnyData,
    AnyEpochs,
    AnyPairs,
    DataDir,
    Json,
    check_data,
    note_folders,
    note_margins,
    with_finished_runs,
)
from pairnet.cli.output import console, note, plain_table, print_json, print_line, printable, unbroken, writing
from pairnet.errors import ArgumentError, PairnetError, RecordError
from pairnet.extras import needed_by
from pairnet.reporting.equivalence import MARGIN
from pairnet.wording import counted

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pairnet.data.sources import Dataset
    from pairnet.records.record import FailedRun, RunRecord
    from pairnet.records.run import Images
    from pairnet.study.plan import Study

PAGE = Path("report") / "report.html"
"""Where the page about the runs in a folder is written, in that folder."""

CHANGES = Path("changes") / "report.html"
"""Where the page about what changed since another folder is written."""


def report(
    runs: Annotated[Path, typer.Argument(help="Folder of records.")] = Path("runs"),
    newer: Annotated[
        Path | None, typer.Argument(help="A second folder: report what changed from RUNS to this one.")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="Page to write, .html, in a folder of its own.", show_default="report/report.html in the folder"
        ),
    ] = None,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    data: AnyData = None,
    epochs: AnyEpochs = None,
    pairs: AnyPairs = None,
    data_dir: DataDir = None,
    margin: Annotated[float, typer.Option(help="Largest difference, in points, of no consequence.")] = 100 * MARGIN,
    markdown: Annotated[
        Path | None, typer.Option(help="Write the tables into the marked blocks of this file, and no page.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Write a report on the runs in a folder.

    One HTML page that needs no other file: what was replicated, the effects with their intervals, curves, the pairs
    that the networks get wrong, and what was run. Next to it: results.csv, summary.json and the figures. Runs of
    different settings are never put together: --data, --epochs and --pairs choose one, otherwise the setting with the
    most runs is taken, and the page says what it leaves out. With two folders it compares them draw by draw.
    """
    if not 0 < margin < 100:
        raise ArgumentError(f"expected `margin` above 0 and below 100 points, got {margin:g}")
    note_margins([margin / 100])
    if markdown is not None and (newer is not None or output is not None or open_page or as_json):
        raise ArgumentError("expected `markdown` with one folder and without a page, got both: use two commands")
    with needed_by("a report"):
        from pairnet.reporting.files import check_path

    from pairnet.records.settings import select
    from pairnet.study.kept import kept_studies

    if output is not None:
        check_path(output)
    # with two folders, runs of other numbers of epochs are other settings; a page has rows whose own number it is, too
    found = with_finished_runs(runs)
    every, failures = list(found.records.values()), list(found.failures.values())
    own_epochs = None if newer is None else epochs
    old = _selected(every, runs, data=data, epochs=own_epochs, pairs=pairs)
    failed = select(failures, data=data, epochs=own_epochs, pairs=pairs)
    if newer is not None:
        path = output or newer / CHANGES
        later = with_finished_runs(newer)
        new = _selected(list(later.records.values()), newer, data=data, epochs=epochs, pairs=pairs)
        new_failed = select(list(later.failures.values()), data=data, epochs=epochs, pairs=pairs)
        summary = _write_changes(old, new, failed, new_failed, path, margin / 100, as_json=as_json)
    elif markdown is not None:
        _fill(markdown, old, failed, kept_studies(runs), margin / 100)
        return
    else:
        path = output or runs / PAGE
        own = kept_studies(runs)
        summary = write_page(
            old,
            path,
            runs=runs,
            failures=failed,
            every=every,
            every_failure=failures,
            own=own,
            epochs="most" if epochs is None else epochs,
            margin=margin / 100,
            data_dir=data_dir,
        )
    if as_json:
        print_json(summary)
        note(f"report  {path}")
    else:
        print_line(str(path))
    if open_page and not webbrowser.open(path.resolve().as_uri()):
        note(f"no browser to open {path} with")


def write_page(
    records: "Sequence[RunRecord]",
    path: Path,
    *,
    runs: Path,
    failures: "Sequence[FailedRun]",
    every: "Sequence[RunRecord]",
    every_failure: "Sequence[FailedRun]",
    own: "Sequence[Study]" = (),
    epochs: int | Literal["own", "most"] = "most",
    pairs: int | None = None,
    test_pairs: int | None = None,
    margin: float = MARGIN,
    images: "Sequence[Dataset]" = (),
    data_dir: Path | None = None,
) -> dict[str, Any]:
    """Writes the page about those of `records` and `failures` that belong together -> what its summary.json holds.

    What is left out of `every` and `every_failure`, all of the folder `runs`, is noted. The images are loaded again,
    those of full MNIST from `data_dir`, unless they are among `images`.
    """
    from pairnet.reporting.selection import choose

    with needed_by("a report"):
        from pairnet.reporting.cells import failure_notes
        from pairnet.reporting.files import summary_of, write_report
        from pairnet.reporting.report import gather

    selection = choose(
        records,
        failures=failures,
        every=every,
        every_failure=every_failure,
        own=own,
        epochs=epochs,
        pairs=pairs,
        test_pairs=test_pairs,
        folder=runs,
    )
    for line in selection.taken if selection.left_out else ():
        note(f"in the report: {line}")
    for line in selection.left_out:
        note(f"left out of the report: {line}")
    wanted = dict.fromkeys(records[0].run.images for records in selection.tested.values())
    report = gather(selection, margin=margin, images=_load(wanted, images, data_dir))
    for line in failure_notes(report.summaries):
        note(line)
    with writing(path):
        write_report(report, path)
    return summary_of(report)


def _write_changes(
    old: "Sequence[RunRecord]",
    new: "Sequence[RunRecord]",
    old_failed: "Sequence[FailedRun]",
    new_failed: "Sequence[FailedRun]",
    path: Path,
    margin: float,
    *,
    as_json: bool,
) -> dict[str, Any]:
    """Writes the page about two folders -> what its summary.json holds."""
    from pairnet.reporting.changes import compare_folders
    from pairnet.reporting.files import write_changes

    changes = compare_folders(old, new, old_failed=old_failed, new_failed=new_failed, margin=margin)
    with writing(path):
        write_changes(changes, path)
    for sentence in changes.sentences:
        note(sentence)
    if changes.left_out:
        note(f"left out: {counted(len(changes.left_out), 'setting')} that only one folder has, named on the page")
    if not as_json:
        numbers = unbroken("before", "after", "difference", "same answers")
        least = ("same answers", "after", "before")
        table = plain_table("row", *numbers, *unbroken("verdict", justify="left"), least=least)
        for row in changes.rows:
            figures = (f"{row.old:.4f}", f"{row.new:.4f}", f"{100 * (row.new - row.old):+.2f}")
            table.add_row(printable(row.label), *figures, f"{row.identical} of {row.draws}", row.verdict)
        console().print(table)
    return asdict(changes)


def _fill(
    path: Path,
    records: "Sequence[RunRecord]",
    failures: "Sequence[FailedRun]",
    own: "Sequence[Study]",
    margin: float,
) -> None:
    """Writes tables into the marked blocks of a document."""
    from pairnet.reporting.documents import fill_blocks
    from pairnet.reporting.report import gather
    from pairnet.reporting.selection import choose

    report = gather(choose(records, failures=failures, own=own), margin=margin)
    with writing(path):
        print_line(f"wrote into {path}: {fill_blocks(path, report)}")


def _load(wanted: "Collection[Images]", images: "Sequence[Dataset]", data_dir: Path | None) -> "list[Dataset]":
    """The images that runs drew their pairs from, of which some may be at hand; a note for those that are not found."""
    from pairnet.data.sources import load_dataset

    known = {dataset.checksum: dataset for dataset in images}
    found = [known[each.checksum] for each in wanted if each.checksum in known]
    others = [each for each in wanted if each.checksum not in known]
    note_folders(others)
    loaded: dict[str, Dataset] = {}
    reasons: dict[str, str] = {}  # each once, with the name of images
    for each in others:
        try:
            dataset = loaded.setdefault(
                each.source, loaded.get(each.source) or load_dataset(each.source, data_dir=data_dir)
            )
        except PairnetError as error:
            reasons.setdefault(str(error), each.name)
            continue
        if dataset.checksum == each.checksum:
            found.append(dataset)
            continue
        reason = f"{dataset.origin} has other images than those of the runs, SHA-256 {each.checksum[:12]}"
        reasons.setdefault(reason, each.name)
    for reason, name in reasons.items():
        note(f"without the pairs of {name} that are decided wrongly: {reason}")
    return found


def _selected(
    everything: "list[RunRecord]", runs: Path, *, data: str | None, epochs: int | None, pairs: int | None
) -> "list[RunRecord]":
    """Those of all runs in a folder that were asked for.  RecordError if there are none."""
    from pairnet.records.collection import list_settings
    from pairnet.records.settings import select

    check_data(data, everything)
    chosen = select(everything, data=data, epochs=epochs, pairs=pairs)
    if not chosen:
        asked = (("data", data), ("epochs", epochs), ("pairs", pairs))
        wanted = " and ".join(f"`{name}` {value}" for name, value in asked if value is not None)
        raise RecordError(f"expected runs with {wanted}, got none: {runs} has {list_settings(everything)}")
    return chosen
