"""The public API: every name resolves, importing the package is cheap, old names lead to the new ones."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import pairnet
from pairnet import errors, moved

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


def test_the_version_is_that_of_the_distribution():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    assert pairnet.__version__ == project["version"]


@pytest.mark.parametrize(
    "statement",
    ["import pairnet.predictor", "from pairnet.predictor import Predictor", "from pairnet import predictor"],
)
def test_a_moved_module_fails_with_the_name_of_the_new_one(statement):
    expected = r"^pairnet\.predictor is now pairnet\.serving\.predictor \(or: from pairnet import Predictor\)$"
    with pytest.raises(ModuleNotFoundError, match=expected):
        exec(statement)


def test_moved_modules_are_gone_and_their_new_places_exist():
    package = Path(pairnet.__file__).parent
    for old, new in moved.MOVED.items():
        path, _, alternative = new.partition(" (or: from pairnet import ")
        assert not (package / f"{old}.py").exists()
        assert (package / f"{path.replace('.', '/')}.py").exists(), new
        assert not alternative or alternative.removesuffix(")") in pairnet.__all__
