"""What works without any extra: every optional package is hidden from the imports of a child process."""

import json
import subprocess
import sys

import pytest
from record_examples import record

from pairnet.data.sources import load_dataset
from pairnet.extras import EXTRAS
from pairnet.records.store import append

pytest_plugins = ("trained_runs",)

HIDDEN = sorted(module for modules in EXTRAS.values() for module in modules)

HIDING = f"""
import sys

class Hiding:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        hidden = name.partition(".")[0] in {HIDDEN}
        return None if hidden else self.finder.find_spec(name, path, target)

sys.meta_path[:] = [Hiding(finder) for finder in sys.meta_path]
"""


def python(code, *arguments):
    """Runs Python code where no extra is installed."""
    command = [sys.executable, "-c", HIDING + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def without_extras(*arguments):
    return python("from pairnet.__main__ import main\nmain()", *arguments)


def result_of(*arguments):
    found = without_extras(*arguments)
    assert found.returncode == 0, found.stderr
    return json.loads(found.stdout)


def test_an_exported_file_predicts(models, tmp_path):
    import numpy as np

    pixels, _ = load_dataset("glyphs:20").test.take(np.arange(20))
    np.save(tmp_path / "pairs.npy", pixels.reshape(10, 2, 28, 28))
    found = result_of("predict", models("order_net_fast", "images", "fp32"), tmp_path / "pairs.npy", "--json")
    assert len(found["pairs"]) == 10


def test_runs_and_variants_are_listed(tmp_path):
    append(tmp_path, record())
    assert [row["row"] for row in result_of("runs", "--runs", tmp_path, "--json")] == [record().run.name]
    assert len(result_of("variants", "--json")) > 1


def test_doctor_names_the_extras_to_install(tmp_path):
    found = {finding["name"]: finding for finding in result_of("doctor", "--json")}
    for extra, modules in EXTRAS.items():
        assert not found[extra]["ready"]
        assert found[extra]["text"] == f"{', '.join(modules)} not installed: pip install 'pairnet[{extra}]'"


@pytest.mark.parametrize(
    ("arguments", "user", "module"),
    [
        (["train", "conv_1"], "pairnet train", "torch"),
        (["reproduce"], "pairnet reproduce", "torch"),
        (["export", "--model", "conv_1"], "pairnet export", "torch"),
        (["data", "fetch", "mnist"], "downloading MNIST", "requests"),
        (["variants", "--draw", "conv_1"], "drawing a network", "matplotlib"),
        (["serve"], "pairnet serve", "grpc"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_command_whose_extra_is_missing_names_it(arguments, user, module):
    found = without_extras(*arguments)
    (extra,) = (extra for extra, modules in EXTRAS.items() if module in modules)
    line = f"{user} needs {module}, which is not installed: pip install 'pairnet[{extra}]'"
    assert (found.returncode, found.stdout, found.stderr) == (1, "", f"pairnet: {line}\n")


def test_help_lists_the_names_that_can_be_loaded():
    code = """import pydoc, pairnet
broken = []
for name in pairnet.__all__:
    try:
        getattr(pairnet, name)
    except pairnet.MissingExtraError:
        broken.append(name)
print(sorted(set(pairnet.__all__) - set(dir(pairnet))) == sorted(broken), "predict" in pydoc.render_doc(pairnet))
"""
    found = python(code)
    assert (found.stdout, found.stderr) == ("True True\n", "")


def test_a_public_name_whose_extra_is_missing_names_it():
    assert python("from pairnet import build").stderr.splitlines()[-1] == (
        "pairnet.errors.MissingExtraError: pairnet.build needs torch, which is not installed: "
        "pip install 'pairnet[train]'"
    )
