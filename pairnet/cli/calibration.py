"""`pairnet calibration`: how far the probabilities of finished runs can be trusted."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import Json, Runs
from pairnet.cli.output import console, note, print_json, printable, writing
from pairnet.errors import RecordError


def calibration(
    rows: Annotated[list[str], typer.Argument(help="Rows of the tables that have been reproduced.")],
    runs: Runs = Path("runs"),
    output: Annotated[Path | None, typer.Option(help="Reliability diagram to write, .svg, .png or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Measure the calibration of finished runs.

    Prints the expected calibration error and draws the reliability diagram. All records of a row in the folder --runs
    are taken, and their held-out pairs pooled: run `pairnet reproduce` first.
    """
    from pairnet.study.store import RECORDS, read_records
    from pairnet.training.calibration import expected_calibration_error, pooled

    records = read_records(runs)
    usable = [record for record in records if record.calibration and record.fold is None]
    found = {row: [record.calibration for record in usable if record.label == row] for row in rows}
    if missing := [row for row, recorded in found.items() if not recorded]:
        known = ", ".join(sorted({record.label for record in usable})) or "none"
        remedy = "name one of these, or run `pairnet reproduce`"
        raise RecordError(f"expected finished runs of {', '.join(missing)} in {runs / RECORDS}, got {known}: {remedy}")
    bins = {row: pooled(recorded) for row, recorded in found.items()}
    if output is not None:
        from pairnet.reporting.figures import reliability_diagram, save

        with writing(output):
            save(reliability_diagram(bins), output)
        note(f"wrote {output}")
    if as_json:
        print_json(
            {
                row: {
                    "runs": len(found[row]),
                    "expected_calibration_error": expected_calibration_error(bins[row]),
                    "bins": bins[row],
                }
                for row in rows
            }
        )
        return
    from rich.table import Table

    table = Table("row", title="Calibration on held-out pairs", title_justify="left")
    for heading in ("runs", "pairs", "expected calibration error"):
        table.add_column(heading, justify="right")
    for row in rows:
        pairs, error = sum(count for count, _, _ in bins[row]), expected_calibration_error(bins[row])
        table.add_row(printable(row), str(len(found[row])), f"{pairs:,}", f"{100 * error:.2f} %")
    console().print(table)
