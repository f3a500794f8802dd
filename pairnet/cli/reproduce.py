"""`pairnet reproduce`: the paper's tables."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from pairnet.cli.common import Data, DataDir, Device, Epochs, Json, Pairs, console, print_json


def reproduce(
    table: Annotated[
        str, typer.Option(help="1, 2, 3 (the paper's I, II, III), dropout, all of these four, order or ablation.")
    ] = "3",
    repeats: Annotated[int, typer.Option(help="Draws of pairs, each with fresh weights.")] = 10,
    data: Data = "auto",
    data_dir: DataDir = None,
    epochs: Epochs = None,
    pairs: Pairs = 1000,
    jobs: Annotated[int | None, typer.Option(help="Runs at once.", show_default="one for each core")] = None,
    device: Device = "auto",
    out: Annotated[Path, typer.Option(help="Folder of the records.")] = Path("runs"),
    as_json: Json = False,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the tables as Markdown.")] = False,
) -> None:
    """Train the paper's networks and print its tables, measured beside printed.

    Each finished run is kept at once: interrupt it whenever you like, and the same command goes on from there.
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
        raise ValueError(f'--table is {", ".join(known)} or all, not "{table}"')
    chosen = [known[name] for name in (PAPER if table == "all" else (table,))]
    device = resolve_device(device)
    jobs = jobs if jobs is not None else (cores() if device == "cpu" else 1)
    plans = {study.name: plan(study, repeats=repeats, epochs=epochs, pairs=pairs, device=device) for study in chosen}
    dataset = load_dataset(data, data_dir=data_dir)
    notes, printed = console(stderr=True), console()
    notes.print(f"data   {escape(describe(dataset))}")
    results: dict[str, Any] = {}
    for study in chosen:
        runs = plans[study.name]
        notes.print(f"{study.title}: {len(runs)} runs, {jobs} at once on {device}, records in {out / RECORDS}")
        with StudyDisplay(notes, runs) as display:
            records = carry_out_all(runs, dataset, out, jobs=jobs, on_progress=display)
        summaries = report.summarise(study, records)
        results[study.name] = [asdict(summary) for summary in summaries]
        remark = report.unlike_the_paper(study, records)
        if markdown and not as_json:
            text = report.markdown(study, summaries) + (f"\n\n{remark.capitalize()}." if remark else "")
            printed.print(text, soft_wrap=True, markup=False, highlight=False)
        elif not as_json:
            printed.print(report.study_table(study, summaries))
            if remark:
                printed.print(escape(remark), style="yellow")
            printed.print(escape(f"measured on {report.measured_on(records)}\n"), style="dim")
    if as_json:
        print_json(results)
