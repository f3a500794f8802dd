"""Where the models of a server are: files of the command line, and a folder of models with versions."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pairnet.errors import ArgumentError, ModelError, PairnetError, RequestError
from pairnet.serving import layout
from pairnet.serving.joint import NAMES, VERSION, is_name
from pairnet.serving.server.accuracy import Check
from pairnet.serving.server.loading import Options, Place, open_file
from pairnet.serving.server.served import ServedModel

Opened = dict[str, ServedModel]
"""Models by version, highest first."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """The files of all models, and how they are opened."""

    files: Mapping[str, Path]  # models of one version, by name
    folder: Path | None  # of further models, see `layout`
    options: Options

    def names(self) -> list[str]:
        """The models of the folder.  ArgumentError if it cannot be read, or has a name that a file has, too."""
        if self.folder is None:
            return []
        try:
            names = layout.names(self.folder)
            if (meant := layout.meant(self.folder)) is not None:
                raise ArgumentError(
                    f"`models`: expected a folder of models, NAME/VERSION/{layout.FILE}, got {self.folder}: did you "
                    f"mean `models` {meant}?"
                )
        except OSError as error:
            raise ArgumentError(
                f"`models`: expected a folder of models, got {self.folder}: {error.strerror or error}"
            ) from None
        if twice := [name for name in names if name in self.files]:
            raise ArgumentError(
                f"{self.files[twice[0]]}: expected a name that `models` has not, got {twice[0]} in both: rename one"
            )
        return names

    def check_new(self, name: str) -> None:
        """RequestError unless the folder has a model of that name."""
        if self.folder is None:
            known = ", ".join(self.files)
            raise RequestError(
                f"expected a model among {known}, got {name[:80]!a}: `--models` names a folder of others", "unknown"
            )
        if not is_name(name) or not (self.folder / name).is_dir():
            raise RequestError(f"expected a model in the folder that is served, got {name[:80]!a}", "unknown")

    def open_versions(
        self, name: str, loaded: Opened, room: float, check: Check
    ) -> tuple[dict[str, ServedModel], dict[str, PairnetError]]:
        """The versions of a model, and why others are not among them; `loaded`, where a file is the same.

        room: bytes that they may need. Any thread may call it.
        """
        opened: dict[str, ServedModel] = {}
        refused: dict[str, PairnetError] = {}
        try:
            places = self._places(name)
        except ModelError as error:
            return {}, {"": error}
        for place in places:
            kept = loaded.get(place.version)
            try:
                model = open_file(place, self.options, kept=kept, room=room, check=check)
            except PairnetError as error:
                refused[place.version] = error
                continue
            opened[place.version] = model
            if model is not kept:
                room -= model.memory
        return opened, refused

    def skipped(self, name: str) -> tuple[str, ...]:
        """The folders of a model that have a file, and a name that is no version."""
        return () if self.folder is None or name in self.files else layout.skipped(self.folder, name)

    def _places(self, name: str) -> list[Place]:
        """The files of a model, highest version first.  ModelError if there are none."""
        if name in self.files:
            return [Place(name=name, version=VERSION, path=self.files[name])]
        assert self.folder is not None
        if not is_name(name):
            raise ModelError(f"{self.folder / name}: expected a name of {NAMES}: rename it")
        try:
            versions = layout.versions(self.folder, name)
        except OSError as error:
            raise ModelError(f"{self.folder / name}: cannot be read: {error.strerror or error}") from None
        if not versions:
            got = "no folder" if not (self.folder / name).is_dir() else "none"
            raise ModelError(
                f"{self.folder / name}: expected a folder with the number of a version, such as 1, and "
                f"{layout.FILE} in it, got {got}"
            )
        return [
            Place(name=name, version=version, path=layout.file_of(self.folder, name, version)) for version in versions
        ]
