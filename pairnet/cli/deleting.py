"""`pairnet runs delete`: exactly the runs and saved networks that are named. Works without torch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pairnet.cli.common import AnyData, AnyEpochs, AnyPairs, Runs, check_data
from pairnet.cli.output import note, print_line
from pairnet.cli.runs import AnyRow, failed_text, grouped_runs
from pairnet.errors import ArgumentError
from pairnet.wording import counted

if TYPE_CHECKING:
    from pairnet.records.record import RunRecord


def delete_runs(
    folders: Annotated[list[Path] | None, typer.Argument(help="Folders of saved networks.")] = None,
    runs: Runs = Path("runs"),
    row: AnyRow = None,
    data: AnyData = None,
    epochs: AnyEpochs = None,
    pairs: AnyPairs = None,
    failed: Annotated[bool, typer.Option("--failed", help="Delete the entries of runs that failed.")] = False,
    every: Annotated[bool, typer.Option("--all", help="Delete all runs in the folder --runs.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete exactly what is named: folders of saved networks, or runs.

    Takes the folders that are named, and nothing else: the record of a study's run stays. Or all runs that --row,
    --data, --epochs and --pairs select, with their records and the folders of their networks; or with --failed the runs
    that failed. Lists what it will delete before it asks.
    """
    from pairnet.records.collection import collect
    from pairnet.records.folders import remove_folder
    from pairnet.records.settings import select
    from pairnet.records.store import locked, remove

    filters = (row, data, epochs, pairs)
    filtered = any(value is not None for value in filters)
    if bool(folders) + filtered + failed + every != 1:
        raise ArgumentError(
            "expected folders, a filter such as `row`, `failed`, or `every`, got none or several of them"
        )
    found = collect(runs)
    check_data(data, list(found.records.values()))
    failures = found.failures if failed or every else {}
    chosen: list[RunRecord] = []
    saved = list(dict.fromkeys(_saved(folder, runs) for folder in folders or ()))
    if filtered or every:
        chosen = select(list(found.records.values()), row=row, data=data, epochs=epochs, pairs=pairs)
        saved = [folder for record in chosen for folder in found.folders.get(record.fingerprint, ())]
    if not chosen and not failures and not saved:
        note("no such runs")
        return
    for label, setting, grouped, _ in grouped_runs(chosen):
        note(f"{label}: {counted(len(grouped), 'run')} of {setting}")
    for folder in saved:
        note(f"saved network: {folder}")
    for failure in failures.values():
        note(f"failed: {failed_text(failure)}")
    parts = ((len(failures), "failed run"), (len(chosen), "run"), (len(saved), "saved network"))
    what = " and ".join(counted(number, noun) for number, noun in parts if number)
    if not yes:
        if not sys.stdin.isatty():
            raise ArgumentError(f"expected `yes` to delete {what} without a terminal to ask on")
        if not typer.confirm(f"Delete {what}?"):
            note("nothing deleted")
            raise typer.Exit(1)
    with locked(runs):
        for folder in saved:
            remove_folder(folder)
            if folder.exists():
                note(f"other files stay in {folder}")
        remove(runs, {record.fingerprint for record in chosen}, failed=set(failures))
    print_line(f"deleted {what}")


def _saved(folder: Path, runs: Path) -> Path:
    """The folder of a saved network in `runs` that `folder` names.  ArgumentError if it is none."""
    from pairnet.records.folders import RECORD, saved_folders

    parent = folder.absolute().parent.resolve()  # of the folder itself, which may be a link
    for each in saved_folders(runs):  # a damaged one, too
        there = each.absolute().parent.resolve() == parent and each.name == folder.absolute().name
        if there or str(folder) == each.name:
            return each
    elsewhere = (folder / RECORD).exists() and parent != runs.resolve()
    remedy = f"add `runs` {parent}" if elsewhere else "`pairnet runs --long` lists them"
    raise ArgumentError(f"expected folders of saved runs in {runs}, got {folder}: {remedy}")
