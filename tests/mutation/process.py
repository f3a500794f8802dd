"""What each Python process of a measurement does first: it imports the copy of the tree, and can say what it reached.

The copy has this file as sitecustomize.py, so it is complete in itself.
"""

import builtins
import os
import sys


def enter() -> None:
    """Takes away the finders of an editable installation, which come before sys.path and know the original tree."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if not type(finder).__name__.startswith("ScikitBuild")]
    seen = set()

    def reached(where: str) -> None:
        """Appends (test file, test, where) to a file, once a process. Child processes inherit both names."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0]
        if (test, where) not in seen and (log := os.environ.get("MUTATION_LOG")):
            seen.add((test, where))
            file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, "\t".join((os.environ["MUTATION_FILE"], test, where + "\n")).encode())
            os.close(file)

    builtins.mutation_reached = reached  # type: ignore[attr-defined]


if __name__ == "sitecustomize":
    enter()
