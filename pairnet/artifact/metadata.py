"""The metadata of an exported file: the meaning of each key, its type, its bounds, and its form as text.

A file may come from anybody, and its metadata is printed in terminals and reports. So text is plain (printable, without
control characters and without square brackets, which begin rich's markup), and numbers are finite and in range.
"""

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any, TypeVar, get_args

import msgspec

from pairnet.artifact.design import InputKind, Part, Precision
from pairnet.data.pairs import Moments
from pairnet.errors import ModelError, NotationError
from pairnet.models import notation
from pairnet.records.run import Seeds
from pairnet.wording import LONGEST_TEXT, is_plain, shown

FORMAT = "1"
"""Version of the list of keys."""

PRIVATE_SOURCE = "idx:FOLDER"
"""Value of `data_source` for images of the user's own: the path of their folder stays out of the file."""

METADATA = {
    "pairnet": "version of this list of keys",
    "variant": "name in the table of variants",
    "structure": "the whole network in the paper's notation",
    "parameters": "number of trainable values of the whole network",
    "part": "joint, encoder or head",
    "input": "images or pairs",
    "precision": "fp32, fp16 or int8",
    "data": "name of the data source",
    "data_source": "value of --data that loads the same images",
    "data_checksum": "SHA-256 of the data set",
    "pairs": "number of pairs drawn for training",
    "test_pairs": "number of pairs drawn for testing; as many as `pairs` in a file without this key",
    "seeds": "JSON: seeds of the training draw, the test draw, the initial weights and the order of the batches",
    "mean": "mean of the training pairs' pixels, in grey levels 0..255",
    "std": "standard deviation of the training pairs' pixels, in grey levels",
    "recipe": "JSON: the settings of the training",
    "run": "fingerprint of the run: files with the same fingerprint belong together",
    "run_accuracy": "accuracy of the trained network on the recorded test draw, as a fraction",
    "test_accuracy": "accuracy of this file on the same draw when it was exported; of an encoder and its head together",
    "versions": "JSON: versions of Python and of packages, for training (trained) and export (exported)",
    "revision": "git revision of the code that exported",
    "run_revision": "git revision of the code that trained",
    "weights_sha256": "SHA-256 over name, type, shape and bytes of each initializer, in the order of names",
}
"""Every key that a file contains, and its meaning. Values are text; float() and int() restore numbers exactly."""

DEEPEST = 8
"""Levels of nested JSON values."""

_TWIN = re.compile(
    r"(?:both images|each image its own): \[([^\[\]|]+)\] \| head: ([^\[\]|]+)"
    r"(?: \| auxiliary, both images: ([^\[\]|]+))?"
)
_WHOLE = re.compile(r"[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+)?(?:e[+-]?[0-9]+)?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """Metadata of one file; METADATA explains each field (`input_kind` is the key "input").

    Raises ModelError, which names the key, for a value that no export writes.
    """

    variant: str
    structure: str
    parameters: int
    part: Part
    input_kind: InputKind
    precision: Precision
    data: str
    data_source: str
    data_checksum: str
    pairs: int
    test_pairs: int
    seeds: Seeds
    mean: float
    std: float
    recipe: Mapping[str, Any]
    run: str
    run_accuracy: float
    test_accuracy: float
    versions: Mapping[str, Mapping[str, str]]
    revision: str
    run_revision: str
    weights_sha256: str

    def __post_init__(self) -> None:
        for key in ("variant", "data", "data_source", "run", "revision", "run_revision"):
            value = getattr(self, key)
            _expect(key, value, "plain text without control characters and square brackets", is_plain(value))
        _expect("structure", self.structure, "a network in the paper's notation", _is_structure(self.structure))
        for key, choices in (("part", get_args(Part)), ("precision", get_args(Precision))):
            _expect(key, getattr(self, key), _choice(choices), getattr(self, key) in choices)
        _expect("input", self.input_kind, _choice(get_args(InputKind)), self.input_kind in get_args(InputKind))
        for key in ("data_checksum", "weights_sha256"):
            _expect(key, getattr(self, key), "64 hexadecimal digits", bool(_SHA256.fullmatch(str(getattr(self, key)))))
        _expect("parameters", self.parameters, "a whole number from 0", _is_whole(self.parameters, 0, 10**18))
        for key in ("pairs", "test_pairs"):
            _expect(key, getattr(self, key), "a whole number from 1", _is_whole(getattr(self, key), 1, 10**18))
        _expect("mean", self.mean, "a number from 0 to 255", _is_number(self.mean) and 0 <= self.mean <= 255)
        _expect("std", self.std, "a number above 0, at most 255", _is_number(self.std) and 0 < self.std <= 255)
        for key in ("run_accuracy", "test_accuracy"):
            value = getattr(self, key)
            _expect(key, value, "a number from 0 to 1", _is_number(value) and 0 <= value <= 1)
        _expect("recipe", self.recipe, "JSON of settings and plain values", _is_plain_json(self.recipe, DEEPEST))
        _expect("versions", self.versions, "JSON of versions as plain text", _is_plain_json(self.versions, DEEPEST))

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation that normalise the pixels."""
        return Moments(mean=self.mean, std=self.std)

    def to_text(self) -> dict[str, str]:
        """The values as a file stores them, by the keys of METADATA."""
        found = {"pairnet": FORMAT}
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, Seeds):
                value = value.identity()
            if isinstance(value, Mapping):
                value = json.dumps(value)
            found[_key(field.name)] = value if isinstance(value, str) else repr(value)
        return found


def from_text(values: Mapping[str, str]) -> FileMetadata:
    """Reads the metadata of a file.  Keys that METADATA does not name are ignored.

    Raises ModelError, which names the key, for a value that is missing or that no export writes.
    """
    if values.get("pairnet") != FORMAT:
        got = f"version {shown(values['pairnet'])}" if "pairnet" in values else "none"
        raise ModelError(
            f"expected pairnet's metadata, version {FORMAT}, got {got}: export the run with `pairnet export`"
        )
    if "pairs" in values:
        values = {"test_pairs": values["pairs"], **values}
    if missing := [key for key in METADATA if key not in values]:
        raise ModelError(
            f"expected all keys of pairnet's metadata, got none for {', '.join(missing)}: export the run again"
        )
    for key in METADATA:
        text = values[key]  # bytes if a damaged file holds no UTF-8
        _expect(key, text, f"at most {LONGEST_TEXT} characters", isinstance(text, str) and len(text) <= LONGEST_TEXT)
    readers: dict[str, Callable[[str, str], Any]] = {
        "parameters": _whole,
        "pairs": _whole,
        "test_pairs": _whole,
        "seeds": _seeds,
        "mean": _number,
        "std": _number,
        "recipe": _recipe,
        "run_accuracy": _number,
        "test_accuracy": _number,
        "versions": _versions,
    }
    typed: dict[str, Any] = {}
    for field in fields(FileMetadata):
        key = _key(field.name)
        typed[field.name] = readers[key](key, values[key]) if key in readers else values[key]
    return FileMetadata(**typed)


def _key(field: str) -> str:
    """The key in a file; `input` alone would hide Python's function."""
    return "input" if field == "input_kind" else field


def _whole(key: str, text: str) -> int:
    _expect(key, text, "a whole number", bool(_WHOLE.fullmatch(text)))
    return int(text)


def _number(key: str, text: str) -> float:
    _expect(key, text, "a number", bool(_NUMBER.fullmatch(text)))
    return float(text)


def _seeds(key: str, text: str) -> Seeds:
    return _decoded(key, text, Seeds, "JSON with the whole numbers train_draw, test_draw, weights and order")


def _recipe(key: str, text: str) -> dict[str, Any]:
    return _decoded(key, text, dict[str, Any], "a JSON object")


def _versions(key: str, text: str) -> dict[str, dict[str, str]]:
    return _decoded(key, text, dict[str, dict[str, str]], "a JSON object of objects of text")


def _decoded(key: str, text: str, kind: type[T], expected: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, RecursionError, UnicodeError):
        raise ModelError(_message(key, text, expected)) from None


def _is_whole(value: Any, low: int, end: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and low <= value < end


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _is_plain_json(value: Any, depth: int) -> bool:
    if isinstance(value, Mapping):
        return depth > 0 and all(is_plain(key) and _is_plain_json(each, depth - 1) for key, each in value.items())
    if isinstance(value, list | tuple):
        return depth > 0 and all(_is_plain_json(each, depth - 1) for each in value)
    return value is None or isinstance(value, bool) or _is_number(value) or is_plain(value)


def _is_structure(value: Any) -> bool:
    """Whether `value` is what Variant.structure returns for some variant."""
    if not isinstance(value, str) or not value.isprintable():
        return False
    twin = _TWIN.fullmatch(value)
    try:
        return all(notation.parse(part) for part in (twin.groups() if twin else (value,)) if part is not None)
    except (NotationError, OverflowError):  # a number of hundreds of digits overflows
        return False


def _choice(choices: tuple[str, ...]) -> str:
    return f"{', '.join(choices[:-1])} or {choices[-1]}"


def _expect(key: str, value: Any, expected: str, valid: bool) -> None:
    if not valid:
        raise ModelError(_message(key, value, expected))


def _message(key: str, value: Any, expected: str) -> str:
    return f"metadata {key}: expected {expected}, got {shown(value)}: export the run again"
