"""Code in README.md and docs/: each block and each command is run here, or stands in NOT_RUN.

The code of a document runs from top to bottom, in one empty folder and one Python namespace, with the embedded images:

    console         each line after `$ ` by a shell; what is shown below it must be what is printed. Without such lines,
                    or with others, its exit status must be 0; it may fail if the last line shown is an error of pairnet
    python          as it stands; a block without a language that follows it directly is what it prints
    toml, markdown  written to my.toml and paper.md
    inline code     `pairnet ...` is a command and `pairnet.name...` is Python; placeholders are in capitals or `…`

In what is shown, `...` stands for any text (a time, a figure that depends on the CPU, lines left out), and every run of
white space for any other.
"""

import contextlib
import doctest
import io
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from pkgutil import resolve_name

import pytest
from markdown_it import MarkdownIt
from not_run import NOT_RUN
from typer._click.exceptions import MissingParameter
from typer.core import TyperGroup
from typer.main import get_command

from pairnet.cli import app

ROOT = Path(__file__).parents[1]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
WRITTEN = {"toml": "my.toml", "markdown": "paper.md"}
LISTED = {code: reason for reason, codes in NOT_RUN.items() for code in codes}


@dataclass(frozen=True, kw_only=True)
class Step:
    """Code of a document: its language, where it is, and what the document shows that it prints (None: nothing)."""

    language: str
    code: str
    place: str
    shown: str | None = None

    @property
    def name(self) -> str:
        """The first line without its comment: how NOT_RUN names it."""
        return re.split(r"\s+(?:#|//) ", self.code.splitlines()[0])[0]


def steps(document: Path) -> Iterator[Step]:
    """The code of a document, in order."""
    tokens = MarkdownIt().enable("table").parse(document.read_text())
    start = 0  # the rows of a table have a place, their cells have none
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        start = token.map[0] + 1 if token.map else start
        place = f"{document.name}:{start}"
        if token.type == "fence" and token.info == "console":
            for command in re.split(r"^\$ ", token.content, flags=re.MULTILINE)[1:]:
                code, shown = re.fullmatch(r"((?:.*\\\n)*.*\n)([\s\S]*)", command).groups()
                yield Step(language="console", code=code.strip(), place=place, shown=shown or None)
        elif token.type == "fence" and token.info:
            shown = after.content if after and after.type == "fence" and not after.info else None
            yield Step(language=token.info, code=token.content, place=place, shown=shown)
        for child in token.children or []:
            if child.type == "code_inline" and re.match(r"(\w+=\S+ )*pairnet[ -]", child.content):
                yield Step(language="console", code=child.content, place=place)
            elif child.type == "code_inline" and child.content.startswith("pairnet."):
                yield Step(language="inline python", code=child.content, place=place)


def parse(line: str) -> bool:
    """Has the command's parser read the line; a usage error is raised. -> whether it has more than a command's name."""
    words = [word for word in shlex.split(line, comments=True) if not re.fullmatch(r"\w+=\S*", word)]
    words = words[: next((i for i, word in enumerate(words) if word in ("|", ">", "&&")), None)]
    words = ["export", *words[1:]] if words[0] == "pairnet-export" else words[1:]
    command = get_command(app)
    while isinstance(command, TyperGroup) and words and words[0] in command.commands:
        command = command.commands[words.pop(0)]
    with contextlib.suppress(MissingParameter):  # a sentence may mention an option without its arguments
        command.make_context("pairnet", list(words))
    return bool(words)


def is_form(step: Step) -> bool:
    """Whether a command is a name, or has placeholders: it is parsed, not run."""
    if not re.match(r"(\w+=\S+ )*pairnet[ -]", step.code):
        return False
    if re.search(r"\b[A-Z]{3,}\b(?!=)|…", step.name):
        return True
    return not parse(step.code) and step.shown is None


class Session:
    """The folder and the namespace in which one document's code is run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.namespace: dict[str, object] = {"__name__": "document"}
        self.done: set[str] = set()

    def run(self, step: Step) -> None:
        """Runs a step, and compares what it prints with what is shown."""
        if step.language in WRITTEN:
            (self.folder / WRITTEN[step.language]).write_text(step.code)
        elif step.language == "python":
            self.check(step, self.python(step), 0)
        elif step.language == "inline python":
            name, _, arguments = step.code.partition("(")
            resolve_name(name)
            if arguments:
                self.python(step)
        elif step.language != "console":
            raise AssertionError(f"{step.place}: nothing runs {step.language}: add {step.name!r} to NOT_RUN")
        elif is_form(step):
            if "COMMAND" not in step.code:
                parse(step.code)
        elif step.shown or step.code not in self.done:
            self.done.add(step.code)
            self.check(step, *self.command(step))

    def python(self, step: Step) -> str:
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(step.code, step.place, "exec"), self.namespace)
        return printed.getvalue()

    def command(self, step: Step) -> tuple[str, int]:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "COLUMNS": "130"}
        process = subprocess.run(
            ["bash", "-c", step.code], cwd=self.folder, env=environment, text=True, timeout=600, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return process.stdout, process.returncode

    def check(self, step: Step, printed: str, status: int) -> None:
        error_shown = step.shown is not None and step.shown.splitlines()[-1].startswith("pairnet: ")
        assert (status != 0) == error_shown, f"{step.place}: exit status {status} of {step.name}\n{printed}"
        flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        if step.shown is not None and not doctest.OutputChecker().check_output(step.shown, printed, flags):
            raise AssertionError(f"{step.place}: {step.name}\nshown:\n{step.shown}\nprinted:\n{printed}")


@pytest.mark.parametrize("document", DOCUMENTS, ids=[path.name for path in DOCUMENTS])
def test_the_code_of_a_document_does_what_the_document_shows(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    session = Session(tmp_path)
    for step in steps(document):
        if step.name not in LISTED:
            session.run(step)
        elif step.code.startswith("pairnet"):
            parse(step.code)


def test_each_entry_of_the_list_is_in_a_document() -> None:
    names = {step.name for document in DOCUMENTS for step in steps(document)}
    assert sorted(set(LISTED) - names) == []


def test_files_that_documents_name_exist() -> None:
    """Inline code such as `tests/attack/test_files.py`."""
    for document in DOCUMENTS:
        for name in re.findall(r"`((?:bench|csrc|docs|pairnet|tests)/[\w/.]*)`", document.read_text()):
            assert (ROOT / name).exists(), f"{document.name}: {name}"


CONTRAST = re.compile(r"([+-]\d+\.\d)(?: points)? \(([+-]\d+\.\d) to ([+-]\d+\.\d); (\w+ − \w+)\)")


def test_contrasts_in_sentences_are_those_of_the_tables() -> None:
    """A sentence with a contrast, `+3.0 (+1.4 to +4.7; w_net − no_w_net)`, has the figures of docs/results.md."""
    tables = {}
    for block in (ROOT / "docs" / "results.md").read_text().split("<!-- pairnet report: effects ")[1:]:
        header, _, *lines = [
            line.split(" | ") for line in block.split("<!-- end")[0].splitlines() if line.startswith("|")
        ]
        rows, difference, interval = (header.index(name) for name in ("rows", "difference", "95 % interval"))
        for line in lines:
            tables.setdefault(line[rows], (float(line[difference]), *map(float, line[interval].split(" to "))))
    found = [
        (document.name, *match)
        for document in DOCUMENTS
        for match in CONTRAST.findall(" ".join(document.read_text().split()))
    ]
    assert len([name for name, *_ in found if name == "README.md"]) >= 9
    for name, *figures, contrast in found:
        assert figures == [f"{value:+.1f}" for value in tables[contrast]], f"{name}: {contrast}"


def test_the_python_guide_is_also_a_script(tmp_path: Path) -> None:
    """Processes of a study do not import the script that started it."""
    blocks = [step.code for step in steps(ROOT / "docs" / "python.md") if step.language == "python"]
    (tmp_path / "guide.py").write_text("\n".join(["print('once')", *blocks]))
    found = subprocess.run([sys.executable, "guide.py"], cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("once") == 1


def of_help(command: object) -> Iterator[str]:
    """Examples at the end of each command's help."""
    for line in (getattr(command, "epilog", "") or "").splitlines():
        if line.startswith("  pairnet"):
            yield line.strip()
    for below in getattr(command, "commands", {}).values():
        yield from of_help(below)


@pytest.mark.parametrize("line", [*of_help(get_command(app))])
def test_the_examples_of_help_are_understood(line: str) -> None:
    parse(line.partition(" #")[0])
