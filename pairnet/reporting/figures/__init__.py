"""The figures of reports. Importing it loads matplotlib, also where that refuses the user's settings.

matplotlib reads its settings while it is imported: a file called matplotlibrc in the current folder or elsewhere, and
MPLBACKEND, which a notebook hands to the programs that it starts. Figures need neither (drawing.STYLE).
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

BACKEND, SETTINGS = "MPLBACKEND", "MATPLOTLIBRC"


def _load() -> None:
    """Imports matplotlib; again with its own settings if those of the user keep it from being imported."""
    try:
        import matplotlib
    except ImportError:
        raise
    except Exception:  # a backend that is not installed; a file that is no text or cannot be read
        for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
            del sys.modules[name]
        with _settings_hidden():
            import matplotlib  # noqa: F401


@contextlib.contextmanager
def _settings_hidden() -> Iterator[None]:
    """Keeps the user's settings from matplotlib, and restores what is changed for that."""
    spec, before = find_spec("matplotlib"), {name: os.environ.pop(name, None) for name in (BACKEND, SETTINGS)}
    (package,) = (spec and spec.submodule_search_locations) or ("",)
    os.environ[SETTINGS] = str(Path(package, "mpl-data", "matplotlibrc"))
    with contextlib.ExitStack() as stack:
        if Path("matplotlibrc").exists():  # it would be read first
            stack.enter_context(contextlib.chdir(stack.enter_context(tempfile.TemporaryDirectory())))
        try:
            yield
        finally:
            del os.environ[SETTINGS]
            os.environ.update({name: value for name, value in before.items() if value is not None})


_load()
