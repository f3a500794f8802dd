"""Builds a mutant of the C++ core in the copy of the tree, and runs the C++ tests on it."""

import hashlib
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from mutation.mutant import Mutant

SECONDS = 60  # for the C++ tests, which take about ten


@dataclass(frozen=True, kw_only=True)
class CoreBuild:
    """A build folder of the copy, and one of the same paths without a bug, which each build begins with."""

    copy: Path
    digest: str  # of the binaries without a bug

    def __call__(self, mutant: Mutant) -> tuple[str, str] | None:
        """(outcome, why), or None if the tests in Python have to decide. The mutant is in the copy already."""
        shutil.rmtree(self.copy / "build")
        shutil.copytree(self.copy / "pristine", self.copy / "build")
        if _make(self.copy).returncode:
            return "invalid", "it does not compile"
        if _binaries(self.copy) == self.digest:
            return "equivalent", "the same object code"
        install(self.copy)
        try:
            tests = subprocess.run(
                [self.copy / "build/pairnet_tests", "--abort-after=1"], capture_output=True, timeout=SECONDS
            )
        except subprocess.TimeoutExpired:
            return "timeout", "pairnet_tests"
        return ("killed", "pairnet_tests") if tests.returncode else None


def prepare(copy: Path) -> CoreBuild:
    """Builds the copy without a bug, lightly optimised: the same bits, and half of the time to compile."""
    options = ("-DCMAKE_CXX_FLAGS_RELEASE=-O1", "-DPAIRNET_TESTS=ON", "-DCMAKE_INTERPROCEDURAL_OPTIMIZATION=OFF")
    command = ["cmake", "-G", "Ninja", "-S", copy, "-B", copy / "build", f"-DPython_EXECUTABLE={sys.executable}"]
    for made in (subprocess.run([*command, *options], capture_output=True, text=True), _make(copy)):
        if made.returncode:
            raise RuntimeError(
                f"expected the C++ core and its tests to build: {made.stdout[-2000:]}{made.stderr[-2000:]}"
            )
    shutil.copytree(copy / "build", copy / "pristine")
    install(copy)
    return CoreBuild(copy=copy, digest=_binaries(copy))


def install(copy: Path, folder: str = "build") -> None:
    """Puts the module of a build folder into the package of the copy."""
    for built in (copy / folder).glob("_core.*.so"):
        (copy / "pairnet" / built.name).unlink(missing_ok=True)
        shutil.copy(built, copy / "pairnet")


def _make(copy: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["cmake", "--build", copy / "build", "--parallel", "2"], capture_output=True, text=True)


def _binaries(copy: Path) -> str:
    files = sorted([*(copy / "build").glob("_core.*.so"), copy / "build/pairnet_tests"])
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()
