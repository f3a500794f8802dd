"""`pairnet reproduce` and `pairnet study`: one command, for the paper's tables or for a study of one's own."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import (
    DataDir,
    Device,
    Epochs,
    Json,
    Measurements,
    Pairs,
    Runs,
    TestPairs,
    note_margins,
    number_of,
)
from pairnet.cli.output import note, plain_table, print_json, print_line, printable
from pairnet.cli.studying import Request, compute, plan_parts
from pairnet.errors import ArgumentError, MissingExtraError
from pairnet.wording import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pairnet.cli.studying import Part
    from pairnet.reporting.planned import Expected
    from pairnet.reporting.power import Outlook
    from pairnet.study.plan import Study

REPRODUCE = "reproduce"
"""The name under which the command takes Table III if nothing else is named."""


def study(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Study file, .toml.", show_default="a table")] = None,
    table: Annotated[
        str | None,
        typer.Option(
            help="1, 2 or 3 (the paper's I, II, III), dropout, all of these four, 2-folds, order or ablation.",
            show_default="3 for `pairnet reproduce`",
        ),
    ] = None,
    draws: Annotated[
        int | None,
        typer.Option(help="Number of draws of pairs, each with new initial weights.", show_default="10, or the file's"),
    ] = None,
    first_seed: Annotated[
        int | None, typer.Option(min=0, help="Number of the first draw of a table.", show_default="0")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(help="auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.", show_default="auto"),
    ] = None,
    data_dir: DataDir = None,
    epochs: Epochs = None,
    pairs: Pairs = None,
    test_pairs: TestPairs = None,
    measurements: Measurements = "5",
    minutes: Annotated[
        float | None, typer.Option(help="Time to take: as many whole draws as fit.", show_default="all draws")
    ] = None,
    jobs: Annotated[int | None, typer.Option(help="Number of runs at once.", show_default="one for each core")] = None,
    engine: Annotated[
        str | None,
        typer.Option(help="processes, stacked or ray.", show_default="processes on a CPU, stacked on a GPU"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            metavar="auto|HOST:PORT",
            help="Ray cluster for the engine ray; auto is the one of this machine.",
            show_default="Ray is started for the study",
        ),
    ] = None,
    device: Device = "auto",
    runs: Runs = Path("runs"),
    shard: Annotated[
        str | None, typer.Option(metavar="I/N", help="Only the I-th of N shares of the runs.", show_default="all runs")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be run, and run nothing.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again the runs that failed.")] = False,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
    no_report: Annotated[bool, typer.Option("--no-report", help="Write no report at the end.")] = False,
) -> None:
    """Run a study: a table of the paper, or one of your own from a file.

    Trains the networks, prints measured values next to the paper's, and writes a report (`pairnet report`). A file
    names variants, rows, settings and grids; each combination of a grid is a row. Everything is expanded and checked
    before anything starts. Each run is recorded as soon as it has finished: after an interruption, or when --minutes
    are over, the same command continues from there. The file is kept with its runs, so a report shows its table.

    With --shard, N machines or array tasks share the runs, each with a folder --runs of its own; the folds of a draw
    stay together. The table then shows what the folder holds, and `pairnet runs merge` puts the folders together.
    """
    if file is not None and epochs is not None:
        raise ArgumentError(
            f"expected the numbers of `epochs` in {file}, got {epochs}: write set = {{ epochs = {epochs} }}"
        )
    if file is not None and first_seed is not None:
        raise ArgumentError(f"expected `first_seed` in {file}, got {first_seed}: write first_seed = {first_seed}")
    table = "3" if table is None and file is None and context.info_name == REPRODUCE else table
    request = Request(
        studies=_studies(file, table),
        runs=runs,
        draws=draws,
        first_seed=first_seed,
        data=data,
        data_dir=data_dir,
        epochs=epochs,
        pairs=pairs,
        test_pairs=test_pairs,
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
    note_margins([each.margin for study in request.studies for each in study.contrasts])
    if dry_run:
        _show_plan(request, plan_parts(request))
    else:
        compute(request)


def _studies(file: Path | None, table: str | None) -> "tuple[Study, ...]":
    """The study in `file`, or the tables that `table` names."""
    from pairnet.study.files import read_study
    from pairnet.study.tables import PAPER, studies

    if file is not None:
        if table is not None:
            raise ArgumentError(f'expected a study file or `table`, got both, {file} and "{table}": leave one out')
        return (read_study(file),)
    if table is None:
        raise ArgumentError("expected a study file, or `table` for one of the paper, got none: name one")
    known = studies()
    name = {"I": "1", "II": "2", "III": "3"}.get(table, table)
    if name != "all" and name not in known:
        raise ArgumentError(f'expected `table` to be {", ".join(known)} or all, got "{table}": choose one of these')
    return tuple(known[each] for each in (PAPER if name == "all" else (name,)))


def _show_plan(request: Request, parts: "Sequence[Part]") -> None:
    """Prints rows, runs and the estimated time of some studies, and what they will probably show."""
    from pairnet.cli.output import console
    from pairnet.models.variants import count_multiply_adds, count_parameters
    from pairnet.reporting.formats import duration
    from pairnet.reporting.planned import HEADINGS as OF_CONTRASTS
    from pairnet.reporting.planned import expected_cells, expected_title, unknown_text
    from pairnet.reporting.power import HEADINGS, outlook_cells, outlook_title
    from pairnet.study.estimate import core_seconds, steps_of

    studies, rows = request.studies, list[dict[str, Any]]()
    for study, row in [(each, row) for each in studies for row in each.rows]:
        runs = [run for part in parts if part.study is study for run in part.planned if run.label == row.label]
        rows.append(
            {
                "row": row.label,
                "parameters": count_parameters(row.variant),
                "multiply_adds": count_multiply_adds(row.variant),
                "draws": len({run.draw for run in runs}),
                "runs": len(runs),
                "epochs": row.variant.recipe.epochs if request.epochs is None else request.epochs,
                "steps": steps_of(runs[0]) if runs else None,
                "core_seconds": round(core_seconds(runs), 3),
            }
        )
    title = ", ".join(study.title for study in studies)
    count, seconds = sum(each["runs"] for each in rows), sum(each["core_seconds"] for each in rows)
    shown, own = _outlooks(request, parts)
    if request.as_json:
        power = {name: [asdict(each) for each in found] for name, found in shown.items()}
        contrasts = {name: [asdict(each) for each in found] for name, found in own.items()}
        plan = {"title": title, "rows": rows, "runs": count, "core_seconds": round(seconds, 3)}
        print_json({**plan, "power": power, "contrasts": contrasts})
        return
    table = plain_table("row", title=printable(title), least=("parameters", "draws"))
    by_steps = any(row.steps for study in studies for row in study.rows)
    for heading in ("parameters", "draws", "runs", *(["epochs", "steps"] if by_steps else []), "time on a core"):
        table.add_column(heading, justify="right", no_wrap=True)
    for each in rows:
        figures = (f"{each['parameters']:,}", str(each["draws"]), f"{each['runs']:,}")
        length = (f"{each['epochs']:,}", f"{each['steps'] or 0:,}") if by_steps else ()
        table.add_row(printable(each["row"]), *figures, *length, duration(each["core_seconds"]))
    console().print(table)
    hours = f"about {seconds / 3600:.2g} core-hours"
    print_line(f"{counted(len(rows), 'row')}, {counted(count, 'run')}, {hours}; nothing was run")
    for study in studies:
        if not (expected := shown.get(study.name)):
            continue
        lines = [outlook_cells(each) for each in expected]
        _print_power(HEADINGS, lines, title=outlook_title(expected), caption=unknown_text(study, own[study.name]))
        if lines := [expected_cells(each) for each in own[study.name]]:
            _print_power(OF_CONTRASTS, lines, title=printable(expected_title(study)))


def _print_power(
    headings: "Sequence[str]", lines: "Sequence[Sequence[str]]", *, title: str, caption: str | None = None
) -> None:
    from pairnet.cli.output import console

    table = plain_table(headings[0], title=title, caption=caption or None, least=("std", "corrected", "recorded"))
    table.shares = (0.45, 0.45)  # the figures are more than the names of what they are like
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    for line in lines:
        table.add_row(*map(printable, line))
    console().print(table)


def _outlooks(
    request: Request, parts: "Sequence[Part]"
) -> "tuple[dict[str, list[Outlook]], dict[str, list[Expected]]]":
    """What each study and its contrasts will probably show, with the spread of what its folder holds."""
    from pairnet.records.collection import collect
    from pairnet.reporting.planned import expected_of, family_sizes
    from pairnet.reporting.power import outlooks

    records = list(collect(request.runs).records.values()) if request.runs.is_dir() else []
    found, own = {}, {}
    for study in request.studies:
        runs = [run for part in parts if part.study is study for run in part.every]
        try:
            comparisons = max(family_sizes(study, runs).values(), default=1)
            found[study.name] = outlooks(runs, records, seeding=study.seeding, comparisons=comparisons)
            own[study.name] = expected_of(study, runs, records)
        except MissingExtraError as error:
            note(f"no smallest difference: {error}")
    return found, own
