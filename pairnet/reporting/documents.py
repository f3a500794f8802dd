"""Documents with marked blocks, which are written from records, so that nobody types a figure by hand."""

import os
import re
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.opening import read_file
from pairnet.reporting.component_tables import held_note
from pairnet.reporting.markdown import markdown_effects, markdown_table, plain
from pairnet.reporting.report import Report, Table
from pairnet.wording import capitalised
from pairnet.writing import one_file

BLOCK = re.compile(r"(<!-- pairnet report: ([a-z0-9]+ [\w-]+) -->\r?\n).*?(<!-- end -->)", re.DOTALL)
"""A block of a document: `<!-- pairnet report: table 3 -->`, its content, `<!-- end -->`."""

_CODE = re.compile(r"(^```.*?^```\s*?$)", re.DOTALL | re.MULTILINE)
"""Code in a document, such as an example of marked blocks: nothing is written into it."""

LARGEST_DOCUMENT = 1 << 24
"""Bytes of such a document."""


def _table(table: Table) -> str:
    """A table, and below it why it has no verdicts if it has none, and what its draws share."""
    notes = [f"\n\n{plain(capitalised(each))}." for each in (table.remark, held_note(table.study)) if each]
    return f"{markdown_table(table.summaries)}{''.join(notes)}"


def blocks_of(report: Report) -> dict[str, str]:
    """What a report can write into marked blocks, by what they name: "table 3", "effects ablation"."""
    contents = {f"table {table.study.name}": _table(table) for table in report.tables}
    for family in report.families:
        contents[f"effects {family.name}"] = markdown_effects(family)
    return contents


def blocks_in(text: str) -> list[str]:
    """What the marked blocks of a document name, in their order."""
    return [name for part in _CODE.split(text)[::2] for _, name, _ in BLOCK.findall(part)]


def fill_blocks(path: Path, report: Report) -> str:
    """Writes the tables of `report` into the marked blocks of the document `path` -> what was written, in words.

    A block names what belongs into it; see `blocks_of`. Blocks of rows that the report does not have stay as they are,
    and so does code between lines of ```.
    RecordError if the document has no block that the report can fill.
    """
    contents = blocks_of(report)
    example = f"<!-- pairnet report: {next(iter(contents), 'table 3')} --> and, below it, <!-- end -->"
    if not os.path.lexists(path):
        raise RecordError(
            f"{path}: expected a document with marked blocks, got no such file: write one, with a line {example}"
        )
    content = read_file(path, what="a document with marked blocks", largest=LARGEST_DOCUMENT, error=RecordError)
    text = content.decode("utf-8", "surrogateescape")  # what is outside the blocks stays, byte for byte
    filled: list[str] = []
    kept: list[str] = []

    def fill(block: re.Match[str]) -> str:
        if block[2] not in contents:
            kept.append(block[2])
            return block[0]
        filled.append(block[2])
        lines = f"\n{contents[block[2]]}\n\n"
        if block[1].endswith("\r\n"):
            lines = lines.replace("\n", "\r\n")
        return f"{block[1]}{lines}{block[3]}"

    parts = _CODE.split(text)
    text = "".join(part if at % 2 else BLOCK.sub(fill, part) for at, part in enumerate(parts))
    if not filled:
        raise RecordError(
            f"expected marked blocks in {path}, got none that these runs fill: add one, with a line {example}"
        )
    with one_file(path.resolve(), force=True, what="markdown") as new:
        new.write_bytes(text.encode("utf-8", "surrogateescape"))
    rest = f"; left as they were: {', '.join(kept)}" if kept else ""
    return f"{', '.join(filled)}{rest}"
