"""What the command line prints for an error: one line in the words of the command, and the exit status."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from pairnet.cli.output import printable
from pairnet.errors import PairnetError
from pairnet.extras import needed_by

FAILED, NOT_UNDERSTOOD = 1, 2
"""Exit statuses: something failed; the command line, or a file that it names, cannot be used."""

SYNONYMS = {"workers": "jobs", "spec": "data", "cors_origins": "cors_origin"}
"""Parameters of library functions that the commands declare under another name."""

RENAMED = {"--out": "--runs", "--figure": "--output", "--repeats": "--draws"}
"""Options of earlier versions and their new names."""

_PLAIN = {
    "Value error, ": "",
    "Input should be a valid integer, unable to parse string as an integer": "expected a whole number",
    "Input should be a valid number, unable to parse string as a number": "expected a number",
}
"""Wordings of typer's validation, and what is printed instead."""

GIVEN = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)
"""Errors of the operating system that are about a path the user named."""


@dataclass(frozen=True, kw_only=True)
class Invocation:
    """The command that a command line names."""

    name: str  # "pairnet train"
    options: Mapping[str, str]  # the name of each parameter -> its option: {"data_dir": "--data-dir"}


def explain(error: Exception, invocation: Invocation) -> tuple[str, int]:
    """One printable line for `error`, and the exit status."""
    if hasattr(error, "format_message"):  # an error of typer's: a missing argument, an unknown option
        return printable(_usage(error, error.format_message(), invocation)), NOT_UNDERSTOOD
    if isinstance(error, ModuleNotFoundError):
        try:
            with needed_by(invocation.name):
                raise error
        except ImportError as named:  # the same, or a MissingExtraError
            error = named
    if isinstance(error, PairnetError):
        message = translate(str(error), invocation.options)
        return printable(message), NOT_UNDERSTOOD if isinstance(error, ValueError) else FAILED
    if isinstance(error, OSError) and error.strerror:
        message = f"{_path(error)}: {translate(error.strerror, invocation.options)}"
        return printable(message), NOT_UNDERSTOOD if isinstance(error, GIVEN) else FAILED
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "alloc_cpu" in str(error):
        return printable(f"not enough memory: {_memory(error)}"), FAILED
    what = f"unexpected {type(error).__name__}: {_first_line(error)}".removesuffix(": ")
    remedy = "this is a bug in pairnet: run again with `pairnet --debug` and report it with `pairnet doctor`"
    return printable(f"{what}: {remedy}"), FAILED


def translate(message: str, options: Mapping[str, str]) -> str:
    """Replaces each parameter in backticks by the command's option: `data_dir` becomes --data-dir.

    Names that are no options of the command keep their backticks.
    """

    def option(match: re.Match[str]) -> str:
        name = match[1]
        return options.get(name) or options.get(SYNONYMS.get(name, "")) or match[0]

    return re.sub(r"`([a-z][a-z0-9_]*)`", option, message)


def _usage(error: Exception, message: str, invocation: Invocation) -> str:
    new = RENAMED.get(getattr(error, "option_name", ""))
    if new in invocation.options.values():
        return f"{getattr(error, 'option_name', '')} is now {new}"
    for odd, plain in _PLAIN.items():
        message = message.replace(odd, plain)
    return f"{message} (see {invocation.name} --help)"


def _path(error: OSError) -> str:
    if error.filename is None or isinstance(error.filename, int):
        return "a file or connection"
    return os.fsdecode(error.filename)


def _memory(error: Exception) -> str:
    """What lacked memory; torch's error for the CPU has no class of its own, and names a line of its source."""
    if "alloc_cpu" in str(error):
        return "the network or its batches are too large"
    return _first_line(error) or "use fewer pairs or fewer jobs"


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "")
