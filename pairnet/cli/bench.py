"""`pairnet bench-report`: the last results of asv on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import Json
from pairnet.cli.output import console, print_json, printable


def bench_report(
    results: Annotated[Path, typer.Option(help="Results folder of asv.")] = Path(".asv/results"),
    machine: Annotated[str | None, typer.Option(help="Name of a machine.", show_default="the only one")] = None,
    bench: Annotated[str, typer.Option(help="Regular expression: only benchmarks whose names match.")] = "",
    as_json: Json = False,
) -> None:
    """Show the last benchmark results of this machine.

    Each value is followed by its change since the commit measured before.
    """
    from pairnet.cli.bench_results import read_results, select
    from pairnet.cli.bench_tables import tables

    selected = select(read_results(results, machine=machine), bench)
    if as_json:
        print_json([asdict(each) for each in selected])
        return
    printed = console()
    for each in selected:
        compared = f"compared with {each.before}" if each.before else "nothing measured before it"
        printed.print(printable(f"{each.machine}, {each.environment}: commit {each.commit}, {compared}"), style="bold")
        printed.print()
        for benchmark in each.benchmarks:
            if benchmark.skipped:
                printed.print(printable(f"{benchmark.name}: skipped on this machine"), style="dim")
                printed.print()
            for table in tables(benchmark):
                printed.print(table)
                printed.print()
