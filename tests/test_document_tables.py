"""Tables of README.md and docs/ are those of the records in docs/records, which are small and in no wheel."""

import importlib.util
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from pairnet.records.packed import PACKED
from pairnet.reporting.documents import BLOCK, blocks_of
from pairnet.study.kept import KEPT

ROOT = Path(__file__).parents[1]
RECORDS = ROOT / "docs" / "records"
if not RECORDS.exists():
    pytest.skip("a source distribution has no records", allow_module_level=True)
LARGEST = 2_000_000
"""Bytes of all packed records."""

AWAITED = {
    *("table 2-folds", "table dropout", "table order", "table ablation", "table learning-rates"),
    *("effects 2-folds", "effects dropout", "effects order", "effects ablation"),
}
"""Blocks whose records are not in the repository yet: take out what `pairnet runs pack` has added."""


def script():
    """The script that writes the tables."""
    spec = importlib.util.spec_from_file_location("tables", RECORDS / "tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


TABLES = script()


@pytest.fixture(scope="module")
def contents():
    """What each folder of records can write into marked blocks."""
    return {folder.name: blocks_of(TABLES.report_on(folder)) for folder in TABLES.folders()}


def shown():
    """(document, name of a block, its content) of every marked block."""
    for page, names in TABLES.documents().items():
        blocks = {name: block for block, name in ((b[0], b[2]) for b in BLOCK.finditer(page.read_text()))}
        yield from ((page.name, name, blocks[name]) for name in names)


def test_each_table_of_a_document_is_made_again_from_its_records(contents):
    tables = {name: text for blocks in contents.values() for name, text in blocks.items()}
    found = list(shown())
    for page, name, block in found:
        if name in tables:
            assert f"-->\n\n{tables[name]}\n\n<!-- end -->" in block, f"{page}, {name}: run `make records`"
        else:
            assert name in AWAITED, f"{page}: no folder of docs/records has {name}"
    assert {name for _, name, _ in found} & tables.keys(), "no table is held to its records"
    assert not AWAITED & tables.keys(), "these have records now"


def test_no_two_folders_make_the_same_table_and_each_makes_one_that_is_shown(contents):
    names = Counter(name for blocks in contents.values() for name in blocks)
    assert [name for name, count in names.items() if count > 1] == []
    documented = {name for _, name, _ in shown()}
    assert [folder for folder, blocks in contents.items() if not blocks.keys() & documented] == []


def test_a_changed_figure_is_noticed(contents):
    (_, name, block) = next(each for each in shown() if each[1] == "table diverging")
    assert contents["diverging"][name] in block
    assert contents["diverging"][name] not in block.replace("0.7", "0.8", 1)


def test_records_are_small_and_hold_nothing_else():
    made = {"__pycache__", "report"}  # which git ignores
    files = [path for path in RECORDS.rglob("*") if path.is_file() and not made & {*path.parts}]
    assert sum(path.stat().st_size for path in files) < LARGEST
    for path in files:
        kept = path.parent.name == KEPT and path.suffix == ".toml"
        assert kept or path.name in (PACKED, ".pairnet.json", "tables.py"), path


def test_neither_the_wheel_nor_the_source_distribution_holds_them():
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["scikit-build"]
    assert build["wheel"]["packages"] == ["pairnet"]
    excluded = build["sdist"]["exclude"]
    assert RECORDS.relative_to(ROOT).as_posix() in excluded
    assert list((ROOT / "pairnet").rglob(PACKED)) == []
