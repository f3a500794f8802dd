"""Writes the tables of README.md and docs/ again from the packed records in the folders next to this file.

`make records` runs it, and the tests compare what it would write with what is there. Folders come from
`pairnet runs pack docs/records/NAME --runs FOLDER`.
"""

from pathlib import Path

from pairnet.records.collection import collect
from pairnet.reporting.documents import blocks_in, blocks_of, fill_blocks
from pairnet.reporting.report import Report, gather
from pairnet.reporting.selection import choose
from pairnet.study.kept import kept_studies

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def folders() -> list[Path]:
    """The folders of packed records."""
    return sorted(path for path in HERE.iterdir() if path.is_dir() and path.name != "__pycache__")


def report_on(folder: Path) -> Report:
    """The report on all records of a folder, as `pairnet report FOLDER` has it."""
    found = collect(folder, strict=True)
    runs, failures = list(found.records.values()), list(found.failures.values())
    return gather(choose(runs, failures=failures, own=kept_studies(folder)))


def documents() -> dict[Path, list[str]]:
    """The documents that have marked blocks, and what these name."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("**/*.md"))]
    return {page: names for page in pages if (names := blocks_in(page.read_text(encoding="utf-8")))}


def main() -> None:
    """Fills every block that the records have a table for."""
    for folder in folders():
        report = report_on(folder)
        for page, names in documents().items():
            if blocks_of(report).keys() & set(names):
                print(f"{page.relative_to(ROOT)}: {fill_blocks(page, report)}")  # noqa: T201


if __name__ == "__main__":
    main()
