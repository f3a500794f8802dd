"""Entry points of the command line; Ctrl-C stops the program with one line, also while modules are being imported."""

import signal
import sys
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
"""Exit status after Ctrl-C: 128 and the number of SIGINT, as shells have it."""

KEPT = {
    "reproduce": "stopping; finished runs are kept, the same command goes on",
    "study": "stopping; finished runs are kept, the same command goes on",
    "train": "stopped; an unfinished network is not kept",
    "export": "stopped; finished files and networks are kept",
    "data fetch": "stopped; the same command resumes the download",
}
"""What each command says after Ctrl-C; those that leave nothing unfinished say that they have stopped."""


def main() -> NoReturn:
    """Entry point of `pairnet`."""
    _run(sys.argv[1:])


def main_export() -> NoReturn:
    """Entry point of `pairnet-export`."""
    _run(["export", *sys.argv[1:]])


def _run(arguments: list[str]) -> NoReturn:
    signal.signal(signal.SIGINT, _stop)
    try:
        from pairnet.host import apply_quota, ensure_home

        ensure_home()
        apply_quota()
        from pairnet.cli import app
        from pairnet.cli.common import run_app

        status = run_app(app, arguments)
    except KeyboardInterrupt:
        status = INTERRUPTED
    if status == INTERRUPTED:  # printed here and not in the handler: there it would get between the rows of a display
        line_start = "\r" if sys.stderr.isatty() else ""  # over the ^C that a terminal shows
        sys.stderr.write(f"{line_start}pairnet: {_kept(arguments)}\n")
    raise SystemExit(status)


def _kept(arguments: list[str]) -> str:
    """What is true after Ctrl-C for the command that a command line names."""
    words = [each for each in arguments if not each.startswith("-")]
    return next((KEPT[name] for name in (" ".join(words[:2]), *words[:1]) if name in KEPT), "stopped")


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Handles the first SIGINT; further ones are ignored, so that none of them interrupts the cleaning up."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
