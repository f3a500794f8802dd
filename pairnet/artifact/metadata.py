"""The metadata of an exported file: the meaning of each key, its type, its bounds, and its form as text.

A file may come from anybody, and its metadata is printed in terminals and reports. So text is plain (printable, without
control characters and without square brackets, which begin rich's markup), and numbers are finite and in range.
"""

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, get_args, get_type_hints

import msgspec
from msgspec import Meta

from pairnet.artifact.design import InputKind, Part, Precision
from pairnet.artifact.limits import (
    LARGEST_STD,
    LONGEST_NAME,
    LONGEST_STRUCTURE,
    LONGEST_VALUE,
    MOST_PAIRS,
    MOST_PARAMETERS,
    SMALLEST_STD,
)
from pairnet.artifact.structure import read_structure
from pairnet.data.appearance import LIGHT_ON_DARK, Polarity
from pairnet.data.pairs import Moments
from pairnet.errors import ModelError, NotationError
from pairnet.records.seeds import Seeds
from pairnet.wording import is_plain, shown

TRAINED_HERE = "pairnet"
"""Value of `origin` for a network that pairnet trained."""

FORMAT = "1"
"""Version of the list of keys."""

PRIVATE_SOURCE = "idx:FOLDER"
"""Value of `data_source` for images of the user's own: the path of their folder stays out of the file."""

Text = Annotated[
    str,
    Meta(
        max_length=LONGEST_NAME,
        title=f"plain text of at most {LONGEST_NAME} characters, without control characters and square brackets",
    ),
]
Source = Annotated[
    str,
    Meta(
        pattern=rf"\A({PRIVATE_SOURCE}|(?!idx:)[A-Za-z0-9_.:-]{{1,{LONGEST_NAME}}})\Z",
        title=f"the name of a data source, {PRIVATE_SOURCE} for a folder",
    ),
]
Structure = Annotated[str, Meta(pattern=r"\A[ -~]+\Z", max_length=LONGEST_STRUCTURE)]
Sha256 = Annotated[str, Meta(pattern=r"\A[0-9a-f]{64}\Z", title="64 hexadecimal digits")]
Parameters = Annotated[int, Meta(ge=0, le=MOST_PARAMETERS, title=f"a whole number from 0 to {MOST_PARAMETERS:,}")]
Count = Annotated[int, Meta(ge=1, le=MOST_PAIRS, title=f"a whole number from 1 to {MOST_PAIRS:,}")]
Mean = Annotated[float, Meta(ge=0, le=255, title="a number from 0 to 255")]
Deviation = Annotated[
    float, Meta(ge=SMALLEST_STD, le=LARGEST_STD, title=f"a number from {SMALLEST_STD:g} to {LARGEST_STD:g}")
]
Fraction = Annotated[float, Meta(ge=0, le=1, title="a number from 0 to 1")]
Setting = str | int | float | bool | None
Settings = dict[str, Setting | list[Setting] | dict[str, Setting]]
Versions = dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True)
class FileMetadata:
    """Metadata of one file: its keys, "input" for `input_kind`, each with its type, its bounds and its meaning.

    Raises ModelError, which names the key, for a value that no export writes.
    """

    pairnet: Annotated[Text, "version of this list of keys"] = FORMAT
    variant: Annotated[Text, "name in the table of variants"]
    structure: Annotated[Structure, "the whole network in the paper's notation"]
    parameters: Annotated[Parameters, "number of trainable values of the whole network"]
    part: Annotated[Part, "joint, encoder or head"]
    input_kind: Annotated[InputKind, "images or pairs"]
    precision: Annotated[Precision, "fp32, fp16 or int8"]
    data: Annotated[Text, "name of the data source"]
    data_source: Annotated[Source, "value of --data that loads the same images"]
    data_checksum: Annotated[Sha256, "SHA-256 of the data set"]
    pairs: Annotated[Count, "number of pairs drawn for training"]
    test_pairs: Annotated[Count, "number of pairs drawn for testing; as many as `pairs` in a file without this key"]
    seeds: Annotated[
        Seeds, "JSON: seeds of the training draw, the test draw, the initial weights and the order of the batches"
    ]
    mean: Annotated[Mean, "mean of the training pairs' pixels, in grey levels 0..255"]
    std: Annotated[Deviation, "standard deviation of the training pairs' pixels, in grey levels"]
    recipe: Annotated[Settings, "JSON: the settings of the training; empty if it was elsewhere"]
    polarity: Annotated[
        Polarity, "light on dark or dark on light, as the training images are; light on dark in a file without this key"
    ] = LIGHT_ON_DARK
    origin: Annotated[
        Text, "pairnet, or trained elsewhere, with its owner's word; pairnet in a file without this key"
    ] = TRAINED_HERE
    run: Annotated[Text, "fingerprint of the run: files with the same fingerprint belong together"]
    run_accuracy: Annotated[Fraction, "accuracy of the trained network on the recorded test draw, as a fraction"]
    test_accuracy: Annotated[
        Fraction, "accuracy of this file on the same draw when it was exported; of an encoder and its head together"
    ]
    versions: Annotated[
        Versions,
        "JSON: versions of Python and of packages, for training or evaluation, and for export (exported)",
    ]
    revision: Annotated[Text, "git revision of the code that exported"]
    run_revision: Annotated[Text, "git revision of the code that trained, or evaluated what was trained elsewhere"]
    weights_sha256: Annotated[
        Sha256, "SHA-256 over name, type, shape and bytes of each initializer, in the order of names"
    ]

    def __post_init__(self) -> None:
        for key, kind in keys().items():
            value = getattr(self, _field(key))
            try:
                msgspec.convert(value, kind)
                valid = _is_structure(value) if key == "structure" else _holds_plain_text(value)
            except (msgspec.ValidationError, RecursionError):
                valid = False
            if not valid:
                *constraints, meaning = kind.__metadata__
                expected = next((each.title for each in constraints if each.title), meaning)
                raise ModelError(f"metadata {key}: expected {expected}, got {shown(value)}: export the run again")

    @property
    def moments(self) -> Moments:
        """Mean and standard deviation that normalise the pixels."""
        return Moments(mean=self.mean, std=self.std)

    def to_text(self) -> dict[str, str]:
        """The values as a file stores them, by their keys: text as it is, anything else as JSON."""
        values = ((key, getattr(self, _field(key))) for key in keys())
        return {
            key: each if isinstance(each, str) else json.dumps(each, default=Seeds.identity) for key, each in values
        }


@cache
def keys() -> Mapping[str, Any]:
    """Every key that a file contains, in its order, with its type, bounds and, as the last part, its meaning."""
    hints = get_type_hints(FileMetadata, include_extras=True)
    return {"input" if field == "input_kind" else field: kind for field, kind in hints.items()}


def from_text(values: Mapping[str, str]) -> FileMetadata:
    """Reads the metadata of a file.  Other keys are ignored.

    Raises ModelError, which names the key, for a value that is missing or that no export writes.
    """
    if values.get("pairnet") != FORMAT:
        got = f"version {shown(values['pairnet'])}" if "pairnet" in values else "none"
        raise ModelError(
            f"expected pairnet's metadata, version {FORMAT}, got {got}: export the run with `pairnet export`"
        )
    values = {"polarity": LIGHT_ON_DARK, "origin": TRAINED_HERE, **values}  # keys that older files lack
    if "pairs" in values:
        values = {"test_pairs": values["pairs"], **values}
    if missing := [key for key in keys() if key not in values]:
        raise ModelError(
            f"expected all keys of pairnet's metadata, got none for {', '.join(missing)}: export the run again"
        )
    return FileMetadata(**{_field(key): _value(values[key], kind) for key, kind in keys().items()})


def _field(key: str) -> str:
    """The field of a key; a field called `input` would hide Python's function."""
    return "input_kind" if key == "input" else key


def _value(text: str, kind: Any) -> Any:
    """The value that a text holds; the text itself, which FileMetadata then refuses, if it holds no such value."""
    if (
        get_args(kind)[0] not in (str, Part, InputKind, Precision, Polarity)
        and len(text) <= LONGEST_VALUE
        and text == text.strip()
    ):
        with suppress(msgspec.MsgspecError, RecursionError, UnicodeError):
            return msgspec.json.decode(text, type=kind)
    return text


def _holds_plain_text(value: Any) -> bool:
    """Whether each text in a value is plain."""
    if isinstance(value, Mapping):
        return all(_holds_plain_text(each) for each in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return all(map(_holds_plain_text, value))
    return not isinstance(value, str) or is_plain(value)


def _is_structure(value: str) -> bool:
    """Whether `value` is what Variant.structure returns for some variant."""
    try:
        read_structure(value)
    except NotationError:
        return False
    return True
