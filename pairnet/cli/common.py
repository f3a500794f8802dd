"""What the commands share: option types, consoles, and how an error becomes one line and an exit status."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

INTERRUPTED = 130
WIDTH = 120
"""Columns of what is not printed to a terminal."""

Data = Annotated[str, typer.Option(help="auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with MNIST's four IDX files (or set PAIRNET_DATA).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for another program to read.")]
Runs = Annotated[Path, typer.Option(help="Folder of records and trained networks.")]
Pairs = Annotated[int, typer.Option(help="Pairs drawn for training, and as many for testing.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Epochs = Annotated[int | None, typer.Option(help="Instead of the recipe's.", show_default="the recipe's")]


def console(*, stderr: bool = False) -> Console:
    """Rich output; plain, and wide enough for the tables, where it does not go to a terminal."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=None if stream.isatty() else WIDTH, highlight=False)


def print_json(value: object) -> None:
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def run_app(commands: typer.Typer, arguments: list[str]) -> int:
    """Runs one command line -> exit status: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    name = "pairnet"
    try:
        status = int(commands(arguments, prog_name=name, standalone_mode=False) or 0)  # Ctrl-C comes back as 130
    except (KeyboardInterrupt, typer.Abort):
        status = INTERRUPTED
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        sys.stdout = None
        return 0
    except Exception as error:
        if "--debug" in arguments and not hasattr(error, "format_message"):
            raise
        reason, status = _explain(error)
        if reason:  # none where a bare `pairnet` has shown its help
            sys.stderr.write(f"{name}: {reason}\n")
    if status == INTERRUPTED:
        sys.stderr.write(f"{name}: interrupted; what had finished is kept\n")
    return status


def _explain(error: Exception) -> tuple[str, int]:
    """One line for a person, and the exit status."""
    usage = getattr(error, "format_message", None)  # typer's own errors: a missing argument, an unknown option
    if usage is not None:
        return f"{usage()} (see --help)" if usage() else "", 2
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}", 1
    message = " ".join(str(error).split())
    if isinstance(error, ValueError | RuntimeError) and message:
        return message, 2 if isinstance(error, ValueError) else 1
    return f"unexpected {type(error).__name__}: {message}; --debug before the command shows where", 1
