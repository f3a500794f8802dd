"""What the commands share: the types of their options, and running one command line."""

import re
import signal
import sys
import traceback
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO, cast

import typer
from typer.core import TyperGroup

from pairnet.cli.failures import FAILED, Invocation, explain
from pairnet.cli.output import STANDARD_OUTPUT, NamedOutput, note, open_closed_streams, printable, writing
from pairnet.errors import ArgumentError, RecordError
from pairnet.wording import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.figure import Figure

    from pairnet.data.drawing import Sizes
    from pairnet.data.sources import Dataset
    from pairnet.records.collection import Collected
    from pairnet.records.record import RunRecord
    from pairnet.records.run import Images

INTERRUPTED = 130

FOLDERS = 5
"""Number of folders of images that one line names."""

AnyData = Annotated[str | None, typer.Option("--data", help="Only runs on these images, such as mnist5k.")]
AnyEpochs = Annotated[int | None, typer.Option("--epochs", help="Only runs of this number of epochs.")]
AnyPairs = Annotated[int | None, typer.Option("--pairs", help="Only runs on this number of training pairs.")]
Data = Annotated[str, typer.Option(help="auto, mnist, mnist5k, glyphs[:SIZE[:SEED]] or idx:FOLDER.")]
DataDir = Annotated[Path | None, typer.Option(help="Folder with MNIST's four IDX files (or set PAIRNET_DATA).")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
Epochs = Annotated[int | None, typer.Option(help="Number of epochs.", show_default="the recipe's")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for other programs.")]
Measurements = Annotated[
    str, typer.Option(metavar="N|every", help="Number of epochs after which the held-out pairs are evaluated.")
]
Pairs = Annotated[
    int | None, typer.Option(help="Number of pairs for training.", show_default="1000, or as many as the images allow")
]
TestPairs = Annotated[
    int | None, typer.Option(help="Number of pairs for testing.", show_default="as many as for training")
]
Runs = Annotated[Path, typer.Option(help="Folder of records and trained networks.")]
VariantFile = Annotated[Path | None, typer.Option("--file", help="TOML file with variants of your own.")]


def announce(dataset: "Dataset", sizes: "Sizes") -> None:
    """Prints which images and how many pairs of them a command takes."""
    from pairnet.data.sources import describe

    note(f"data   {describe(dataset)}")
    if sizes.note:
        note(f"pairs  {sizes.note}")


def check_data(data: str | None, records: "Sequence[RunRecord]") -> None:
    """DataError if `data` neither names the images of a record nor is a source of images."""
    if data is None or any(record.run.images.are_called(data) for record in records):
        return
    from pairnet.data.sources import check_spec

    check_spec(data)


def note_margins(margins: "Iterable[float | None]") -> None:
    """Says of margins that are so small that they may be no points what they are, each once."""
    from pairnet.study.contrasts import margin_note

    for text in dict.fromkeys(filter(None, map(margin_note, margins))):
        note(text)


def note_folders(images: "Iterable[Images]") -> None:
    """Prints which folders are read because records name them: records may come from somebody else."""
    names = (each.source.removeprefix("idx:") for each in images if each.source.startswith("idx:"))
    folders = [name for name in dict.fromkeys(names) if Path(name).expanduser().is_dir()]
    more = f" and {len(folders) - FOLDERS} more" if len(folders) > FOLDERS else ""
    if folders:
        note(f"images in {', '.join(folders[:FOLDERS])}{more} are read: the records name them")


def with_finished_runs(runs: Path, *, strict: bool = False) -> "Collected":
    """What a folder with finished runs holds; `strict` as for `collect`.  RecordError if it holds no finished run."""
    from pairnet.records.collection import collect

    found = collect(runs, strict=strict)
    if found.records:
        return found
    if found.failures:
        failed = f"only {counted(len(found.failures), 'run')} that failed: `pairnet runs` names the reasons"
        raise RecordError(f"expected finished runs in {runs}, got {failed}")
    raise RecordError(f"expected finished runs in {runs}, got none: `pairnet reproduce` makes some")


def write_figure(figure: "Figure", path: Path, *, force: bool) -> None:
    """Writes a figure to the file that a command line names, and says so."""
    from pairnet.reporting.figures.rendering import save
    from pairnet.writing import one_file

    with writing(path), one_file(path, force=force) as new:
        save(figure, new)
    note(f"wrote {path}")


def number_of(measurements: str) -> int | None:
    """The number of measurements that `--measurements` asks for; None stands for every epoch."""
    if measurements == "every":
        return None
    if re.fullmatch(r"0*[1-9][0-9]{0,8}", measurements):
        return int(measurements)
    raise ArgumentError(
        f'expected `measurements` to be a whole number of at least 1, or every, got "{measurements}": '
        "choose how many epochs are followed by a measurement"
    )


def interrupted() -> bool:
    """Whether Ctrl-C came, also where a package took the exception for a failure of its own: further ones are ignored.

    An extension module that is imported meanwhile raises an ImportError in place of KeyboardInterrupt.
    """
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def run_app(app: typer.Typer, arguments: list[str]) -> int:
    """Runs one command line -> exit status: 0 done, 1 failed, 2 not understood, 130 interrupted."""
    open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # a character that the terminal's encoding lacks is no error
    output = cast(TextIO, NamedOutput(sys.stdout, STANDARD_OUTPUT))
    try:
        with redirect_stdout(output), warnings.catch_warnings():
            warnings.showwarning = _show_warning
            warnings.simplefilter("always", UserWarning)
            status = _invoke(app, arguments)
            output.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except typer.Abort:  # Ctrl-C or the end of input, at a question
        sys.stderr.write("\n")
        note("pairnet: no answer, so nothing was done")
        return FAILED
    except Exception as error:
        if interrupted() or _caused_by_interrupt(error):
            return INTERRUPTED
        return _report(error, arguments, invocation(app, arguments))
    return status


def _caused_by_interrupt(error: BaseException | None) -> bool:
    """Whether an error is what was made of a KeyboardInterrupt."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _invoke(app: typer.Typer, arguments: list[str]) -> int:
    try:
        command = typer.main.get_command(app)
        with command.make_context("pairnet", list(arguments)) as context:
            command.invoke(context)
    except typer.Exit as exit_:
        return int(exit_.exit_code)
    return 0


def _show_warning(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    """A warning of pairnet's own as one line; others as Python prints them."""
    if category is UserWarning:
        note(str(message))
    else:
        sys.stderr.write(warnings.formatwarning(message, category, "", 0))


def _report(error: Exception, arguments: list[str], called: Invocation) -> int:
    if isinstance(error, OSError) and error.filename == STANDARD_OUTPUT:
        sys.stdout = None  # otherwise the rest of its buffer would fail again at exit
        if isinstance(error, BrokenPipeError):  # the reader, `head` for example, has ended
            return 0
    line, status = explain(error, called)
    if "--debug" in arguments and not hasattr(error, "format_message"):
        for text in "".join(traceback.format_exception(error)).splitlines():
            sys.stderr.write(f"{printable(text)}\n")
    note(f"pairnet: {line}")
    return status


def invocation(app: typer.Typer, arguments: list[str]) -> Invocation:
    """The command that `arguments` name, with the option of each of its parameters."""
    command, name = typer.main.get_command(app), "pairnet"
    for word in arguments:
        if not isinstance(command, TyperGroup):
            break
        if word in command.commands:
            command, name = command.commands[word], f"{name} {word}"
    options = {
        parameter.name: opt
        for parameter in command.params
        for opt in parameter.opts
        if parameter.name and opt.startswith("--")
    }
    return Invocation(name=name, options=options)
