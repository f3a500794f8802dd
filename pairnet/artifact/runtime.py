"""The only import of ONNX Runtime: without its telemetry, and with one line where its packages are broken.

ONNX Runtime 1.31 writes a device id and a database of events to the user's cache folder, and sends the events to its
maker. ORT_DISABLE_TELEMETRY=1, before it is imported, prevents both. pairnet sets it unless the user has: with
ORT_DISABLE_TELEMETRY=0 there is telemetry.
"""

import os
from importlib import metadata

from pairnet.errors import InstallationError, one_line

__all__ = ["PACKAGES", "TELEMETRY", "installed", "ort", "remedy"]

TELEMETRY = "ORT_DISABLE_TELEMETRY"

PACKAGES = ("onnxruntime-gpu", "onnxruntime")
"""Distributions that bring the module `onnxruntime`, best first."""

os.environ.setdefault(TELEMETRY, "1")


def installed() -> dict[str, str]:
    """The version of each of PACKAGES that is installed; two of them have overwritten each other's files."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def remedy() -> str:
    """Commands that repair an installation in which a package is damaged, or has overwritten another one's files."""
    found = installed()
    name = next(iter(found), PACKAGES[0])
    install = f"pip install --force-reinstall --no-deps {name}" + (f"=={found[name]}" if name in found else "")
    return f"pip uninstall -y {' '.join(found)} && {install}" if len(found) > 1 else install


try:
    import onnxruntime as ort
except Exception as error:  # it is not there, the dynamic linker refuses a library, files are of different versions
    raise InstallationError(f"onnxruntime cannot be imported ({one_line(error)}): {remedy()}") from error
if not hasattr(ort, "InferenceSession"):  # a folder that is left over from a package that was uninstalled
    raise InstallationError(f"expected onnxruntime to be complete, got a folder without its files: {remedy()}")
