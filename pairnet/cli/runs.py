"""`pairnet runs`: the records in a folder, listed and deleted. Works without torch."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import AnyData, AnyEpochs, AnyPairs, Json, Runs, check_data
from pairnet.cli.output import console, note, plain_table, print_json, printable
from pairnet.errors import ArgumentError
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
    """List, compare, delete, merge and pack the runs in a folder.

    These are the runs of studies, and those saved with their networks. Without a command, lists them: one line for all
    draws of a row with the same setting, or with --long one line for each run. Failed runs are counted and named.
    """
    if context.invoked_subcommand is not None:
        _require_no_options(context)
        return
    from pairnet.records.collection import collect, not_found
    from pairnet.records.failures import MARK, draws_text, failed_draws, failures_text
    from pairnet.records.run import names_of
    from pairnet.records.settings import select
    from pairnet.reporting.formats import accuracy_text
    from pairnet.reporting.summaries import finished_draws, mean_and_std

    everything = collect(runs)
    known, failures = list(everything.records.values()), list(everything.failures.values())
    check_data(data, known)
    records = select(known, row=row, data=data, epochs=epochs, pairs=pairs)
    failed = select(failures, row=row, data=data, epochs=epochs, pairs=pairs)
    if row is not None and not records and not failed:
        raise not_found(row, known, runs)
    records.sort(key=lambda record: (record.run.seed, record.run.fold or 0))
    listed: list[RunRecord | FailedRun] = [*records, *failed]
    images = names_of([run.images for each in listed if (run := each.run)])
    rows = [_one(each, run, everything.folders.get(each.fingerprint, ())) for each in listed if (run := each.run)]
    unknown = [each for each in failures if each.run is None]
    if as_json:
        print_json([*rows, *(_unknown(each) for each in unknown if row in (None, each.label))])
        return
    selected = "" if len(records) == len(known) else f" of {len(known):,}"
    title = f"{len(records):,}{selected} {'run' if len(known) == 1 else 'runs'} in {printable(runs)}"
    title += f", {len(failed) + len(unknown):,} more failed" if failed or unknown else ""
    groups = grouped_runs(records, failed)
    same = len({label for label, *_ in groups}) < len(groups)  # of several settings
    least = ("network", "epochs", "pairs", "fold", "data") if long else ("draws", "setting")
    table = plain_table(title=title, names=2 if same and not long else 1, least=least)
    table.add_column("row", overflow="fold")
    incomplete, marked = 0, list[str]()
    if long:
        table.add_column("data")
        for heading in ("pairs", "epochs", "fold", "draw", "accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
        table.add_column("network", no_wrap=True)
        for run, each, called in zip([run for each in listed if (run := each.run)], rows, images, strict=True):
            numbers = ("" if each[key] is None else f"{each[key]:,}" for key in ("pairs", "epochs", "fold"))
            network = "\n".join(printable(Path(folder).name) for folder in each["folders"])
            figures = (*numbers, run.repetition.removeprefix("draw "), _accuracy(each))
            table.add_row(printable(each["row"]), printable(called), *figures, network)
    else:
        table.add_column("setting", overflow="fold")
        for heading in ("draws", "accuracy"):
            table.add_column(heading, justify="right", no_wrap=True)
        for label, setting, done, lost in groups:
            bad, accuracies = failed_draws(lost), list(finished_draws(done).values())
            begun = {each.run.draw for each in done} | {each.run.draw for each in lost if each.run}
            incomplete += len(begun) - len(accuracies) - len(bad)
            shown = accuracy_text(*mean_and_std(accuracies)) if accuracies else ""
            shown = f"{shown} {MARK}".strip() if bad else shown
            table.add_row(printable(label), printable(setting), draws_text(len(bad), len(accuracies)), shown)
            if bad:
                marked.append(f"{MARK} {label}, {setting}: {failures_text(bad, finished=len(accuracies))}")
    output = console()
    if long and not table.fits(output.width):
        table = _narrow(listed, rows, title)
    output.print(table)
    if incomplete:
        note(f"left out: {counted(incomplete, 'draw')} whose cross-validation is not finished")
    for line in marked:
        note(line)
    for label, setting, done, lost in [] if long else groups:
        repeated = [each.run for each in done] + [each.run for each in lost if each.run]
        own = sorted({run.seed for run in repeated if run.own_seeds is None})
        if own and any(run.own_seeds is not None for run in repeated):
            which = f"{counted(len(own), 'combination')} of seeds held apart {'is' if len(own) == 1 else 'are'} draw"
            note(f"{label}, {setting}: {which} {', '.join(map(str, own))}")
    for failure in (*failed, *unknown):
        note(f"failed: {failed_text(failure)} (fingerprint {failure.fingerprint})")


def _narrow(listed: "Sequence[RunRecord | FailedRun]", rows: Sequence[dict[str, Any]], title: str) -> "FittingTable":
    """The same runs with what tells them apart below their names, and the names of their folders whole."""
    from pairnet.records.run import name_of
    from pairnet.records.settings import describe

    runs = [each.run for each in listed if each.run is not None]
    settings = list(dict.fromkeys(run.setting for run in runs))
    described = dict(zip(settings, describe(settings), strict=True))
    table = plain_table("run", title=title)
    table.add_column("accuracy", justify="right", no_wrap=True)
    for run, each in zip(runs, rows, strict=True):
        lines = [name_of(run)]
        if len(settings) > 1:
            lines.append(described[run.setting])
        lines += [Path(folder).name for folder in each["folders"]]
        table.add_row("\n".join(map(printable, lines)), _accuracy(each))
    return table


def failed_text(failure: "FailedRun") -> str:
    """A failed run in one line: which, and why."""
    from pairnet.records.run import name_of

    return f"{failure.label if failure.run is None else name_of(failure.run)}: {failure.error}"


def _require_no_options(context: typer.Context) -> None:
    """ArgumentError for options between `runs` and its command, which have no effect on the command."""
    for parameter in context.command.params:
        if getattr(context.get_parameter_source(parameter.name or ""), "name", "") == "COMMANDLINE":
            command = f"pairnet runs {context.invoked_subcommand}"
            raise ArgumentError(f"expected options after {command}, got {parameter.opts[0]} before it")


def grouped_runs(
    records: "Sequence[RunRecord]", failures: "Sequence[FailedRun]" = ()
) -> "list[tuple[str, str, list[RunRecord], list[FailedRun]]]":
    """Label, setting, records and failed runs of each group of draws, by label in the order of its first record."""
    from pairnet.records.record import FailedRun, RunRecord
    from pairnet.records.seeds import APART
    from pairnet.records.settings import by_setting, counts_apart, describe

    runs = [*(each.run for each in records), *(each.run for each in failures if each.run)]
    groups, images = (
        list[tuple[str, str, list[RunRecord], list[FailedRun]]](),
        list(dict.fromkeys(run.images for run in runs)),
    )
    for label in dict.fromkeys(run.name for run in runs):
        done = by_setting([each for each in records if each.run.name == label])
        failed = by_setting([each for each in failures if each.run and each.run.name == label])
        settings = list(dict.fromkeys([*done, *failed]))
        for setting in [each for each in settings if each.own_seeds is None]:  # a combination of a crossed study
            held = replace(setting, own_seeds=APART)
            draws, apart = (
                [each.run for found in (done, failed) for each in found.get(key, []) if each.run]
                for key in (setting, held)
            )
            if counts_apart(draws, apart):
                settings.remove(setting)
                done[held] = [*done.pop(setting, []), *done.get(held, [])]
                failed[held] = [*failed.pop(setting, []), *failed.get(held, [])]
        names = describe(settings, among=images)
        groups += [
            (label, name, done.get(key, []), failed.get(key, [])) for name, key in zip(names, settings, strict=True)
        ]
    return groups


def _accuracy(row: dict[str, Any]) -> str:
    """The accuracy of a run for a table, or how it failed."""
    from pairnet.records.failures import outcome_text

    if row["accuracy"] is None:
        return outcome_text(row["outcome"], row["failed_epoch"])
    return f"{row['accuracy']:.4f}"


def _unknown(failure: "FailedRun") -> dict[str, Any]:
    """A failed run that was recorded without its settings."""
    return {"row": failure.label, "accuracy": None, "outcome": failure.kind, "error": failure.error}


def _one(record: "RunRecord | FailedRun", run: "Run", folders: Sequence[Path]) -> dict[str, Any]:
    from pairnet.records.failures import FINISHED
    from pairnet.records.record import FailedRun

    failure = record if isinstance(record, FailedRun) else None
    return {
        "row": run.name,
        "variant": run.variant.name,
        "data": run.images.name,
        "source": run.images.source,
        "pairs": run.pairs,
        "test_pairs": run.tested,
        "epochs": run.recipe.epochs if isinstance(record, FailedRun) else len(record.epochs) or None,
        "draw": run.seed,
        "seeds": run.seeds.identity(),
        "fold": run.fold,
        "accuracy": None if isinstance(record, FailedRun) else record.accuracy,
        "trained_elsewhere": run.elsewhere is not None,
        "outcome": failure.kind if failure else FINISHED,
        "failed_epoch": failure and failure.epoch,
        "error": failure and failure.error,
        "folders": [str(folder) for folder in folders],
    }
