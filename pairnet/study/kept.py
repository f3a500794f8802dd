"""Study files kept in the folder of their runs (`runs/studies/`): a report finds the rows of a study there."""

import itertools
import json
import warnings
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

from pairnet.errors import ArgumentError, NotationError
from pairnet.models.toml_files import document_text
from pairnet.opening import create_file
from pairnet.study.files import read_study
from pairnet.study.plan import Chosen, Study
from pairnet.writing import make_folder

KEPT = "studies"
"""Folder of the study files in a folder of runs."""

MOST_FILES, KEPT_ROWS = 1_000, 20_000
"""Files of studies in one folder that are read, and rows of all of them: 10,000 take two seconds."""

_AS_RUN = "\n# Added by pairnet: what was chosen for rows that leave it open.\n"
"""Stands in kept files before their [[as_run]] tables."""


def keep_file(study: Study, runs: Path) -> bool:
    """Copies the file of a study into the folder of its runs, so that a report finds its rows there -> whether it did.

    What was chosen for it is added at the end, so that the copy says all of what was run. It has the name of the file,
    or NAME-DIGEST.toml if a study that measures something else has that name there. One that measures the same replaces
    the file that was kept before: its title or its number of draws has changed, or an earlier version kept it without
    what was chosen. ArgumentError if the file has [[as_run]] tables of its own.
    """
    if study.file is None:
        return False
    text = _text(study.file).partition(_AS_RUN)[0] + _as_run(study.chosen)
    same = {study.digest, replace(study, chosen=()).digest}
    names = [f"{study.name}-{study.digest}.toml", f"{study.name}.toml"]
    kept = next((runs / KEPT / name for name in names if _digest_of(runs / KEPT / name) in same), None)
    if kept is None:
        kept = next((path for name in names[::-1] if not (path := runs / KEPT / name).exists()), runs / KEPT / names[0])
    if kept.exists() and _text(kept) == text:
        return False
    make_folder(kept.parent, content="studies")
    new = kept.with_name(f".{kept.name}.new")
    with create_file(new) as file:
        file.write(text.encode())
    if _digest_of(new) != study.digest:
        new.unlink()
        raise ArgumentError(
            f"{study.file}: expected no [[as_run]], which pairnet adds to its copies, got one: remove it"
        )
    new.replace(kept)
    return True


def _text(path: Path) -> str:
    """The text of a study file, which `read_study` has read."""
    return document_text(path, content="a study")


def _as_run(chosen: Collection[Chosen]) -> str:
    """The [[as_run]] tables of a kept file."""
    tables = (
        "".join(f"{key} = {_toml(value)}\n" for key, value in asdict(each).items() if value is not None)
        for each in chosen
    )
    return _AS_RUN * bool(chosen) + "".join(f"[[as_run]]\n{table}" for table in tables)


def _toml(value: str | int) -> str:
    """A string or a number in TOML: as in JSON, but for the character that only TOML escapes."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _digest_of(path: Path) -> str:
    """What the study in a file measures; empty for a file that holds none."""
    try:
        return read_study(path).digest
    except (ArgumentError, NotationError):
        return ""


def kept_files(runs: Path) -> list[Study]:
    """The studies whose files are in a folder of runs, each once; a damaged one is skipped with a warning."""
    found: dict[tuple[str, str], Study] = {}
    rows = 0
    for number, path in enumerate(sorted(itertools.islice((runs / KEPT).glob("[!.]*"), MOST_FILES + 1))):
        if number == MOST_FILES or rows > KEPT_ROWS:
            most = f"{MOST_FILES:,} studies with {KEPT_ROWS:,} rows"
            warnings.warn(f"skipped {path} and what follows: expected at most {most}, got more", stacklevel=2)
            break
        try:
            study = read_study(path)
        except (ArgumentError, NotationError) as error:
            warnings.warn(f"skipped {error}", stacklevel=2)
        else:
            rows += len(study.rows)
            found.setdefault((study.name, study.digest), study)
    return list(found.values())


def kept_studies(runs: Path) -> list[Study]:
    """The same without earlier states of a study, to which rows were added since."""
    found = kept_files(runs)
    return [study for study in found if not any(_extends(other, study) for other in found)]


def _extends(one: Study, other: Study) -> bool:
    """Whether `one` is `other` with more rows."""
    return one.name == other.name and {*one.measures} > {*other.measures}
