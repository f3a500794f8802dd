"""The public API: every name resolves, importing the package is cheap."""

import json
import subprocess
import sys
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest

import pairnet
from pairnet import errors

HEAVY = {"torch", "numpy", "matplotlib", "rich", "typer", "onnxruntime", "onnx", "sklearn", "requests", "msgspec"}


def fresh_python(code: str) -> str:
    """What `code` prints in an interpreter of its own."""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.fixture(scope="session")
def resolved() -> dict[str, str]:
    """For each public name: how it resolves in an interpreter that has imported nothing else."""
    return json.loads(
        fresh_python(
            """
import json, pairnet
found = {}
for name in pairnet.__all__:
    try:
        found[name] = "ok" if getattr(pairnet, name) is not None else "None"
    except Exception as error:
        found[name] = repr(error)
print(json.dumps(found))
"""
        )
    )


@pytest.mark.parametrize("name", pairnet.__all__)
def test_each_public_name_resolves_in_a_fresh_interpreter(resolved, name):
    assert resolved[name] == "ok"


def test_every_error_is_public_and_part_of_one_tree():
    classes = {name: value for name, value in vars(errors).items() if isinstance(value, type)}
    assert set(classes) <= set(pairnet.__all__)
    for name, value in classes.items():
        assert getattr(pairnet, name) is value
        assert issubclass(value, pairnet.PairnetError)


def test_importing_the_package_imports_nothing_heavy():
    assert fresh_python(f"import pairnet, sys; print(sorted({HEAVY} & set(sys.modules)))") == "[]"


def test_names_are_listed_described_and_unique():
    assert len(pairnet.__all__) == len(set(pairnet.__all__))
    assert set(pairnet.__all__) <= set(dir(pairnet))
    described = {line.split()[0] for line in pairnet.__doc__.splitlines() if line.startswith("    ")}
    assert described == (set(pairnet.__all__) - set(vars(errors))) | {"PairnetError"}


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'pairnet' has no attribute 'nonsense'"):
        _ = pairnet.nonsense
    assert not hasattr(pairnet, "nonsense")
    assert getattr(pairnet, "runs", None) is None
    assert find_spec("pairnet.pairs") is None


def test_the_version_is_that_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert pairnet.__version__ == project["version"]
