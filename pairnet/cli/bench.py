"""`pairnet bench-report`: what asv measured last on this machine."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from pairnet.cli.common import Json, console, print_json


def bench_report(
    results: Annotated[Path, typer.Option(help="asv's folder of results.")] = Path(".asv/results"),
    machine: Annotated[str | None, typer.Option(help="As asv names it.", show_default="the only one there is")] = None,
    bench: Annotated[str, typer.Option(help="Only benchmarks whose name holds this regular expression.")] = "",
    as_json: Json = False,
) -> None:
    """Show the last benchmark results of this machine, with their change against the commit measured before."""
    from pairnet.cli import bench_results as benchmarks

    found = benchmarks.shown(benchmarks.read(results, machine=machine), bench)
    if as_json:
        print_json([asdict(each) for each in found])
        return
    printed = console()
    for each in found:
        against = f", compared with {each.before}" if each.before else "; nothing measured before it"
        printed.print(escape(f"{each.machine}, {each.environment}: commit {each.commit}{against}\n"), style="bold")
        for benchmark in each.benchmarks:
            if benchmark.skipped:
                printed.print(escape(f"{benchmark.name}: skipped on this machine\n"), style="dim")
                continue
            for table in benchmarks.tables(benchmark):
                printed.print(table)
                printed.print()
