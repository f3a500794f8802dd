"""Computes studies and shows their tables: what `pairnet reproduce` and `pairnet study` share."""

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pairnet.cli.common import announce
from pairnet.cli.output import console, note, print_json, print_text, printable
from pairnet.errors import ArgumentError, MissingExtraError, RecordError, TrainingError
from pairnet.wording import capitalised

if TYPE_CHECKING:
    from pairnet.data.sources import Dataset
    from pairnet.records.record import FailedRun, RunRecord
    from pairnet.records.run import Run
    from pairnet.records.store import Stored
    from pairnet.reporting.family import Family
    from pairnet.reporting.summaries import Summary
    from pairnet.study.events import Engine
    from pairnet.study.plan import Chosen, Study


ROWS = 5
"""Rows that the line about failed runs names."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a command line asks for; None leaves a choice to the study."""

    studies: tuple["Study", ...]
    runs: Path
    draws: int | None = None
    first_seed: int | None = None
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


@dataclass(frozen=True, kw_only=True)
class Part:
    """The rows of one study on one data set: all their runs, and those that this command computes."""

    study: "Study"
    dataset: "Dataset"
    every: "Sequence[Run]"
    planned: "Sequence[Run]"
    chosen: "Chosen"


def plan_parts(request: Request) -> list[Part]:
    """What a request takes, with its images loaded and announced; everything is checked, nothing is run."""
    from pairnet.data.drawing import Sizes, check_images, choose_sizes, require_same_images
    from pairnet.data.sources import Dataset, load_dataset
    from pairnet.study.budget import check_minutes
    from pairnet.study.plan import Chosen, plan
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
            before = study.choice(source)  # of a file that was kept with its runs
            asked = request.data if source is None else None
            name = asked or (before.data if before else source or study.data)
            dataset = datasets.setdefault(name, datasets.get(name) or load_dataset(name, data_dir=request.data_dir))
            if before is not None and asked is None and request.data_dir is None:
                require_same_images(dataset, owner=study.name, name=before.data, checksum=before.checksum)
            sizes = choose_sizes(
                dataset,
                pairs=(before or study).pairs if request.pairs is None else request.pairs,
                test_pairs=(before or study).test_pairs if request.test_pairs is None else request.test_pairs,
            )
            chosen = Chosen(
                rows=source,
                data=dataset.source,
                checksum=dataset.checksum,
                pairs=sizes.pairs,
                test_pairs=sizes.test_pairs,
            )
            every = plan(
                study,
                dataset.images,
                draws=request.draws,
                first_seed=request.first_seed,
                epochs=request.epochs,
                pairs=sizes.pairs,
                test_pairs=sizes.test_pairs,
                device=device,
                measurements=request.measurements,
                source=source,
            )
            announced.setdefault(name, (dataset, sizes))
            for run in every:
                check_images(run, dataset)
            found.append(Part(study=study, dataset=dataset, every=every, planned=every, chosen=chosen))
    shares: list[Sequence[Run]] = [part.every for part in found]
    if share is not None:
        shares = list(of_shard(shares, share))
    for dataset, sizes in announced.values():  # nothing can fail any more
        announce(dataset, sizes)
    return [replace(part, planned=planned) for part, planned in zip(found, shares, strict=True)]


def as_run(request: Request, parts: Sequence[Part]) -> "list[Study]":
    """The studies of a request with what was chosen for them."""
    return [
        replace(study, chosen=tuple(part.chosen for part in parts if part.study is study)) for study in request.studies
    ]


def compute(request: Request) -> None:
    """Computes what a request asks for, prints the tables and writes the report.

    TrainingError, at the end, if runs failed.
    """
    from pairnet.records.store import opened
    from pairnet.reporting.effects import families_of, with_goals
    from pairnet.reporting.summaries import summarise, unlike_the_paper
    from pairnet.study.budget import limits
    from pairnet.study.kept import keep_file
    from pairnet.study.running import choose_engine

    parts = plan_parts(request)
    engines = [
        choose_engine(request.engine, part.planned, part.dataset, workers=request.jobs, address=request.address)
        for part in parts
    ]
    failures: dict[str, FailedRun] = {}
    results: dict[str, Any] = {}
    with opened(request.runs) as stored:  # everything is checked, and the records are read once
        for study in as_run(request, parts):
            keep_file(study, request.runs)
        remaining = limits(request.minutes, sum(bool(part.planned) for part in parts))
        for study in request.studies:
            rows: dict[str, list[RunRecord]] = {}
            failed: dict[str, list[FailedRun]] = {}
            for part, engine in zip(parts, engines, strict=True):
                if part.study is study:
                    rows |= _compute_part(request, part, engine, stored, remaining)
                    failed |= _failed(part, stored)
                    failures |= {run.fingerprint: each for run in part.planned if (each := _failure(run, stored))}
            effects = families_of(study, rows, failed)
            summaries = with_goals(summarise(study, rows, failed), effects)
            results[study.name] = [asdict(summary) for summary in summaries]
            if not request.as_json and summaries:
                _print(study, summaries, rows, unlike_the_paper(study, rows), markdown=request.markdown)
                _print_effects(study, effects, markdown=request.markdown)
        if request.as_json:
            print_json(results)
        if request.report:
            _report(request, parts, stored)
    if failures:
        raise TrainingError(_what_failed(list(failures.values()), sum(len(part.planned) for part in parts)))


def _failed(part: Part, stored: "Stored") -> "dict[str, list[FailedRun]]":
    """The failed runs of each row of a part, by label; a run under two labels belongs to both rows."""
    found: dict[str, list[FailedRun]] = {}
    for run in part.every:
        if (failure := _failure(run, stored)) is not None:
            found.setdefault(run.name, []).append(failure)
    return found


def _failure(run: "Run", stored: "Stored") -> "FailedRun | None":
    """How a run failed, if it did and has no result."""
    return None if run.fingerprint in stored.records else stored.failures.get(run.fingerprint)


def _what_failed(failures: "Sequence[FailedRun]", runs: int) -> str:
    """The line at the end of a study: how many of its runs failed, of which rows, how, and what to do."""
    from pairnet.records.failures import how_they_failed

    rows = Counter(failure.label for failure in failures)
    named = ", ".join(f"{label} {count}" for label, count in rows.most_common(ROWS))
    more = f" and {len(rows) - ROWS} more rows" if len(rows) > ROWS else ""
    return (
        f"{len(failures)} of {runs} runs failed ({how_they_failed(failures)}): {named}{more}; the first: "
        f"{failures[0].error}; the finished runs are kept, `retry_failed` runs the failed ones again"
    )


def _compute_part(
    request: Request, part: Part, engine: "Engine", stored: "Stored", remaining: "Iterator[float | None]"
) -> "dict[str, list[RunRecord]]":
    """Computes the runs of one part -> the records of its rows."""
    from pairnet.cli.study_display import display_of
    from pairnet.records.store import RECORDS
    from pairnet.reporting.summaries import by_row
    from pairnet.study.running import recorded, run_study

    study, labels = part.study, [run.name for run in part.every]
    count, of = len(part.planned), f"shard {request.shard}, " if request.shard else ""
    if not part.planned:
        note(f"{study.title}: {of}none of {len(part.every)} runs")
        return by_row(study, labels, recorded(part.every, stored))
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
            stored=stored,
        )
    if result.left:
        ours, left = ({run.draw for run in some} for some in (part.planned, result.left))
        took = f"{(time.monotonic() - begun) / 60:.1f} minutes"
        note(f"draws done: {len(ours - left)} of {len(ours)}, after {took}; the same command continues")
    answers = recorded(part.every, stored) if request.shard else result.records
    return by_row(study, labels, answers)


def _print(
    study: "Study",
    summaries: "Sequence[Summary]",
    rows: "dict[str, list[RunRecord]]",
    remark: str,
    *,
    markdown: bool,
) -> None:
    """One table, with what its figures were measured on."""
    from pairnet.reporting.component_tables import component_note, held_note
    from pairnet.reporting.markdown import markdown_table, plain
    from pairnet.reporting.summaries import measured_on
    from pairnet.reporting.terminal import components_table, study_table

    if markdown:
        print_text(markdown_table(summaries))
        for line in filter(None, (remark, held_note(study))):
            print_text(f"\n{plain(capitalised(line))}.")
        return
    printed = console()
    printed.print(study_table(study, summaries))
    for each in summaries:
        if each.components is not None:
            printed.print(printable(component_note(each)))
            if each.components.sources:
                printed.print(components_table(each.components))
    if remark:
        printed.print(printable(remark), style="yellow")
    if finished := [record for records in rows.values() for record in records]:
        printed.print(printable(f"measured on {measured_on(finished)}"), style="dim")
    printed.print()


def _print_effects(study: "Study", families: "Sequence[Family]", *, markdown: bool) -> None:
    """The contrasts that a study asks for; the default comparisons with its first row are on the page only."""
    from pairnet.reporting.markdown import markdown_effects
    from pairnet.reporting.terminal import effects_table

    for family in families:
        if family.name == study.name and not (study.contrasts or study.compare):
            continue
        if markdown:
            print_text(f"\n{markdown_effects(family)}")
        else:
            console().print(effects_table(family))


def _report(request: Request, parts: Sequence[Part], stored: "Stored") -> None:
    """Writes the page about all runs in the folder that have the setting of these; notes its path, or why not."""
    from pairnet.cli.report import PAGE, write_page
    from pairnet.records.collection import collect
    from pairnet.study.kept import kept_files

    collected = collect(request.runs, stored=stored)
    every, failures = list(collected.records.values()), list(collected.failures.values())
    first = next((part.every[0] for part in parts if part.every), None)
    if first is None or not every:
        if failures:
            note("no report: no run has finished")
        return
    sums = {part.dataset.checksum for part in parts}

    def belongs(run: "Run | None") -> bool:
        return run is not None and run.images.checksum in sums and run.device == first.device

    records = [each for each in every if belongs(each.run)]
    path = request.runs / PAGE
    asked = {(study.name, study.digest) for study in as_run(request, parts) if study.file is not None}
    try:
        with console(stderr=True).status("writing the report"):
            write_page(
                records,
                path,
                failures=[each for each in failures if belongs(each.run)],
                every=every,
                every_failure=failures,
                own=[study for study in kept_files(request.runs) if (study.name, study.digest) in asked],
                pairs=parts[0].chosen.pairs,
                test_pairs=parts[0].chosen.test_pairs,
                epochs="own" if request.epochs is None else request.epochs,
                images=[part.dataset for part in parts],
                runs=request.runs,
                data_dir=request.data_dir,
            )
    except (MissingExtraError, ArgumentError, RecordError) as error:  # the folder is something else's, no draw is done
        note(f"no report: {error}")
        return
    note(f"report  {path}")
