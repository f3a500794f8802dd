"""The floors of the house: each module imports only from floors below its own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pairnet

FLOORS = (
    {"__init__", "_core"},
    {"idx", "recipes", "notation", "paper", "inputs"},
    {"images"},
    {"fetching", "pairs", "variants", "records", "calibration", "pictures"},
    {"sources", "loader", "nets", "optimising", "designs"},
    {"training", "graphs", "checking", "recorded", "sessions"},
    {"batched", "runs", "quantising", "predictor"},
    {"grouping", "tables", "exporting"},
    {"study"},
    {"report", "live", "figures", "benchmarks"},
    {"cli"},
    {"__main__"},
)
"""From the ground up. A file that is missing here has no place in the house: give it one, and docs/design.md too."""

PACKAGE = Path(pairnet.__file__).parent
FLOOR = {module: number for number, modules in enumerate(FLOORS) for module in modules}
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(path):
    """Modules of pairnet that a file imports, at its top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "pairnet":
            parts = node.module.split(".")
            yield from [parts[1]] if len(parts) > 1 else (name.name for name in node.names)
        elif isinstance(node, ast.Import):
            yield from (name.name.split(".")[1] for name in node.names if name.name.startswith("pairnet."))


def module_of(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_below(path):
    own = module_of(path)
    for other in imported(path):
        other = other if other in FLOOR else "__init__"  # a name of the package itself: __version__
        assert own == other or FLOOR[other] < FLOOR[own], f"{own} imports {other}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_opens_with_what_it_owns_and_ends_before_300_lines(path):
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), "no docstring at the top"
    assert text.count("\n") < 300


def in_a_fresh_python(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_package_brings_in_nothing_heavy():
    heavy = "{'torch', 'numpy', 'matplotlib', 'rich', 'typer', 'onnxruntime', 'sklearn'}"
    assert in_a_fresh_python(f"import pairnet, sys; print(sorted({heavy} & set(sys.modules)))") == "[]"


@pytest.mark.parametrize("module", ["sources", "variants", "records", "paper", "predictor", "pictures", "cli"])
def test_these_need_no_torch(module):
    assert in_a_fresh_python(f"import pairnet.{module}, sys; print('torch' in sys.modules)") == "False"


def test_only_the_commands_read_argv():
    for path in FILES:
        if module_of(path) not in {"cli"}:
            assert "argv" not in path.read_text(), path
