"""Fixtures for tests that need a trained run or an exported file: each variant, trained briefly on embedded digits.

Several processes of pytest-xdist share the folders: each run and each file is made once.
"""

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from pairnet.artifact.design import InputKind, Precision
from pairnet.data.sources import Dataset, load_dataset
from pairnet.exporting import decisions
from pairnet.exporting.export import export
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.records.run import Run
from pairnet.study.saved import train_and_save


@contextmanager
def made_once(common: Path, what: str) -> Iterator[bool]:
    """Yields True to the first process that asks for `what`, and False to others when the first is done with it."""
    folder = common / "made"
    folder.mkdir(exist_ok=True)
    with (folder / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not (folder / what).exists()
        (folder / what).touch()


@pytest.fixture(scope="session")
def common_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of this test session that all its processes share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base


@pytest.fixture(scope="session")
def digits5k() -> Dataset:
    return load_dataset("mnist5k")


@pytest.fixture(scope="session")
def trained(digits5k: Dataset, common_folder: Path) -> Callable[[str], Path]:
    """The folder of a run of one epoch over 200 pairs: no weight and no statistic has its initial value."""

    @cache
    def folder(name: str) -> Path:
        run = Run(
            variant=replace(find_variant(name), recipe=Recipe(epochs=1, batch=20)), images=digits5k.images, pairs=200
        )
        with made_once(common_folder, f"run of {name}"):
            return train_and_save(run, digits5k, common_folder / "runs").folder

    return folder


@pytest.fixture(scope="session")
def models(digits5k: Dataset, trained: Callable[[str], Path], common_folder: Path) -> Callable[..., Path]:
    """An exported file with all that the variant supports: digits, and encoder and head next to it."""

    @cache
    def made(name: str, kind: InputKind, precision: Precision) -> Path:
        row, path = find_variant(name), common_folder / "models" / f"{name}-{kind}-{precision}.onnx"
        options = {"with_digits": row.classifies_digits, "split": row.shared and not row.net}
        run = trained(name)
        with made_once(common_folder, path.name) as to_make:
            if to_make:
                path.parent.mkdir(exist_ok=True)
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(decisions, "FURTHER_PAIRS", 100)
                    export(
                        run, path, dataset=digits5k, input_kind=kind, precision=precision, max_drop=10, max_changed=10,
                        **options,
                    )  # fmt: skip
        return path

    def model(name: str = "final_model", kind: InputKind = "images", precision: Precision = "fp32") -> Path:
        return made(name, kind, precision)

    return model


@pytest.fixture(scope="session")
def seeds(digits5k: Dataset, common_folder: Path) -> Callable[[int], Path]:
    """An exported file of order_net_fast, trained for one epoch with a seed."""

    def file(seed: int) -> Path:
        path = common_folder / "models" / f"seed-{seed}.onnx"
        variant = replace(find_variant("order_net_fast"), recipe=Recipe(epochs=1, batch=20))
        run = Run(variant=variant, images=digits5k.images, pairs=200, seed=seed)
        with made_once(common_folder, path.name) as to_make:
            if to_make:
                path.parent.mkdir(exist_ok=True)
                saved = train_and_save(run, digits5k, common_folder / "runs")
                with pytest.MonkeyPatch.context() as patch:
                    patch.setattr(decisions, "FURTHER_PAIRS", 100)
                    export(saved.folder, path, dataset=digits5k, max_drop=10, max_changed=10)
        return path

    return file
