"""Every exception that pairnet raises on purpose: one tree, so that `except PairnetError` catches them all.

A message is one line: what was expected, what was given, what to do. It names parameters in backticks (`pairs`), which
the command line prints as its options (--pairs). An error that is also a ValueError is about what the caller gave; one
that is also a RuntimeError is about something that failed. Anything else that escapes is a bug in pairnet.
"""

from typing import Literal

Refusal = Literal["invalid", "forbidden", "unknown", "method", "gone", "large", "media", "failed", "busy", "expired"]
"""Why a request is refused: it does not fit, its client may not ask for that, it names no model or path, its path has
other methods, its client has left, it is too large, it has another content type; or the server failed, has too much to
do, or did not begin in time."""


PictureCode = Literal[
    "missing",
    "format",
    "damaged",
    "too-large",
    "too-much-work",
    "no-digit",
    "low-contrast",
    "uneven-background",
    "lines",
    "several-digits",
    "unusable",
]
"""Why a picture is refused, for programs: no file, or none that can be opened; another format; damage; more pixels or
bytes than are read; more work to decode than its pixels need; what was found in place of one digit; or another reason,
which the message has."""


FailureKind = Literal["diverged", "memory", "other"]
"""How a run failed: its loss stopped being finite, the device had too little memory, or another way."""


class PairnetError(Exception):
    """Base of all of pairnet's errors."""


# What the caller gave


class ArgumentError(PairnetError, ValueError):
    """An argument, or a combination of arguments, that is out of bounds or not understood."""


class DataError(PairnetError, ValueError):
    """Images that are missing or cannot be used."""

    code: PictureCode = "unusable"


class IdxError(DataError):
    """A file that is not a valid 8-bit IDX file, or that cannot be read or written."""


class PictureError(DataError):
    """A file that holds no usable picture, and why."""

    def __init__(self, message: str, code: PictureCode = "unusable") -> None:
        super().__init__(message)
        self.code = code


class NotationError(PairnetError, ValueError):
    """A structure that cannot be read, or whose layers do not fit together."""


class RecordError(PairnetError, ValueError):
    """Records or saved runs that are damaged, inconsistent, or locked by another program."""


class ModelError(PairnetError, ValueError):
    """A file that ONNX Runtime cannot load, or that `pairnet export` did not write."""


class InputError(PairnetError, ValueError):
    """Arrays that a model does not accept."""


class RequestError(PairnetError, ValueError):
    """A request that is refused, and why; `code` is that of a picture in it."""

    def __init__(self, message: str, kind: Refusal = "invalid", code: PictureCode | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.code = code


class ResultsError(PairnetError, ValueError):
    """Benchmark results that are missing, or that asv did not write."""


# What failed


class MissingExtraError(PairnetError, ImportError, RuntimeError):
    """A part of pairnet whose optional dependencies are not installed."""


class InstallationError(PairnetError, ImportError, RuntimeError):
    """A package that pairnet needs is damaged, or was overwritten by another one."""


class TrainingError(PairnetError, RuntimeError):
    """A run that cannot continue, how it failed and in which epoch (from 1), if known; or a study with failed runs."""

    def __init__(self, message: str, kind: FailureKind = "other", epoch: int | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.epoch = epoch


class WorkerError(PairnetError, RuntimeError):
    """A worker process that ended before its run did."""


class ProviderError(PairnetError, RuntimeError):
    """A provider of ONNX Runtime, or a device of torch, that was asked for and cannot be used here."""


class PortError(PairnetError, RuntimeError):
    """A port or address that a server cannot listen on."""


class ClosedError(PairnetError, RuntimeError):
    """An object that was used after its `close`."""


class ExportError(PairnetError, RuntimeError):
    """An exported file that failed a step of its validation."""


class CheckerError(ExportError):
    """ONNX's own checker rejects the model, or the file is not a model."""


class WeightsError(ExportError):
    """The weights are not those of the trained network, or not those whose checksum is in the metadata."""


class GraphError(ExportError):
    """The graph is not that of the network in float32."""


class NamesError(ExportError):
    """Inputs or outputs have other names."""


class AxesError(ExportError):
    """An input or output is declared with another type or other axes."""


class ShapesError(ExportError):
    """A run fails, or returns another shape or type."""


class ValuesError(ExportError):
    """A run returns other values than PyTorch."""


class DecisionsError(ExportError):
    """More decisions differ from PyTorch's than allowed."""


class AccuracyError(ExportError):
    """The file's accuracy is lower than allowed."""


def one_line(error: BaseException) -> str:
    """The text of an error without line breaks, at most 300 characters."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:297]}..."
