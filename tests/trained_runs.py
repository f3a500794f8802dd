"""Fixtures for tests that need a trained run or an exported file: each variant, trained briefly on embedded digits."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from pairnet.artifact.design import InputKind, Precision
from pairnet.data.sources import Dataset, load_dataset
from pairnet.exporting.export import export
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.study.runs import Run
from pairnet.study.saved import train_and_save


@pytest.fixture(scope="session")
def digits5k() -> Dataset:
    return load_dataset("mnist5k")


@pytest.fixture(scope="session")
def trained(digits5k: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a run of one epoch over 200 pairs: no weight and no statistic has its initial value."""
    out = tmp_path_factory.mktemp("runs")

    @cache
    def folder(name: str) -> Path:
        run = Run(variant=replace(find_variant(name), recipe=Recipe(epochs=1, batch=20)), pairs=200)
        return train_and_save(run, digits5k, out).folder

    return folder


@pytest.fixture(scope="session")
def models(
    digits5k: Dataset, trained: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., Path]:
    """An exported file with all that the variant supports: digits, and encoder and head next to it."""
    folder = tmp_path_factory.mktemp("models")

    @cache
    def made(name: str, kind: InputKind, precision: Precision) -> Path:
        row, path = find_variant(name), folder / f"{name}-{kind}-{precision}.onnx"
        options = {"with_digits": row.classifies_digits, "split": row.shared and not row.net}
        export(trained(name), path, dataset=digits5k, input_kind=kind, precision=precision, max_drop=10, **options)
        return path

    def model(name: str = "final_model", kind: InputKind = "images", precision: Precision = "fp32") -> Path:
        return made(name, kind, precision)

    return model
