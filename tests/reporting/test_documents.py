"""Marked blocks: filled from records, others left as they are, the rest of the document untouched."""

import re
from pathlib import Path

import pytest
from reporting.studies import rows
from reporting.test_effects import planted

from pairnet.errors import RecordError
from pairnet.reporting.documents import BLOCK, fill_blocks
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.study.files import read_study
from pairnet.study.tables import studies

ROOT = Path(__file__).parents[2]
DOCUMENT = """# Mine

<!-- pairnet report: table 3 -->
typed by hand
<!-- end -->
between
<!-- pairnet report: effects 3 --><!-- end -->
<!-- pairnet report: effects 3 -->
<!-- end -->
<!-- pairnet report: table order -->
kept
<!-- end -->
after
"""


@pytest.fixture(scope="module")
def report():
    return gather(choose(rows("3", planted())))


def test_blocks_are_filled_and_filling_again_changes_nothing(report, tmp_path):
    path = tmp_path / "results.md"
    path.write_text(DOCUMENT)
    assert fill_blocks(path, report) == "table 3, effects 3; left as they were: table order"
    text = path.read_text()
    assert "typed by hand" not in text
    assert "| w_net | 142,657 | 0.8300 ± 0.00" in text
    assert "| weight sharing, without auxiliary loss | w_net − no_w_net | +3.00 |" in text
    assert "order -->\nkept\n<!-- end -->\nafter\n" in text
    assert text.startswith("# Mine\n\n<!-- pairnet report: table 3 -->\n\n| row |")
    fill_blocks(path, report)
    assert path.read_text() == text


def test_a_document_without_such_blocks_is_left_alone(report, tmp_path):
    path = tmp_path / "results.md"
    path.write_text("# Mine\n<!-- pairnet report: table 9 -->\n<!-- end -->\n")
    with pytest.raises(RecordError, match="expected marked blocks in "):
        fill_blocks(path, report)
    assert path.read_text().startswith("# Mine\n<!-- pairnet report: table 9")


@pytest.mark.parametrize("document", ["README.md", "docs/results.md"])
def test_the_blocks_of_our_documents_name_tables_and_are_filled(document):
    text = (ROOT / document).read_text()
    names = [block[2] for block in BLOCK.finditer(text)]
    ours = {path.stem: read_study(path) for path in (ROOT / "docs").glob("*.toml")}
    assert names
    assert len(names) == len(re.findall("<!-- pairnet report:", text)) == text.count("<!-- end -->")
    for name in names:
        assert name.split()[0] in ("table", "effects")
        assert name.split()[1] in {**studies(), **ours}
    assert all("\n| " in block[0] for block in BLOCK.finditer(text))
