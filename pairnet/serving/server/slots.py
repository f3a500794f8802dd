"""What a server knows of one name: the versions that are loaded, and why others are not."""

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pairnet.serving.server.served import ServedModel
from pairnet.serving.server.sources import Opened
from pairnet.serving.server.statistics import Statistics

State = Literal["READY", "LOADING", "UNAVAILABLE"]
Reasons = Mapping[str, str]
"""Why versions are not loaded; "" stands for the whole model."""

NO_VERSION = "expected a whole number from 1 as the name of a version's folder, got another one: rename it"
UNLOADED: Reasons = {"": "unloaded"}


@dataclass(kw_only=True, eq=False)
class Slot:
    """One name."""

    loaded: Opened = field(default_factory=dict)
    refused: Reasons = field(default_factory=dict)
    skipped: tuple[str, ...] = ()  # folders whose names are no versions
    loading: bool = False
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)  # of whoever loads or unloads this name
    draining: list[ServedModel] = field(default_factory=list)  # no longer found, and not closed yet
    earlier: Statistics = field(default_factory=Statistics)  # of versions that are closed

    @property
    def open_models(self) -> list[ServedModel]:
        """Those that take memory."""
        return [*self.loaded.values(), *self.draining]

    @property
    def state(self) -> State:
        """READY also while another version is opened."""
        return "READY" if self.loaded else "LOADING" if self.loading else "UNAVAILABLE"

    @property
    def lacking(self) -> list[str]:
        """The versions, "" for all of them, that were refused when they were last read, and are not loaded."""
        return [] if self.refused == UNLOADED else [version for version in self.refused if version not in self.loaded]

    def entries(self, *, ready: bool) -> Iterator[tuple[str, State, str]]:
        """Version, state and reason of each version; ready: only of those that answer or are being loaded."""
        for model in reversed(self.loaded.values()):
            reasons = [f"accuracy not checked: {model.unchecked}"] if model.unchecked else []
            reasons += [f"not loaded again: {self.refused[model.version]}"] if model.version in self.refused else []
            yield model.version, "READY", "; ".join(reasons)
        if self.loading and not self.loaded:
            yield "", "LOADING", ""
        elif not ready:
            for folder in self.skipped:
                yield folder, "UNAVAILABLE", NO_VERSION
            for version, why in self.refused.items():
                if version not in self.loaded:
                    yield version, "UNAVAILABLE", why
