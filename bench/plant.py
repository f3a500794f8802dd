"""Checks that `asv continuous` notices a planted slowdown and a planted loss of accuracy: `python -m bench.plant`.

Works on a clone in a temporary folder and adds two commits: a sleep of 5 ms in the predictor, and dropout left on at
test time (with batch statistics in BN). Each is compared with the revision before it, with the suite's own fixture and
asv.conf.json, on one variant with one seed. Exits with status 1 if one of them goes unnoticed.
"""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
VARIANT = "final_model"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One planted fault: the `nth` occurrence of `old` in `file` is replaced by `new`."""

    name: str
    file: str
    old: str
    new: str
    nth: int
    benchmarks: str  # regular expression for asv's --bench: the benchmarks that must notice

    def applied(self, text: str) -> str:
        """`text` with the fault in it. Raises ValueError if the code has changed."""
        parts = text.split(self.old)
        if len(parts) <= self.nth:
            raise ValueError(f"expected {self.old!r} {self.nth} times in {self.file}, got fewer: update bench/plant.py")
        return self.old.join(parts[: self.nth]) + self.new + self.old.join(parts[self.nth :])


CHANGES = (
    Change(
        name="a sleep of 5 ms in Predictor.probability",
        file="pairnet/serving/predictor.py",
        old='        return self.outputs(pairs)["probability"]\n',
        new='        __import__("time").sleep(0.005)\n        return self.outputs(pairs)["probability"]\n',
        nth=1,
        benchmarks=rf"inference\.(Answer\.time_answer|Latency).*('{VARIANT}'\)|'{VARIANT}', 'fp32', (1|64)\))",
    ),
    Change(
        name="dropout left on at test time",
        file="pairnet/training/loop.py",
        old="    network.eval()\n    return concatenate_scores(",
        new="    network.train()\n    clear_masks(network)\n    return concatenate_scores(",
        nth=1,
        benchmarks=rf"quality\.Error\..*'{VARIANT}'",
    ),
)


def main() -> int:
    """Returns 0 if asv reports both as regressions, else 1."""
    seen = []
    with tempfile.TemporaryDirectory(prefix="pairnet-plant-") as folder:
        clone = Path(folder) / "pairnet"
        _call(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone)], ROOT)
        _call(["asv", "machine", "--yes"], clone)
        for change in CHANGES:
            path = clone / change.file
            path.write_text(change.applied(path.read_text()))
            names = ["-c", "user.name=plant", "-c", "user.email=plant@localhost"]
            _call(["git", *names, "commit", "--quiet", "--all", "--message", change.name], clone)
            sys.stdout.write(f"\n== {change.name}\n")
            sys.stdout.flush()
            command = ["asv", "continuous", "--factor", "1.2", "--bench", change.benchmarks, "HEAD~1", "HEAD"]
            seen.append(is_regression(_call(command, clone, check=False)))
    for change, noticed in zip(CHANGES, seen, strict=True):
        sys.stdout.write(f"{'noticed' if noticed else 'NOT NOTICED'}: {change.name}\n")
    return 0 if all(seen) else 1


def is_regression(output: str) -> bool:
    """Whether asv's table has a row that got worse and its verdict agrees; a killed or failed asv prints neither."""
    return "PERFORMANCE DECREASED" in output and any(line.startswith("| + ") for line in output.splitlines())


def _call(command: list[str], where: Path, *, check: bool = True) -> str:
    """Runs a command in `where` with a small fixture; prints its output and returns it."""
    variables = {"PAIRNET_BENCH_VARIANTS": VARIANT, "PAIRNET_BENCH_REPEATS": "1"}
    program = [sys.executable, "-m", *command] if command[0] == "asv" else command
    found = subprocess.run(
        program, cwd=where, env={**os.environ, **variables}, check=check, stdout=subprocess.PIPE, text=True
    )
    sys.stdout.write(found.stdout)
    return found.stdout


if __name__ == "__main__":
    sys.exit(main())
