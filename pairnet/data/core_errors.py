"""Owns the translation of the C++ core's exceptions into pairnet's errors."""

from collections.abc import Iterator
from contextlib import contextmanager

from pairnet.errors import ArgumentError


@contextmanager
def argument_errors() -> Iterator[None]:
    """Raises ArgumentError in place of the core's exceptions about an argument, with the first line of their message.

    The core raises ValueError for a value out of bounds, TypeError for another type, and RuntimeError if the system
    cannot start the requested threads.
    """
    try:
        yield
    except ArgumentError:
        raise
    except (ValueError, TypeError, OverflowError) as error:
        raise ArgumentError(str(error).partition("\n")[0]) from None
    except RuntimeError as error:
        raise ArgumentError(f"cannot start as many threads ({error}): lower `threads`") from None
