"""`pairnet study`: a study of one's own, from a file."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.artifact.text import counted
from pairnet.cli.common import DataDir, Device, Json, Measurements, Runs, number_of
from pairnet.cli.output import plain_table, print_json, print_line, printable
from pairnet.cli.studying import (
    Address,
    AsMarkdown,
    EngineName,
    Jobs,
    Minutes,
    NoReport,
    Request,
    RetryFailed,
    ShardName,
    compute,
    plan_parts,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairnet.cli.studying import Part
    from pairnet.study.plan import Study


def study(
    file: Annotated[Path, typer.Argument(help="Study file, .toml.")],
    draws: Annotated[int | None, typer.Option(help="Number of draws of pairs.", show_default="the file's")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.", show_default="the file's"),
    ] = None,
    data_dir: DataDir = None,
    measurements: Measurements = "5",
    minutes: Minutes = None,
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    device: Device = "auto",
    runs: Runs = Path("runs"),
    shard: ShardName = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
    retry_failed: RetryFailed = False,
    as_json: Json = False,
    markdown: AsMarkdown = False,
    no_report: NoReport = False,
) -> None:
    """Run a study from a file.

    The file names variants, rows, settings and grids; each combination of a grid is a row. Everything is expanded and
    checked before anything starts. Each run is recorded as soon as it has finished: after an interruption, the same
    command continues. The file is kept with its runs, so `pairnet report` shows its table.
    """
    from pairnet.study.files import read_study

    request = Request(
        studies=(read_study(file),),
        file=file,
        runs=runs,
        draws=draws,
        data=data,
        data_dir=data_dir,
        measurements=number_of(measurements),
        minutes=minutes,
        jobs=jobs,
        engine=engine,
        address=address,
        device=device,
        shard=shard,
        retry_failed=retry_failed,
        as_json=as_json,
        markdown=markdown,
        report=not no_report,
    )
    if dry_run:
        _show_plan(request.studies[0], plan_parts(request), as_json=as_json)
    else:
        compute(request)


def _show_plan(study: "Study", parts: "Sequence[Part]", *, as_json: bool) -> None:
    """Prints rows, runs and the estimated time of a study."""
    from pairnet.cli.output import console
    from pairnet.models.variants import count_multiply_adds, count_parameters
    from pairnet.reporting.summaries import duration
    from pairnet.study.estimate import core_seconds

    rows: list[dict[str, Any]] = []
    for row in study.rows:
        runs = [run for part in parts for run in part.planned if run.label == row.label]
        rows.append(
            {
                "row": row.label,
                "parameters": count_parameters(row.variant),
                "multiply_adds": count_multiply_adds(row.variant),
                "draws": len({run.seed for run in runs}),
                "runs": len(runs),
                "core_seconds": round(core_seconds(runs), 3),
            }
        )
    count, seconds = sum(each["runs"] for each in rows), sum(each["core_seconds"] for each in rows)
    if as_json:
        print_json({"title": study.title, "rows": rows, "runs": count, "core_seconds": round(seconds, 3)})
        return
    table = plain_table("row", title=printable(study.title))
    for heading in ("parameters", "draws", "runs", "time on a core"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in rows:
        figures = (f"{each['parameters']:,}", str(each["draws"]), f"{each['runs']:,}", duration(each["core_seconds"]))
        table.add_row(printable(each["row"]), *figures)
    console().print(table)
    hours = f"about {seconds / 3600:.2g} core-hours"
    print_line(f"{counted(len(rows), 'row')}, {counted(count, 'run')}, {hours}; nothing was run")
