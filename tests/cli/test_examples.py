"""Commands that help and documents show: each is one that the command line understands."""

import re
import shlex
from pathlib import Path

import pytest
from typer._click.exceptions import MissingParameter
from typer.core import TyperGroup
from typer.main import get_command

from pairnet.cli import app

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def of_help(command):
    """Examples at the end of each command's help."""
    for line in (command.epilog or "").splitlines():
        if line.startswith("  pairnet"):
            yield line.strip()
    for below in getattr(command, "commands", {}).values():
        yield from of_help(below)


def of_document(path):
    """Commands in code of a Markdown document: whole lines of a block, and spans between backticks."""
    text = path.read_text()
    for block in re.findall(r"```(?:sh|bash|console|text)?\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            line = line.removeprefix("$ ").partition(" #")[0].strip()
            if re.match(r"(\w+=\S+ )*pairnet[ -]", line):
                yield line
    for span in re.findall(r"`((?:\w+=\S+ )*pairnet [^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.DOTALL)):
        if "COMMAND" not in span:
            yield span


def parse(line):
    """Has the command's parser read the line, without running it; a usage error is raised."""
    words = [word for word in shlex.split(line) if not re.fullmatch(r"\w+=\S*", word)]
    words = words[: next((i for i, word in enumerate(words) if word in ("|", ">", "&&")), None)]
    words = ["export", *words[1:]] if words[0] == "pairnet-export" else words[1:]
    command = get_command(app)
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    try:
        command.make_context("pairnet", words)
    except MissingParameter:  # a sentence may mention an option without its arguments
        if line.startswith("pairnet predict") and ".onnx" in line:
            raise


CASES = [("--help", line) for line in of_help(get_command(app))]
CASES += [(path.name, line) for path in DOCUMENTS for line in of_document(path)]


@pytest.mark.parametrize(("where", "line"), CASES, ids=[f"{where}: {line}" for where, line in CASES])
def test_a_command_that_is_shown_is_understood(where, line):
    parse(line)


def test_there_are_commands_in_help_readme_and_documents():
    assert {"--help", "README.md", "export.md", "results.md"} <= {where for where, _ in CASES}
