"""Packs the records of a folder into a small one that a repository can hold. No torch."""

import json
from dataclasses import dataclass
from pathlib import Path

from pairnet.errors import RecordError
from pairnet.models.toml_files import document_text
from pairnet.records.packed import PACKED, pack_lines
from pairnet.study.kept import KEPT, kept_files
from pairnet.study.merging import runs_in
from pairnet.writing import folder_of_files

CONTENT = "packed records"
"""What the mark of such a folder says."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What was packed, in numbers."""

    runs: int
    failures: int
    studies: int
    size: int  # bytes of the packed file


def pack(runs: Path, into: Path) -> Packed:
    """Writes the records in `runs` into the folder `into`, compressed, with the study files that were kept with them.

    Every command reads `into` as it reads `runs`, and none writes to it. Each run is there once, finished or failed; of
    saved networks only their records. Packed records are for others, so the name of the machine and the folder that
    MNIST was read from are left out. What an earlier call wrote into `into` is replaced.

    RecordError if `runs` holds no run or an invalid line, ArgumentError if `into` holds something else.
    """
    entries, failures, _ = runs_in(runs)
    if not entries and not failures:
        raise RecordError(f"expected a folder with runs, got {runs}, which has none: name another one with `runs`")
    content = pack_lines(map(_for_others, [*(entry.text for entry in entries), *failures.values()]))
    studies = kept_files(runs)
    with folder_of_files(into, content=CONTENT) as folder:
        (folder / PACKED).write_bytes(content)
        for study in studies:
            if study.file is not None:
                (folder / KEPT).mkdir(exist_ok=True)
                text = document_text(study.file, content="a study")
                (folder / KEPT / study.file.name).write_text(text, encoding="utf-8")
    return Packed(runs=len(entries), failures=len(failures), studies=len(studies), size=len(content))


def _for_others(line: bytes) -> bytes:
    """A line, which was read as a record, without the name of its machine and the folder of its images."""
    record = json.loads(line)
    if "node" in record["environment"]:
        record["environment"]["node"] = ""
    for images in (record.get("data"), (record.get("run") or {}).get("images")):  # up to schema 2, and today
        if images is not None:
            images["origin"] = images["origin"].partition(" from ")[0]
    return json.dumps(record, allow_nan=False).encode()
