"""`pairnet reproduce`: the paper's tables."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from pairnet.cli.common import Data, DataDir, Device, Epochs, Json, Pairs, Runs
from pairnet.cli.output import console, note, print_json, print_text, printable
from pairnet.errors import ArgumentError


def reproduce(
    table: Annotated[
        str, typer.Option(help="1, 2 or 3 (the paper's I, II, III), dropout, all of these four, order or ablation.")
    ] = "3",
    repeats: Annotated[int, typer.Option(help="Number of draws of pairs, each with new initial weights.")] = 10,
    data: Data = "auto",
    data_dir: DataDir = None,
    epochs: Epochs = None,
    pairs: Pairs = 1000,
    jobs: Annotated[int | None, typer.Option(help="Number of runs at once.", show_default="one for each core")] = None,
    device: Device = "auto",
    runs: Runs = Path("runs"),
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
) -> None:
    """Reproduce the paper's tables.

    Trains the paper's networks and prints measured values beside the paper's. Each run is recorded as soon as it has
    finished: after an interruption, the same command continues from there.
    """
    from pairnet.cli.progress import StudyDisplay
    from pairnet.data.sources import describe, load_dataset
    from pairnet.host import cores
    from pairnet.reporting import report
    from pairnet.study.running import RECORDS, carry_out_all
    from pairnet.study.tables import PAPER, plan, studies
    from pairnet.training.loop import resolve_device

    known = studies()
    table = {"I": "1", "II": "2", "III": "3"}.get(table, table)
    if table != "all" and table not in known:
        raise ArgumentError(f'expected `table` to be {", ".join(known)} or all, got "{table}"')
    chosen = [known[name] for name in (PAPER if table == "all" else (table,))]
    device = resolve_device(device)
    jobs = jobs if jobs is not None else (cores() if device == "cpu" else 1)
    plans = {study.name: plan(study, repeats=repeats, epochs=epochs, pairs=pairs, device=device) for study in chosen}
    dataset = load_dataset(data, data_dir=data_dir)
    note(f"data   {describe(dataset)}")
    results: dict[str, Any] = {}
    for study in chosen:
        planned = plans[study.name]
        note(f"{study.title}: {len(planned)} runs, {jobs} at once on {device}, records in {runs / RECORDS}")
        with StudyDisplay(console(stderr=True), planned) as display:
            records = carry_out_all(planned, dataset, runs, jobs=jobs, on_progress=display)
        summaries = report.summarise(study, records)
        results[study.name] = [asdict(summary) for summary in summaries]
        remark = report.unlike_the_paper(study, records)
        if markdown and not as_json:
            print_text(report.markdown(study, summaries))
            if remark:
                print_text(f"\n{remark[0].upper()}{remark[1:]}.")
        elif not as_json:
            printed = console()
            printed.print(report.study_table(study, summaries))
            if remark:
                printed.print(printable(remark), style="yellow")
            printed.print(printable(f"measured on {report.measured_on(records)}"), style="dim")
            printed.print()
    if as_json:
        print_json(results)
