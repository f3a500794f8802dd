"""A copy of the tree in a folder of its own, in which files are mutated and tests run."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from importlib.util import cache_from_source
from pathlib import Path

BUILT = ("pairnet/_core.*.so", "pairnet/serving/*.onnx")


def files_of(root: Path) -> list[str]:
    """Files that git knows or would add, and those that are built inside the package."""
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True, text=True, check=True,
    ).stdout.split("\0")  # fmt: skip
    built = (str(path.relative_to(root)) for pattern in BUILT for path in root.glob(pattern))
    return sorted({name for name in (*listed, *built) if name and (root / name).is_file()})


def digest(root: Path) -> str:
    """Digest of what a measurement depends on: code and tests, not the pages and not this tool."""
    total = sha256()
    for name in files_of(root):
        if name.startswith(("docs/", "tests/mutation/")):
            continue
        total.update(name.encode() + b"\0" + sha256((root / name).read_bytes()).digest())
    return total.hexdigest()


def make(root: Path, copy: Path) -> None:
    """Copies the tree, and adds what each Python process does first."""
    for name in files_of(root):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / name, copy / name)
    shutil.copy(Path(__file__).with_name("process.py"), copy / "sitecustomize.py")


def changed(root: Path, copy: Path) -> list[str]:
    """Files of the copy that are not those of the root: a mutant of code that writes files can damage it."""
    return [name for name in files_of(root) if not name.endswith(".so") and not _same(root / name, copy / name)]


def _same(original: Path, other: Path) -> bool:
    if not other.is_file():
        return False
    one, two = original.stat(), other.stat()
    return one.st_size == two.st_size and (
        one.st_mtime_ns == two.st_mtime_ns or original.read_bytes() == other.read_bytes()
    )


@contextmanager
def replaced(root: Path, copy: Path, texts: dict[str, str]) -> Iterator[None]:
    """Other texts for some files of the copy. No compiled file of another text is taken for theirs."""
    try:
        for name, text in texts.items():
            (copy / name).write_text(text)
            Path(cache_from_source(str(copy / name))).unlink(missing_ok=True)
        yield
    finally:
        for name in texts:
            shutil.copy2(root / name, copy / name)
            Path(cache_from_source(str(copy / name))).unlink(missing_ok=True)
