"""Creates an environment with a wheel of pairnet and the dependencies of its base and one extra, linked from this one.

Usage: python base_environment.py FOLDER WHEEL [EXTRA]. Nothing is downloaded: the base dependencies are large.
"""

import subprocess
import sys
import venv
from importlib.metadata import distribution
from pathlib import Path

from packaging.requirements import Requirement


def closure(requirements: list[str], extra: str) -> set[str]:
    """Names of the distributions that `requirements` need here, without any extra that is not asked for."""
    names: set[str] = set()
    waiting = [Requirement(text) for text in requirements]
    while waiting:
        requirement = waiting.pop()
        asked = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": each}) for each in {"", extra, *asked}):
            continue
        name = requirement.name.lower().replace("_", "-")
        if name in names:
            continue
        names.add(name)
        for text in distribution(requirement.name).requires or []:
            needed = Requirement(text)
            if not needed.marker or any(needed.marker.evaluate({"extra": each}) for each in asked):
                needed.marker = None
                waiting.append(needed)
    return names


def main(folder: Path, wheel: Path, extra: str = "") -> None:
    venv.create(folder, with_pip=False, symlinks=True)
    (site,) = folder.glob("lib/python*/site-packages")
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(wheel)]
    subprocess.run(command, check=True)
    (metadata,) = site.glob("pairnet-*.dist-info/METADATA")
    lines = metadata.read_text().splitlines()
    base = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    for name in closure(base, extra):
        found = distribution(name)
        for top in {file.parts[0] for file in found.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))).resolve())


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:])
