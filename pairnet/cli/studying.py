"""Computes studies and shows their tables: what `pairnet reproduce` and `pairnet study` share."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.artifact.text import capitalised
from pairnet.cli.common import announce
from pairnet.cli.output import console, note, print_json, print_text, printable
from pairnet.errors import MissingExtraError, TrainingError

if TYPE_CHECKING:
    from pairnet.data.sources import Dataset
    from pairnet.reporting.summaries import Summary
    from pairnet.study.plan import Study
    from pairnet.study.records import FailedRun, RunRecord
    from pairnet.study.runs import Run

Minutes = Annotated[
    float | None, typer.Option(help="Time to take: as many whole draws as fit.", show_default="all draws")
]
Jobs = Annotated[int | None, typer.Option(help="Number of runs at once.", show_default="one for each core")]
EngineName = Annotated[
    str | None,
    typer.Option("--engine", help="processes, stacked or ray.", show_default="processes on a CPU, stacked on a GPU"),
]
Address = Annotated[
    str | None,
    typer.Option(
        metavar="auto|HOST:PORT",
        help="Ray cluster for the engine ray; auto is the one of this machine.",
        show_default="Ray is started for the study",
    ),
]
ShardName = Annotated[
    str | None,
    typer.Option("--shard", metavar="I/N", help="Only the I-th of N shares of the runs.", show_default="all runs"),
]
RetryFailed = Annotated[bool, typer.Option("--retry-failed", help="Run again the runs that failed.")]
AsMarkdown = Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")]
NoReport = Annotated[bool, typer.Option("--no-report", help="Write no report at the end.")]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for; None leaves a choice to the study."""

    studies: tuple["Study", ...]
    runs: Path
    draws: int | None = None
    data: str | None = None
    data_dir: Path | None = None
    epochs: int | None = None
    pairs: int | None = None
    test_pairs: int | None = None
    measurements: int | None = None  # None: after every epoch
    minutes: float | None = None
    jobs: int | None = None
    engine: str | None = None
    address: str | None = None
    device: str = "auto"
    shard: str | None = None
    retry_failed: bool = False
    as_json: bool = False
    markdown: bool = False
    report: bool = True
    file: Path | None = None  # the study file, if the study is not one of the package


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one study on one data set: all their runs, and those that this command computes."""

    study: "Study"
    dataset: "Dataset"
    every: "Sequence[Run]"
    planned: "Sequence[Run]"


def plan_parts(request: Request) -> list[Part]:
    """What a request takes, with its images loaded and announced; everything is checked, nothing is run."""
    from pairnet.data.sources import Dataset, load_dataset
    from pairnet.study.budget import check_minutes
    from pairnet.study.plan import plan
    from pairnet.study.runs import Sizes, check_size, choose_sizes
    from pairnet.study.sharding import of_shard, parse_shard
    from pairnet.training.device import resolve_device

    check_minutes(request.minutes)
    share = None if request.shard is None else parse_shard(request.shard)
    device = resolve_device(request.device)
    datasets: dict[str, Dataset] = {}
    announced: dict[str, tuple[Dataset, Sizes]] = {}
    found = []
    for study in request.studies:
        for source in study.sources:
            name = source or request.data or study.data
            dataset = datasets.get(name) or load_dataset(name, data_dir=request.data_dir)
            sizes = choose_sizes(
                dataset,
                pairs=study.pairs if request.pairs is None else request.pairs,
                test_pairs=study.test_pairs if request.test_pairs is None else request.test_pairs,
            )
            every = plan(
                study,
                draws=study.draws if request.draws is None else request.draws,
                epochs=request.epochs,
                pairs=sizes.pairs,
                test_pairs=sizes.test_pairs,
                device=device,
                measurements=request.measurements,
                source=source,
            )
            datasets[name] = dataset
            announced.setdefault(name, (dataset, sizes))
            for run in every:
                check_size(run, dataset)
            found.append(Part(study=study, dataset=dataset, every=every, planned=every))
    shares: list[Sequence[Run]] = [part.every for part in found]
    if share is not None:
        shares = list(of_shard(shares, share))
    for dataset, sizes in announced.values():  # nothing can fail any more
        announce(dataset, sizes)
    return [
        Part(study=part.study, dataset=part.dataset, every=part.every, planned=planned)
        for part, planned in zip(found, shares, strict=True)
    ]


def compute(request: Request) -> None:
    """Computes what a request asks for, prints the tables and writes the report.

    TrainingError, at the end, if runs failed.
    """
    from pairnet.cli.study_display import display_of
    from pairnet.reporting.summaries import by_row, summarise, unlike_the_paper
    from pairnet.study.budget import limits
    from pairnet.study.files import keep_file
    from pairnet.study.running import choose_engine, recorded, run_study
    from pairnet.study.store import RECORDS

    parts = plan_parts(request)
    if request.file is not None:
        keep_file(request.file, request.runs)
    failures: list[FailedRun] = []
    results: dict[str, Any] = {}
    remaining = limits(request.minutes, sum(bool(part.planned) for part in parts))
    for study in request.studies:
        rows: dict[str, list[RunRecord]] = {}
        for part in (part for part in parts if part.study is study):
            answers: Sequence[RunRecord | None] = ()
            count, of = len(part.planned), f"shard {request.shard}, " if request.shard else ""
            if part.planned:
                engine = choose_engine(
                    request.engine, part.planned, part.dataset, workers=request.jobs, address=request.address
                )
                how = f"{engine.manner} on {part.planned[0].device}"
                whole = f" of {len(part.every)}" if request.shard else ""
                note(f"{study.title}: {of}{count}{whole} runs, {how}, records in {request.runs / RECORDS}")
                begun, limit = time.monotonic(), next(remaining)
                with display_of(console(stderr=True), study, part.planned, minutes=limit) as display:
                    result = run_study(
                        part.planned,
                        part.dataset,
                        request.runs,
                        engine=engine,
                        retry_failed=request.retry_failed,
                        minutes=limit,
                        on_event=display,
                    )
                if result.left:
                    ours, left = ({run.seed for run in some} for some in (part.planned, result.left))
                    took = f"{(time.monotonic() - begun) / 60:.1f} minutes"
                    note(f"draws done: {len(ours - left)} of {len(ours)}, after {took}; the same command continues")
                failures += result.failures
                answers = result.records
            else:
                note(f"{study.title}: {of}none of {len(part.every)} runs")
            if request.shard:
                answers = recorded(part.every, part.dataset, request.runs)
            rows.update(by_row(study, [run.name for run in part.every], answers))
        summaries = summarise(study, rows)
        results[study.name] = [asdict(summary) for summary in summaries]
        if not request.as_json and summaries:
            _print(study, summaries, rows, unlike_the_paper(study, rows), markdown=request.markdown)
    if request.as_json:
        print_json(results)
    if request.report:
        _report(request, parts)
    if failures:
        raise TrainingError(
            f"{len(failures)} of {sum(len(part.planned) for part in parts)} runs failed, the first: "
            f"{failures[0].label}: {failures[0].failure}; the finished runs are kept, `retry_failed` runs the failed "
            "ones again"
        )


def _print(
    study: "Study",
    summaries: "Sequence[Summary]",
    rows: "dict[str, list[RunRecord]]",
    remark: str,
    *,
    markdown: bool,
) -> None:
    """One table, with what its figures were measured on."""
    from pairnet.reporting.markdown import markdown_table
    from pairnet.reporting.summaries import measured_on
    from pairnet.reporting.terminal import study_table

    if markdown:
        print_text(markdown_table(summaries))
        if remark:
            print_text(f"\n{capitalised(remark)}.")
        return
    printed = console()
    printed.print(study_table(study, summaries))
    if remark:
        printed.print(printable(remark), style="yellow")
    finished = [record for records in rows.values() for record in records]
    printed.print(printable(f"measured on {measured_on(finished)}"), style="dim")
    printed.print()


def _report(request: Request, parts: Sequence[Part]) -> None:
    """Writes the page about all runs in the folder that have the setting of these; notes its path, or why not."""
    from pairnet.cli.report import PAGE, write_page
    from pairnet.study.collection import collect

    every = [found.record for found in collect(request.runs)]
    first = next((part.every[0] for part in parts if part.every), None)
    if first is None or not every:
        return
    sums = {part.dataset.checksum for part in parts}
    records = [record for record in every if record.data.checksum in sums and record.environment.device == first.device]
    path = request.runs / PAGE
    try:
        with console(stderr=True).status("writing the report"):
            write_page(
                records,
                path,
                every=every,
                own=request.studies if request.file is not None else (),
                pairs=first.pairs,
                test_pairs=first.tested,
                epochs="own" if request.epochs is None else request.epochs,
                images=parts[0].dataset,
                data_dir=request.data_dir,
            )
    except MissingExtraError as error:
        note(f"no report: {error}")
        return
    note(f"report  {path}")
