"""Fixtures for tests of `pairnet serve`: one server of several models for all tests of a module."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from running_server import RunningServer, running_server

from pairnet.serving.built_in import built_in_model

pytest_plugins = ("trained_runs",)


@pytest.fixture(scope="module")
def served_files(models) -> Sequence[Path]:
    """The built-in model and others: raw and pooled input, with and without digits, fp32 and int8."""
    return (
        built_in_model(),
        models("final_model"),
        models("w_net", "pairs"),
        models("order_net_fast", "images", "int8"),
    )


@pytest.fixture(scope="module")
def server(served_files) -> Iterator[RunningServer]:
    """One server of all `served_files` for the tests of a module."""
    with running_server(*served_files) as running:
        yield running
