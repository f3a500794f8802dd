"""The tables of the paper and those beyond it: study files that come with the package, read like anybody's."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from pairnet.study.files import read_study
from pairnet.study.plan import Study

PAPER = ("1", "2", "3", "dropout")
"""The tables that `all` stands for."""

NAMES = (*PAPER, "2-folds", "order", "ablation")
"""All tables: each is the file of that name next to this module."""


def studies() -> dict[str, Study]:
    """All tables, by name."""
    return {name: _table(name) for name in NAMES}


@cache
def _table(name: str) -> Study:
    return replace(read_study(Path(__file__).with_name(f"{name}.toml")), file=None)
