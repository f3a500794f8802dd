"""The groups of files that `make mutants` measures, and the tests that should notice a bug in each."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Package:
    """Patterns below the root: files that are mutated, and test files that run."""

    files: tuple[str, ...]
    tests: tuple[str, ...]


CORE = "core"
"""The only one in C++."""

PACKAGES = {
    "data": Package(
        files=("pairnet/data/*.py",),
        tests=("tests/data/test_*.py", "tests/attack/test_files.py"),
    ),
    CORE: Package(
        files=(
            "csrc/philox.h",
            *(f"csrc/{name}.cpp" for name in ("warp", "pairs", "batch", "moments", "glyphs")),
            "csrc/kernels_body.h",
        ),
        tests=(
            *(f"tests/data/test_{name}.py" for name in ("core*", "loader", "pairs", "drawing")),
            "tests/attack/test_core_calls.py",
        ),
    ),
    "training": Package(
        files=("pairnet/training/*.py",),
        tests=("tests/training/test_*.py", "tests/study/engines/test_stacked.py"),
    ),
    "records": Package(
        files=("pairnet/records/*.py", "pairnet/study/saved.py", "pairnet/study/kept.py"),
        tests=(
            "tests/records/test_*.py",
            "tests/study/test_*.py",
            "tests/cli/test_runs.py",
            "tests/attack/test_*records.py",
            "tests/attack/test_fo*.py",
            "tests/attack/test_studies_apart.py",
        ),
    ),
    "opening": Package(
        files=("pairnet/opening.py", "pairnet/host.py", "pairnet/writing.py"),
        tests=(
            *(f"tests/test_{name}.py" for name in ("opening", "host", "writing")),
            "tests/records/test_*.py",
            "tests/attack/test_fo*.py",
            "tests/attack/test_hostile_folders.py",
        ),
    ),
    "artifact": Package(
        files=("pairnet/artifact/*.py",),
        tests=("tests/artifact/test_*.py", "tests/serving/test_predictor.py", "tests/attack/test_exported_files.py"),
    ),
    "exporting": Package(
        files=("pairnet/exporting/*.py",),
        tests=("tests/exporting/test_*.py", "tests/cli/test_export.py"),
    ),
    "statistics": Package(
        files=("pairnet/reporting/**/*.py",),
        tests=(
            "tests/reporting/test_*.py",
            *(f"tests/cli/test_{name}.py" for name in ("report", "calibration", "narrow")),
        ),
    ),
    "pictures": Package(
        files=("pairnet/serving/pictures/*.py",),
        tests=("tests/serving/pictures/test_*.py", "tests/attack/test_files.py"),
    ),
    "server": Package(
        files=(
            *(
                f"pairnet/serving/server/{name}.py"
                for name in ("protocol", "rest_format", "content_encoding", "metrics", "batching", "statistics")
            ),
            *(f"pairnet/serving/{name}.py" for name in ("predictor", "model", "inputs")),
        ),
        tests=(
            "tests/serving/server/test_*.py",
            "tests/serving/test_predictor.py",
            "tests/serving/test_built_in.py",
            "tests/attack/test_requests.py",
        ),
    ),
    "bench": Package(
        files=tuple(
            f"bench/{name}.py"
            for name in ("common", "fixture", "inference", "quality", "size", "training", "data_path", "plain")
        ),
        tests=("tests/bench/test_*.py", "tests/cli/test_bench_report.py"),
    ),
}


def matching(root: Path, patterns: tuple[str, ...]) -> list[str]:
    """Files below `root` that match one of the patterns, each once, as relative paths."""
    return sorted({str(path.relative_to(root)) for pattern in patterns for path in root.glob(pattern)})
