"""`pairnet calibration`: how far the probabilities of finished runs can be trusted."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import AnyData, AnyEpochs, AnyPairs, Json, Runs, check_data, write_figure
from pairnet.cli.output import console, note, plain_table, print_json, printable, unbroken
from pairnet.wording import counted


def calibration(
    rows: Annotated[list[str], typer.Argument(help="Rows of the tables that have been reproduced.")],
    runs: Runs = Path("runs"),
    data: AnyData = None,
    epochs: AnyEpochs = None,
    pairs: AnyPairs = None,
    output: Annotated[Path | None, typer.Option(help="Reliability diagram to write, .svg, .png or .pdf.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing diagram.")] = False,
    as_json: Json = False,
) -> None:
    """Measure the calibration of finished runs.

    Prints the expected calibration error of a row's networks, mean over its draws, and pooled: over the held-out pairs
    of all draws together, as the reliability diagram has them, a mixture of the networks. Run `pairnet reproduce`
    first. Runs of different settings are never put together: --data, --epochs and --pairs choose one, otherwise the
    setting with the most runs is taken; of several the one whose runs bear the row's name, then the one that was
    recorded last.
    """
    from pairnet.records.calibration import expected_calibration_error, pooled
    from pairnet.records.collection import collect, not_found
    from pairnet.records.settings import by_setting, describe, largest, select
    from pairnet.reporting.summaries import mean_and_std

    records = list(collect(runs).records.values())
    check_data(data, records)
    usable = [record for record in records if record.calibration and record.run.fold is None]
    found, shown = {}, {}
    for row in rows:
        settings = by_setting(select(usable, row=row, data=data, epochs=epochs, pairs=pairs))
        if not settings:
            raise not_found(row, usable, runs)
        chosen, names = largest(settings, label=row), dict(zip(settings, describe(list(settings)), strict=True))
        found[row], shown[row] = settings[chosen], names[chosen]
        left_out = [f"{len(each)} of {names[key]}" for key, each in settings.items() if key != chosen]
        rest = f"; left out: {'; '.join(left_out)}" if left_out else ""
        note(f"{row}: {counted(len(found[row]), 'run')} of {shown[row]}{rest}")
    errors = {
        row: mean_and_std([expected_calibration_error(record.calibration) for record in records])
        for row, records in found.items()
    }
    bins = {row: pooled([record.calibration for record in records]) for row, records in found.items()}
    if output is not None:
        from pairnet.reporting.figures.calibration import reliability_diagram

        write_figure(reliability_diagram(bins), output, force=force)
    if as_json:
        print_json(
            {
                row: {
                    "setting": shown[row],
                    "runs": len(found[row]),
                    "expected_calibration_error": errors[row][0],
                    "std": errors[row][1],
                    "pooled_calibration_error": expected_calibration_error(bins[row]),
                    "bins": bins[row],
                }
                for row in rows
            }
        )
        return
    numbers = unbroken("runs", "pairs", "expected calibration error", "pooled")
    table = plain_table("row", *numbers, title="Calibration on held-out pairs", least=("pairs", "runs", "pooled"))
    for row in rows:
        count, (mean, std), error = sum(n for n, _, _ in bins[row]), errors[row], expected_calibration_error(bins[row])
        spread = "" if std is None else f" ± {100 * std:.2f}"
        shown_error = f"{100 * mean:.2f}{spread} %"
        table.add_row(printable(row), str(len(found[row])), f"{count:,}", shown_error, f"{100 * error:.2f} %")
    console().print(table)
