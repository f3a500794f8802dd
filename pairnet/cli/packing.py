"""`pairnet runs pack`: the records of a folder in a small one, for a repository. Works without torch."""

from pathlib import Path
from typing import Annotated

import typer

from pairnet.cli.common import Runs
from pairnet.cli.output import print_line
from pairnet.wording import counted


def pack_runs(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder to write, new or packed before.")],
    runs: Runs = Path("runs"),
) -> None:
    """Pack the records of a folder into a small one.

    Writes DIR/records.jsonl.xz, a fifth to a tenth of the records' size, and copies the study files that were kept with
    them. Every command reads DIR as it reads --runs, and none adds to it: `pairnet runs merge DIR --runs NEW` makes a
    folder that can grow. Each run is packed once, finished or failed; weights are not, nor the name of the machine and
    the folder that MNIST was read from.
    """
    from pairnet.study.packing import pack

    packed = pack(runs, folder)
    failed = f" and {counted(packed.failures, 'failed run')}" if packed.failures else ""
    print_line(f"packed {counted(packed.runs, 'run')}{failed} of {runs} into {folder}: {packed.size:,} bytes")
