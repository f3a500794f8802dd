"""`pairnet reproduce`: the paper's tables."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import Data, DataDir, Device, Epochs, Json, Measurements, Pairs, Runs, TestPairs, number_of
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
)
from pairnet.errors import ArgumentError


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
    measurements: Measurements = "5",
    minutes: Minutes = None,
    jobs: Jobs = None,
    engine: EngineName = None,
    address: Address = None,
    device: Device = "auto",
    runs: Runs = Path("runs"),
    shard: ShardName = None,
    retry_failed: RetryFailed = False,
    as_json: Json = False,
    markdown: AsMarkdown = False,
    no_report: NoReport = False,
) -> None:
    """Reproduce the paper's tables.

    Trains the paper's networks, prints measured values next to the paper's, and writes a report (`pairnet report`).
    Each run is recorded as soon as it has finished: after an interruption, or when --minutes are over, the same command
    continues from there.

    With --shard, N machines or array tasks share the runs, each with a folder --runs of its own; the folds of a draw
    stay together. The table then shows what the folder holds, and `pairnet runs merge` puts the folders together.
    """
    from pairnet.study.tables import PAPER, studies

    known = studies()
    table = {"I": "1", "II": "2", "III": "3"}.get(table, table)
    if table != "all" and table not in known:
        raise ArgumentError(f'expected `table` to be {", ".join(known)} or all, got "{table}"')
    compute(
        Request(
            studies=tuple(known[name] for name in (PAPER if table == "all" else (table,))),
            runs=runs,
            draws=draws,
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
    )
