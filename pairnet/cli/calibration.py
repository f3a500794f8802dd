"""`pairnet calibration`: whether a probability of 0.9 is right nine times out of ten."""

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.table import Table

from pairnet.cli.common import Json, Runs, console, print_json


def calibration(
    rows: Annotated[list[str], typer.Argument(help="Rows of the tables that have been reproduced.")],
    runs: Runs = Path("runs"),
    figure: Annotated[Path | None, typer.Option(help="Reliability diagram, .svg, .png or .pdf.")] = None,
    as_json: Json = False,
) -> None:
    """Show how far the probabilities of finished runs can be trusted: expected calibration error, reliability diagram.

    Takes all records of each row in RUNS, whose held-out pairs are pooled: first run `pairnet reproduce`.
    """
    from pairnet.errors import ArgumentError
    from pairnet.study.store import RECORDS, read_records
    from pairnet.training.calibration import expected_calibration_error, pooled

    records = read_records(runs)
    found = {
        row: [r.calibration for r in records if r.label == row and r.calibration and r.fold is None] for row in rows
    }
    if missing := [row for row, each in found.items() if not each]:
        known = sorted({record.label for record in records if record.calibration})
        there = f"there are {', '.join(known)}" if known else "`pairnet reproduce` makes them"
        raise ArgumentError(f"{runs / RECORDS} has no finished run of {', '.join(missing)}; {there}")
    bins = {row: pooled(each) for row, each in found.items()}
    if figure is not None:
        from pairnet.reporting.figures import reliability_diagram, save

        save(reliability_diagram(bins), figure)
        console(stderr=True).print(f"wrote {escape(str(figure))}")
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
    table = Table("row", title="Calibration on held-out pairs", title_justify="left")
    for heading in ("runs", "pairs", "expected calibration error"):
        table.add_column(heading, justify="right")
    for row in rows:
        pairs, error = sum(count for count, _, _ in bins[row]), expected_calibration_error(bins[row])
        table.add_row(escape(row), str(len(found[row])), f"{pairs:,}", f"{100 * error:.2f} %")
    console().print(table)
