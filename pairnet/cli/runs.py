"""`pairnet runs`: the records in a folder, listed, compared and deleted. Works without torch."""

import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import AnyData, AnyEpochs, AnyPairs, Json, Runs, check_data
from pairnet.cli.output import console, note, plain_table, print_json, print_line, printable
from pairnet.errors import ArgumentError, RecordError
from pairnet.wording import counted

if TYPE_CHECKING:
    from pairnet.records.record import FailedRun, RunRecord
    from pairnet.records.run import Run
    from pairnet.reporting.tables import FittingTable

AnyRow = Annotated[
    str | None, typer.Option("--row", help="Only runs of this row, or of this variant if no row has that name.")
]


def list_runs(
    context: typer.Context,
    runs: Runs = Path("runs"),
    row: AnyRow = None,
    data: AnyData = None,
    epochs: AnyEpochs = None,
    pairs: AnyPairs = None,
    long: Annotated[bool, typer.Option("--long", help="List each run.")] = False,
    as_json: Json = False,
) -> None:
    """List, compare, delete and merge the finished runs in a folder.

    These are the runs of studies, and those saved with their networks. Without a command, lists them: one line for all
    draws of a row with the same setting, or with --long one line for each run.
    """
    if context.invoked_subcommand is not None:
        _require_no_options(context)
        return
    from pairnet.records.collection import collect, not_found
    from pairnet.records.run import names_of
    from pairnet.records.settings import select
    from pairnet.reporting.summaries import accuracy_text, finished_draws, mean_and_std

    everything = collect(runs)
    known = list(everything.records.values())
    check_data(data, known)
    records = select(known, row=row, data=data, epochs=epochs, pairs=pairs)
    if row is not None and not records:
        raise not_found(row, known, runs)
    records.sort(key=lambda record: (record.run.seed, record.run.fold or 0))
    images = names_of([record.run.images for record in records])
    rows = [_one(record, everything.folders.get(record.fingerprint, ())) for record in records]
    if as_json:
        print_json(rows)
        return
    selected = "" if len(rows) == len(known) else f" of {len(known):,}"
    title = f"{len(rows):,}{selected} {'run' if len(known) == 1 else 'runs'} in {printable(runs)}"
    groups = _grouped(records)
    same = len({label for label, _, _ in groups}) < len(groups)  # of several settings
    least = ("network", "epochs", "pairs", "fold", "data") if long else ("draws", "setting")
    table = plain_table(title=title, names=2 if same and not long else 1, least=least)
    table.add_column("row", overflow="fold")
    incomplete = 0
    if long:
        table.add_column("data")
        for heading in ("pairs", "epochs", "fold", "draw", "accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("network", no_wrap=True)
        for record, each, called in zip(records, rows, images, strict=True):
            numbers = ("" if each[key] is None else f"{each[key]:,}" for key in ("pairs", "epochs", "fold"))
            network = "\n".join(printable(Path(folder).name) for folder in each["folders"])
            figures = (*numbers, record.run.repetition.removeprefix("draw "), f"{each['accuracy']:.4f}")
            table.add_row(printable(each["row"]), printable(called), *figures, network)
    else:
        table.add_column("setting", overflow="fold")
        for heading in ("draws", "accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
        for label, setting, grouped in groups:
            accuracies = list(finished_draws(grouped).values())
            incomplete += len({record.run.draw for record in grouped}) - len(accuracies)
            shown = accuracy_text(*mean_and_std(accuracies)) if accuracies else ""
            table.add_row(printable(label), printable(setting), str(len(accuracies)), shown)
    output = console()
    if long and not table.fits(output.width):
        table = _narrow(records, rows, title)
    output.print(table)
    if incomplete:
        note(f"left out: {counted(incomplete, 'draw')} whose cross-validation is not finished")
    for failed in everything.failures.values():
        note(f"failed: {_failed(failed)} (fingerprint {failed.fingerprint})")


def _narrow(records: "Sequence[RunRecord]", rows: Sequence[dict[str, Any]], title: str) -> "FittingTable":
    """The same runs with what tells them apart below their names, and the names of their folders whole."""
    from pairnet.records.run import name_of
    from pairnet.records.settings import by_setting, describe

    settings = list(by_setting(records))
    described = dict(zip(settings, describe(settings), strict=True))
    table = plain_table("run", title=title)
    table.add_column("accuracy", justify="right", no_wrap=True)
    for record, each in zip(records, rows, strict=True):
        lines = [name_of(record.run)]
        if len(settings) > 1:
            lines.append(described[record.run.setting])
        lines += [Path(folder).name for folder in each["folders"]]
        table.add_row("\n".join(map(printable, lines)), f"{each['accuracy']:.4f}")
    return table


def compare_runs(
    first: Annotated[str, typer.Argument(help="Row or variant.")],
    second: Annotated[str, typer.Argument(help="Row or variant to compare it with.")],
    runs: Runs = Path("runs"),
    data: AnyData = None,
    epochs: AnyEpochs = None,
    other_epochs: Annotated[
        int | None, typer.Option(min=1, help="Only runs of so many epochs for the second row (default: as --epochs).")
    ] = None,
    pairs: AnyPairs = None,
    as_json: Json = False,
) -> None:
    """Compare two rows draw by draw.

    Both rows must have been trained and tested on the same pairs. Prints the mean difference over the common draws,
    its 95 % interval and the p-value of the paired t-test; a cross-validated draw counts once. To compare two settings
    of one row, name it twice.
    """
    from pairnet.records.collection import collect, not_found
    from pairnet.records.settings import by_setting, describe, select
    from pairnet.reporting.comparison import compare

    records = list(collect(runs).records.values())
    check_data(data, records)
    left, right = (
        by_setting(select(records, row=name, data=data, epochs=wanted, pairs=pairs))
        for name, wanted in ((first, epochs), (second, other_epochs or epochs))
    )
    for name, settings in ((first, left), (second, right)):
        if not settings:
            raise not_found(name, records, runs)
    one, other = _comparable(first, second, left, right)
    found = compare(left[one], right[other])
    among = [one.images, other.images]
    names = describe([one, other])
    if first != second:
        names = [*describe([one], among=among), *describe([other], among=among)]
    if as_json:
        print_json({"first": first, "second": second, "settings": names, **asdict(found)})
        return
    for name, setting in zip((first, second), names, strict=True):
        note(f"{name}: {setting}")
    print_line(f"{first} {found.first:.4f}, {second} {found.second:.4f}, over {found.draws} common draws")
    difference = f"difference {100 * found.difference:+.2f} points"
    if found.p_value is None or found.low is None or found.high is None:
        print_line(f"{difference} on each draw")
    else:
        interval = f"95 % interval {100 * found.low:+.2f} to {100 * found.high:+.2f}"
        print_line(f"{difference}, {interval}")
        print_line(f"p = {found.p_value:.2g} (paired t-test), {found.wilcoxon:.2g} (Wilcoxon)")
    if found.better is not None:
        unequal = counted(found.draws - found.equal, "draw")
        print_line(f"{first} is better on {100 * found.better:.0f} % of the {unequal} that are not equal")
    if one.images.name == "mnist5k" and one.fold is None:
        note(
            "each draw of mnist5k is tested on the same 2,000 images: interval and p-value are over pairings and seeds "
            "only, not over images"
        )


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
    for label, setting, grouped in _grouped(chosen):
        note(f"{label}: {counted(len(grouped), 'run')} of {setting}")
    for folder in saved:
        note(f"saved network: {folder}")
    for failure in failures.values():
        note(f"failed: {_failed(failure)}")
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


def _failed(failure: "FailedRun") -> str:
    """A failed run in one line: which, and why."""
    from pairnet.records.run import name_of

    return f"{failure.label if failure.run is None else name_of(failure.run)}: {failure.error}"


def _require_no_options(context: typer.Context) -> None:
    """ArgumentError for options between `runs` and its command, which have no effect on the command."""
    for parameter in context.command.params:
        if getattr(context.get_parameter_source(parameter.name or ""), "name", "") == "COMMANDLINE":
            command = f"pairnet runs {context.invoked_subcommand}"
            raise ArgumentError(f"expected options after {command}, got {parameter.opts[0]} before it")


def _grouped(records: "Sequence[RunRecord]") -> "list[tuple[str, str, list[RunRecord]]]":
    """Label, setting and records of each group of draws, by label in the order of its first record."""
    from pairnet.records.settings import by_setting, describe

    groups, images = [], list(dict.fromkeys(record.run.images for record in records))
    for label in dict.fromkeys(record.run.name for record in records):
        settings = by_setting([record for record in records if record.run.name == label])
        names = describe(list(settings), among=images)
        groups += [(label, name, found) for name, found in zip(names, settings.values(), strict=True)]
    return groups


def _comparable(
    first: str,
    second: str,
    left: "dict[Run, list[RunRecord]]",
    right: "dict[Run, list[RunRecord]]",
) -> "tuple[Run, Run]":
    """The one setting of each row that was trained and tested on the same pairs.  RecordError unless there is one."""
    from pairnet.records.collection import list_settings

    choices = [(one, other) for one in left for other in right if one.pairs_drawn == other.pairs_drawn]
    if first == second:
        choices = [(one, other) for one, other in choices if one != other]
        if not choices:
            raise RecordError(f"expected two settings of {first} to compare, got one: {list_settings(_all(left))}")
    if len(choices) == 1:
        return choices[0]
    sides = {first: left, second: right}
    settings = "; ".join(f"{name}: {list_settings(_all(found))}" for name, found in sides.items())
    if choices:
        raise RecordError(
            "expected one setting of each row, got several: choose with `data`, `pairs`, `epochs` and `other_epochs`: "
            f"{settings}"
        )
    raise RecordError(f"expected rows with the same pairs, got {settings}: train both on the same")


def _all(settings: "dict[Run, list[RunRecord]]") -> "list[RunRecord]":
    return [record for each in settings.values() for record in each]


def _one(record: "RunRecord", folders: Sequence[Path]) -> dict[str, Any]:
    run = record.run
    return {
        "row": run.name,
        "variant": run.variant.name,
        "data": run.images.name,
        "source": run.images.source,
        "pairs": run.pairs,
        "test_pairs": run.tested,
        "epochs": len(record.epochs) or None,
        "draw": run.seed,
        "seeds": run.seeds.identity(),
        "fold": run.fold,
        "accuracy": record.accuracy,
        "trained_elsewhere": run.elsewhere is not None,
        "folders": [str(folder) for folder in folders],
    }
