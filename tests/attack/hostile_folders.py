"""A fuzz of folders: a file of runs, models or images is replaced, and the commands that read it are run.

    python tests/attack/hostile_folders.py --folders 100 --seed 0

Everything is imported once; each command runs in a fork of this process, which a time limit ends. Prints what went
wrong, one line each, and then the figures as JSON.
"""

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import socket
import stat
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SECONDS = 60
"""After so much wall time a command hangs: on a busy machine the slowest takes a third of this."""

MEMORY = 250 << 20
"""Bytes that a command may take, without the modules that are loaded once for all of them; an export takes 165 MB."""

STUDY = """\
data = "idx:idx"
draws = 2
pairs = 20
[[rows]]
variant = "w_net"
set = { epochs = 1 }
[[rows]]
variant = "mine"
set = { epochs = 1 }
[variants.mine]
net = "fc(392,1)"
"""


@dataclass(frozen=True, kw_only=True)
class Command:
    """A command line, the files that it reads, and those that it may write."""

    words: str
    reads: tuple[str, ...]  # beginnings of paths
    writes: tuple[str, ...] = ()


RUNS = ("runs/records.jsonl", "runs/SAVED/record.json")
LISTED = ("runs/.lock", "runs/studies", "runs/records.jsonl")
COMMANDS = (
    Command(words="runs --runs runs", reads=RUNS),
    Command(words="runs --long --json --runs runs", reads=RUNS),
    Command(words="runs compare w_net mine --runs runs", reads=RUNS),
    Command(words="runs merge runs --runs merged", reads=(*RUNS, "runs/studies"), writes=("merged",)),
    Command(words="runs merge more --runs runs", reads=("runs",), writes=("runs/records", "runs/.", "runs/studies")),
    Command(words="runs delete --row w_net --yes --runs runs", reads=(*RUNS, "runs/.lock"), writes=("runs/",)),
    Command(words="runs delete runs/SAVED --yes --runs runs", reads=("runs/SAVED", "runs/.lock"), writes=("runs/",)),
    Command(words="calibration w_net --runs runs", reads=RUNS),
    Command(words="verify runs --sample 1 --jobs 1", reads=RUNS),
    Command(words="report runs --json", reads=(*RUNS, "runs/studies", "runs/report"), writes=("runs/report",)),
    Command(words="report runs --markdown page.md", reads=("page.md",), writes=("page.md", ".pairnet")),
    Command(words="study s.toml --runs runs --no-report --jobs 1", reads=("s.toml", "idx", *LISTED), writes=("runs/",)),
    Command(
        words="export --run runs/SAVED --output new.onnx --data idx:idx",
        reads=("runs/SAVED", "idx"),
        writes=("new.onnx", ".pairnet"),
    ),
    Command(words="evaluate runs/SAVED --data idx:idx", reads=("runs/SAVED", "idx")),
    Command(words="predict model.onnx 7.png images.npy --csv", reads=("model.onnx", "7.png", "images.npy")),
    Command(words="predict model.onnx images.npz --split", reads=("model", "images.npz")),
    Command(words="export-repository model.onnx --output served", reads=("model.onnx",), writes=("served",)),
    Command(words="data info idx:idx", reads=("idx",)),
    Command(words="data info mnist --data-dir idx", reads=("idx",)),
    Command(words="variants --file own.toml", reads=("own.toml",)),
    Command(words="serve model.onnx --port 70000", reads=("model.onnx",)),
)


def make(root: Path) -> None:
    """A folder of runs with a saved network, a study and its report, an exported network in three files, and images."""
    import numpy as np
    from PIL import Image

    from pairnet.data.idx import write_idx

    os.chdir(root)
    rng = np.random.default_rng(0)
    Path("idx").mkdir()
    for part, count in (("train", 60), ("t10k", 60)):
        write_idx(f"idx/{part}-images-idx3-ubyte", rng.integers(0, 256, (count, 28, 28), dtype=np.uint8))
        write_idx(f"idx/{part}-labels-idx1-ubyte", (np.arange(count) % 10).astype(np.uint8))
    pixels = np.kron(np.eye(7, dtype=np.uint8) * 255, np.ones((8, 8), np.uint8))
    Image.fromarray(pixels).save("7.png")
    pairs = rng.integers(0, 256, (3, 2, 28, 28), dtype=np.uint8)
    np.save("images.npy", pairs[:1, 0])
    np.savez_compressed("images.npz", pairs)
    Path("own.toml").write_text('[variants.mine]\nnet = "fc(392,1)"\n')
    Path("s.toml").write_text(STUDY)
    Path("page.md").write_text("# Mine\n<!-- pairnet report: table s -->\n<!-- end -->\n")
    for words in (
        "train w_net --epochs 1 --pairs 20 --data idx:idx --runs runs",
        "study s.toml --runs runs --jobs 1 --no-report",
        "report runs",
        "train a_w_net --epochs 1 --pairs 20 --data idx:idx --runs more",
        "export --run runs/SAVED --output model.onnx --data idx:idx --split",
    ):
        status = command(words)
        assert status == 0, (words, status)


def command(words: str) -> int:
    from pairnet.cli import app
    from pairnet.cli.common import run_app

    saved = next((path.name for path in Path("runs").glob("w_net-*")), "")
    return run_app(app, words.replace("SAVED", saved).split())


def link(path: Path, target: str) -> None:
    path.unlink()
    path.symlink_to(target)


def pipe(path: Path, rng: random.Random) -> None:
    path.unlink()
    os.mkfifo(path)


def listening(path: Path, rng: random.Random) -> None:
    path.unlink()
    with socket.socket(socket.AF_UNIX) as one, contextlib.chdir(path.parent):
        one.bind(path.name)


def folder(path: Path, rng: random.Random) -> None:
    path.unlink()
    path.mkdir()


def sparse(path: Path, rng: random.Random) -> None:
    if rng.random() < 0.5:  # otherwise its content stays in front
        path.write_bytes(b"")
    os.truncate(path, 3 << 30)


def noise(path: Path, rng: random.Random) -> None:
    path.write_bytes(rng.randbytes(rng.choice((1, 7, 100, 5_000))))


def cut(path: Path, rng: random.Random) -> None:
    os.truncate(path, rng.randrange(max(1, path.stat().st_size)))


def flip(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(rng.choice((1, 1, 3))):
        if content:
            content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    path.write_bytes(content)


def large(path: Path, rng: random.Random) -> None:
    """Much of one sign: deep levels, a long line, many lines."""
    path.write_bytes(rng.choice((b"[", b'{"a":', b"0", b"\n", b"[[a]]\n", b'"x",', b"[0,0],")) * 3_000_000)


REPLACED: dict[str, Callable[[Path, random.Random], None]] = {
    "named pipe": pipe,
    "socket": listening,
    "/dev/zero": lambda path, rng: link(path, "/dev/zero"),
    "/dev/urandom": lambda path, rng: link(path, "/dev/urandom"),
    "/dev/full": lambda path, rng: link(path, "/dev/full"),
    "dangling link": lambda path, rng: link(path, "nowhere"),
    "loop": lambda path, rng: link(path, path.name),
    "link to its folder": lambda path, rng: link(path, "."),
    "folder": folder,
    "sparse": sparse,
    "random bytes": noise,
    "large": large,
    "truncated": cut,
    "bits flipped": flip,
    "empty": lambda path, rng: path.write_bytes(b"") and None,
}


def snapshot(root: Path) -> dict[str, object]:
    """What each path in a folder is: bytes of small files, sizes of others, targets of links."""
    found: dict[str, object] = {}
    for where, folders, files in os.walk(root):
        for name in (*folders, *files):
            path = Path(where, name)
            mode, size = path.lstat().st_mode, path.lstat().st_size
            kind: object = stat.S_IFMT(mode)
            if stat.S_ISREG(mode):
                kind = path.read_bytes() if size < 1 << 20 else size
            found[path.relative_to(root).as_posix()] = path.readlink() if path.is_symlink() else kind
    return found


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a command ended."""

    status: int | None  # None: it was still running
    errors: str
    seconds: float  # of CPU time
    waited: float  # seconds of wall time
    memory: int  # bytes, at most


def run(words: str, root: Path) -> Ended:
    """Runs a command line in a fork of this process."""
    errors, started = root.with_name("errors"), time.monotonic()
    child = os.fork()
    if child == 0:
        status = 99
        try:
            os.setsid()
            os.chdir(root)
            output = os.open(errors, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(os.open("/dev/null", os.O_RDWR), 0)
            os.dup2(os.open("/dev/null", os.O_RDWR), 1)
            os.dup2(output, 2)
            status = command(words)
            sys.stderr.flush()
        finally:
            os._exit(status)
    done = 0
    while not done and time.monotonic() < started + SECONDS:
        done, code, used = os.wait4(child, os.WNOHANG)
        time.sleep(0 if done else 0.002)
    hangs = not done
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    if hangs:
        _, code, used = os.wait4(child, 0)
    return Ended(
        status=None if hangs else os.waitstatus_to_exitcode(code),
        errors=errors.read_text(errors="replace"),
        seconds=used.ru_utime + used.ru_stime,
        waited=time.monotonic() - started,
        memory=used.ru_maxrss * 1024,
    )


def loaded() -> int:
    """Bytes of this process, which each command starts with."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def faults(each: Command, ended: Ended, before: dict[str, object], after: dict[str, object]) -> list[str]:
    """What a command did that it must not."""
    found = []
    if ended.status is None:
        found.append("hangs")
    elif ended.status not in (0, 1, 2):
        found.append(f"status {ended.status}")
    if "Traceback" in ended.errors or "bug in pairnet" in ended.errors:
        found.append(f"printed {ended.errors[-600:]!r}")
    if ended.status and sum(line.startswith("pairnet: ") for line in ended.errors.splitlines()) != 1:
        found.append(f"not one line: {ended.errors[-600:]!r}")
    if ended.memory > loaded() + MEMORY:
        found.append(f"{ended.memory >> 20} MB")
    changes = [path for path in {*before, *after} if before.get(path) != after.get(path)]
    allowed = each.writes if ended.status == 0 else ("runs/.lock",)
    changes = [path for path in changes if not path.startswith(allowed) and not _is_new_folder(path, each)]
    if changes:
        found.append(f"changed {sorted(changes)[:5]}")
    return found


def _is_new_folder(path: str, each: Command) -> bool:
    """Whether a path is a folder that a command makes before it looks into the others."""
    return any(path in (word, f"{word}/.lock") for word in each.writes)


def replaced_file(rng: random.Random, template: Path) -> tuple[str, list[Command]]:
    """A file of the folder at random, each kind as often, and the commands that read it."""
    saved = next(path.name for path in (template / "runs").glob("w_net-*"))
    files = [path.relative_to(template).as_posix() for path in template.rglob("*") if path.is_file()]
    prefix = rng.choice(sorted({each.replace("SAVED", saved) for one in COMMANDS for each in one.reads} - {"runs"}))
    file = rng.choice(sorted(name for name in files if name.startswith(prefix)))
    readers = [each for each in COMMANDS if file.startswith(tuple(one.replace("SAVED", saved) for one in each.reads))]
    return file, readers


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folders", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--commands", type=int, default=2, help="of those that read the file, at most")
    options = parser.parse_args()
    import_everything()
    rng, kinds, worst = random.Random(options.seed), Counter[str](), dict[str, tuple[float, str]]()
    failures, number, statuses = 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as place:
        template, root = Path(place, "template"), Path(place, "root")
        template.mkdir()
        if (child := os.fork()) == 0:
            make(template)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        template = template.rename(Path(place, "elsewhere"))  # so that no record names images that are there
        for at in range(options.folders):
            kind = rng.choice(sorted(REPLACED))
            file, readers = replaced_file(rng, template)
            for each in rng.sample(readers, min(options.commands, len(readers))):
                shutil.copytree(template, root)
                REPLACED[kind](root / file, rng)
                before = snapshot(root)
                ended = run(each.words, root)
                what = f"folder {at}: {file} as {kind}: pairnet {each.words}"
                for fault in faults(each, ended, before, snapshot(root)):
                    failures += 1
                    sys.stdout.write(f"{what}: {fault}\n")
                    sys.stdout.flush()
                for name, value in (
                    ("cpu", ended.seconds),
                    ("wall", ended.waited),
                    ("megabytes", ended.memory / 2**20),
                ):
                    worst[name] = max(worst.get(name, (0.0, "")), (round(value, 1), what))
                kinds[kind] += 1
                statuses[str(ended.status)] += 1
                number += 1
                shutil.rmtree(root)
    figures = {
        "folders": options.folders,
        "commands": number,
        "failures": failures,
        "megabytes of imports": loaded() >> 20,
        "worst": worst,
        "statuses": statuses,
        "kinds": kinds,
    }
    sys.stdout.write(json.dumps(figures, indent=1) + "\n")
    return min(failures, 1)


def import_everything() -> None:
    """Imports what the commands import, and starts no thread."""
    import importlib

    import pairnet

    os.environ["OMP_NUM_THREADS"] = "1"
    packages = ("cli", "records", "study", "reporting", "exporting", "serving", "data", "models", "artifact")
    for path in sorted(Path(pairnet.__file__).parent.rglob("*.py")):
        parts = path.relative_to(Path(pairnet.__file__).parent).with_suffix("").parts
        if parts[0] in packages and not parts[-1].startswith(("__", "ray")):
            importlib.import_module(".".join(("pairnet", *parts)))


if __name__ == "__main__":
    sys.exit(main())
