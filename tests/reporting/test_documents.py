"""Marked blocks: filled from records, others left as they are, the rest of the document untouched."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from reporting.studies import rows
from reporting.test_effects import planted

from pairnet.errors import RecordError
from pairnet.reporting.documents import BLOCK, fill_blocks
from pairnet.reporting.markdown import markdown_effects, markdown_table
from pairnet.reporting.report import gather
from pairnet.reporting.selection import choose
from pairnet.reporting.summaries import summarise
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


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_rest_of_a_document_stays_byte_for_byte(report, tmp_path, newline):
    path = tmp_path / "results.md"
    content = DOCUMENT.replace("\n", newline).encode() + b"\xff\xfe latin \xe9"
    path.write_bytes(content)
    fill_blocks(path, report)
    found = path.read_bytes()
    inside = re.compile(rb"(report: (?:table|effects) 3 -->\r?\n).*?(<!-- end -->)", re.DOTALL)
    assert inside.sub(rb"\1\2", found) == inside.sub(rb"\1\2", content)
    assert found.count(b"\r\n") in (0, found.count(b"\n")), "one kind of line end"
    blocks = {block[2]: block[0].replace("\r\n", "\n") for block in BLOCK.finditer(found.decode("latin-1"))}
    table = next(each for each in report.tables if each.study.name == "3")
    family = next(each for each in report.families if each.name == "3")
    for name, text in (("table 3", markdown_table(table.summaries)), ("effects 3", markdown_effects(family))):
        assert blocks[name].encode("latin-1").decode().splitlines()[2:-2] == text.splitlines()


def test_a_table_without_verdicts_says_why(tmp_path):
    path = tmp_path / "results.md"
    path.write_text(DOCUMENT)
    fill_blocks(path, gather(choose(rows("3", planted(), pairs=500, test_pairs=500))))
    assert "\n\nNot the paper's setting, so no verdicts: 500 pairs instead of 1,000.\n" in path.read_text()


def test_a_border_in_a_label_is_no_border():
    study = studies()["3"]
    named = replace(study, rows=(replace(study.rows[0], label="a | b"), *study.rows[1:]))
    summaries = summarise(named, {"a | b": rows("3", {study.rows[0].label: (0.8, 0.9)})})
    table = markdown_table(summaries).splitlines()
    assert "a &#124; b" in table[2]
    assert len({line.count("|") for line in table[:3]}) == 1
    words = [cell.strip() for cell in table[0].strip("|").split("|")]
    marks = [cell.strip() for cell in table[1].strip("|").split("|")]
    assert [word for word, mark in zip(words, marks, strict=True) if mark == "---"] == ["row", "verdict", "readings"]
    assert set(marks) == {"---", "--:"}
    below = [line for line in table if not line.startswith("|")]
    assert below[0] == "", "a paragraph in Markdown begins after an empty line"
    assert len(below) > 1


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
