"""What the commands print: consoles without markup, escaped control characters, JSON; and files that fail by name."""

import json
import os
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TextIO, cast

if TYPE_CHECKING:  # rich is slow to import, and `pairnet --help` does without it
    from rich.console import Console
    from rich.table import Column

    from pairnet.reporting.tables import FittingTable

WIDTH = 120
"""Columns of output that does not go to a terminal."""

STANDARD_OUTPUT = "standard output"


class NamedOutput:
    """A text stream whose errors name it; it behaves like `stream` otherwise."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._path = Path(name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes `text`.  OSError with the stream's name."""
        with writing(self._path):
            return self._stream.write(text)

    def flush(self) -> None:
        """Passes on what is buffered.  OSError with the stream's name."""
        with writing(self._path):
            self._stream.flush()


class UnfailingOutput:
    """A text stream whose errors disturb nobody, such as the log of a server; `failed` says whether one occurred."""

    def __init__(self, stream: TextIO) -> None:
        self._stream, self.failed = stream, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """Writes `text` if that can be done."""
        try:
            self._stream.write(text)
            self._stream.flush()
        except (OSError, ValueError):
            self.failed = True
        return len(text)

    def flush(self) -> None:
        """Does nothing: `write` passes on all."""


@contextmanager
def unfailing_stderr() -> Iterator[None]:
    """For a command that must not end because nobody reads its notes, or because they have no room."""
    before = sys.stderr
    sys.stderr = log = cast(TextIO, UnfailingOutput(before))
    try:
        yield
    finally:  # what is left in a buffer that cannot be written would fail again at exit
        sys.stderr = open_nowhere() if log.failed else before  # type: ignore[attr-defined]


def open_nowhere(mode: Literal["r", "w"] = "w") -> TextIO:
    """A stream that is empty, and keeps nothing."""
    return Path(os.devnull).open(mode, encoding="utf-8")


def open_closed_streams() -> None:
    """Standard streams that are closed (`>&-`) lead nowhere."""
    if sys.stdin is None:
        sys.stdin = open_nowhere("r")  # which also takes the lowest free descriptor
    if sys.stdout is None:
        sys.stdout = open_nowhere()
    if sys.stderr is None:
        sys.stderr = open_nowhere()


def console(*, stderr: bool = False) -> "Console":
    """Rich output; plain, and wide enough for the tables, if it does not go to a terminal.

    Text is printed as it is: nothing in it is taken for markup or emoji.
    """
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else WIDTH
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def unbroken(*headings: str, justify: Literal["left", "right"] = "right") -> "list[Column]":
    """Columns of a table whose cells stay on one line, such as numbers."""
    from rich.table import Column

    return [Column(heading, justify=justify, no_wrap=True) for heading in headings]


def plain_table(
    *columns: "str | Column",
    title: str | None = None,
    caption: str | None = None,
    names: int = 1,
    least: Sequence[str] = (),
) -> "FittingTable":
    """A table without a frame. In a narrow terminal it leaves out columns, those with the headings `least` first.

    The first `names` columns say what a row is about; they stay. Words that are longer than a column named by a string
    go on in the next line.
    """
    from rich import box
    from rich.table import Column

    from pairnet.reporting.tables import FittingTable

    table = FittingTable(
        *(Column(each, overflow="fold") if isinstance(each, str) else each for each in columns),
        title=title,
        title_justify="left",
        caption=caption,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    table.names, table.least = names, least
    return table


def print_line(text: str) -> None:
    """Prints one line of the result."""
    sys.stdout.write(f"{printable(text)}\n")


def print_text(text: str) -> None:
    """Prints several lines of the result."""
    for line in text.split("\n"):
        print_line(line)


def note(text: str) -> None:
    """Prints one line for the user on stderr, where it does not mix with results; a terminal gets it wrapped."""
    sys.stderr.write(f"{_wrapped(printable(text), sys.stderr, indent=2)}\n")


def print_wrapped(text: str, *, indent: int) -> None:
    """Prints one line of the result; a terminal gets it wrapped, with so many spaces before all but the first line."""
    sys.stdout.write(f"{_wrapped(printable(text), sys.stdout, indent=indent)}\n")


def _wrapped(line: str, stream: TextIO, *, indent: int) -> str:
    """`line`, wrapped by words if `stream` is a terminal; COLUMNS says how wide it is, or the terminal itself."""
    if not stream.isatty():
        return line
    columns = os.environ.get("COLUMNS", "")
    width = int(columns) if columns.isdecimal() else 0
    width = width or os.get_terminal_size(stream.fileno()).columns or WIDTH
    if len(line) <= width:
        return line
    start = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.lstrip(),
        max(width, indent + 1),
        initial_indent=start,
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_json(value: object) -> None:
    """Prints `value` as JSON in ASCII."""
    sys.stdout.write(json.dumps(value, indent=1) + "\n")


def printable(text: object) -> str:
    """`text` with control characters, escape sequences and undecodable bytes as backslash escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Names `path` in an OSError that names no file, such as that of a full disk."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise
