"""`pairnet reproduce`: the paper's tables."""

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import Data, DataDir, Device, Epochs, Json, Pairs, Runs, TestPairs, announce
from pairnet.cli.output import console, note, print_json, print_text, printable
from pairnet.errors import ArgumentError, TrainingError

if TYPE_CHECKING:
    from pairnet.study.records import FailedRun


def reproduce(
    table: Annotated[
        str, typer.Option(help="1, 2 or 3 (the paper's I, II, III), dropout, all of these four, order or ablation.")
    ] = "3",
    draws: Annotated[int, typer.Option(help="Number of draws of pairs, each with new initial weights.")] = 10,
    data: Data = "auto",
    data_dir: DataDir = None,
    epochs: Epochs = None,
    pairs: Pairs = None,
    test_pairs: TestPairs = None,
    jobs: Annotated[int | None, typer.Option(help="Number of runs at once.", show_default="one for each core")] = None,
    device: Device = "auto",
    runs: Runs = Path("runs"),
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Run again the runs that failed.")] = False,
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
) -> None:
    """Reproduce the paper's tables.

    Trains the paper's networks and prints measured values next to the paper's. Each run is recorded as soon as it has
    finished: after an interruption, the same command continues from there.
    """
    from pairnet.cli.progress import StudyDisplay
    from pairnet.data.sources import load_dataset
    from pairnet.host import cores
    from pairnet.reporting.markdown import markdown_table
    from pairnet.reporting.summaries import by_row, measured_on, summarise, unlike_the_paper
    from pairnet.reporting.terminal import study_table
    from pairnet.study.running import default_engine, run_study
    from pairnet.study.runs import choose_sizes
    from pairnet.study.store import RECORDS
    from pairnet.study.tables import PAPER, plan, studies
    from pairnet.training.device import resolve_device

    known = studies()
    table = {"I": "1", "II": "2", "III": "3"}.get(table, table)
    if table != "all" and table not in known:
        raise ArgumentError(f'expected `table` to be {", ".join(known)} or all, got "{table}"')
    chosen = [known[name] for name in (PAPER if table == "all" else (table,))]
    device = resolve_device(device)
    dataset = load_dataset(data, data_dir=data_dir)
    sizes = choose_sizes(dataset, pairs=pairs, test_pairs=test_pairs)
    planned_for = partial(
        plan, draws=draws, epochs=epochs, pairs=sizes.pairs, test_pairs=sizes.test_pairs, device=device
    )
    plans = {study.name: planned_for(study) for study in chosen}
    announce(dataset, sizes)
    results: dict[str, Any] = {}
    failures: list[FailedRun] = []
    for study in chosen:
        planned = plans[study.name]
        engine = default_engine(planned, dataset, workers=jobs)
        how = f"{jobs or cores()} at once on cpu" if device == "cpu" else f"stacked on {device}"
        note(f"{study.title}: {len(planned)} runs, {how}, records in {runs / RECORDS}")
        with StudyDisplay(console(stderr=True), planned) as display:
            result = run_study(planned, dataset, runs, engine=engine, retry_failed=retry_failed, on_event=display)
        failures += result.failures
        rows = by_row(study, [run.name for run in planned], result.records)
        summaries = summarise(study, rows)
        results[study.name] = [asdict(summary) for summary in summaries]
        remark = unlike_the_paper(study, rows)
        if markdown and not as_json:
            print_text(markdown_table(summaries))
            if remark:
                print_text(f"\n{remark[0].upper()}{remark[1:]}.")
        elif not as_json:
            printed = console()
            printed.print(study_table(study, summaries))
            if remark:
                printed.print(printable(remark), style="yellow")
            if result.finished:
                printed.print(printable(f"measured on {measured_on(result.finished)}"), style="dim")
            printed.print()
    if as_json:
        print_json(results)
    if failures:
        raise TrainingError(
            f"{len(failures)} of {sum(map(len, plans.values()))} runs failed, the first: {failures[0].label}: "
            f"{failures[0].failure}; the finished runs are kept, `retry_failed` runs the failed ones again"
        )
