"""Borders that import-linter cannot check: imports at run time, the reader of argv, docstrings and lengths of files."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pairnet

PACKAGE = Path(pairnet.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_LINES = 350

WITHOUT_TORCH = sorted(
    ".".join(("pairnet", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
    for folder in ("artifact", "cli", "data", "serving")
    for path in (PACKAGE / folder).rglob("*.py")
)
"""Modules of the packages that work without torch. Further ones are named in the test below."""


def relative(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


def test_these_modules_are_imported_without_torch():
    modules = [*WITHOUT_TORCH, "pairnet.records.record", "pairnet.models.variants", "pairnet.models.paper"]
    code = f"""
import importlib, sys
for module in {modules}:
    importlib.import_module(module)
    if "torch" in sys.modules:
        sys.exit(f"{{module}} imports torch")
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_commands_are_imported_without_anything_slow():
    code = "import pairnet.cli, sys; print({'torch', 'numpy', 'onnxruntime', 'rich.console'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


@pytest.mark.parametrize("path", FILES, ids=relative)
def test_a_file_opens_with_a_docstring_and_is_not_too_long(path):
    text = path.read_text()
    assert text == "" or ast.get_docstring(ast.parse(text)), "no docstring at the top"
    assert text.count("\n") <= MAX_LINES


def test_only_the_entry_point_reads_argv():
    readers = [relative(path) for path in FILES if "argv" in path.read_text()]
    assert readers == ["__main__.py"]
