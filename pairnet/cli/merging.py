"""`pairnet runs merge`: the records of several folders in one. Works without torch."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import Runs
from pairnet.cli.output import note, print_line
from pairnet.wording import counted


def merge_runs(
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="Folders whose runs are added to --runs.")],
    runs: Runs = Path("runs"),
) -> None:
    """Merge the records of several folders into one.

    Adds the runs that `pairnet runs` lists in each folder to the folder --runs, which is made if it is missing, each
    run once. The folders stay as they are, and saved networks stay in them: their records are merged, their weights are
    not copied. Failed runs are added unless another folder has their result. Two different results of one run are an
    error, and then nothing is changed.
    """
    from pairnet.study.merging import merge

    merged = merge(folders, runs)
    if merged.failures:
        note(f"added too: {counted(merged.failures, 'failed run')}")
    if merged.studies:
        note(f"added too: {'the study file' if merged.studies == 1 else f'{merged.studies} study files'} of these runs")
    if merged.networks:
        note(f"not copied: the weights of {counted(merged.networks, 'saved network')}, which stay in their folders")
    what = f"{counted(merged.added, 'run')} of {counted(merged.folders, 'folder')}"
    print_line(f"merged {what} into {runs}, {merged.there:,} {'was' if merged.there == 1 else 'were'} there already")
