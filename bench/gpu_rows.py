"""The throughput of every exported file on a GPU, device-resident: the figures of the suite's GPU rows without asv.

    python -m bench.gpu_rows --files FOLDER [--device cuda] [--batches 4096,16384] [--option KEY=VALUE] [--json FILE]

Prints pairs/s, the best of the batches, by provider and precision, and the arithmetic on CUDA as a fraction of what the
same device reaches in a matrix product (TF32 for fp32 files, ONNX Runtime's default). The row "null" computes nothing:
it is the most that the harness can measure.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Mapping
from pathlib import Path

from bench.common import NETWORKS, images
from bench.fixture import NULL
from bench.gpu import (
    LARGE,
    MAIN,
    SWEEPS,
    ResidentRun,
    arithmetic,
    best_pairs_per_second,
    fraction_of_matrix_product,
    matrix_product,
    warm_up,
    with_symmetric_padding,
)
from bench.turns import markdown, seconds_of
from pairnet.errors import one_line
from pairnet.serving.predictor import Predictor

SYMMETRIC = " (symmetric padding)"


def measure(
    files: Path,
    device: str,
    batches: tuple[int, ...],
    *,
    save: Path | None = None,
    options: Mapping[str, str] | None = None,
) -> dict[str, object]:
    """All figures by row and column, written to `save` after each of them.

    options: of the provider, for the throughput from the device's memory only.
    A figure that cannot be measured is a text with the reason.
    """
    providers = ["cuda", "tensorrt"] if device == "cuda" else ["cpu"]
    precisions = ["fp32", "fp16"]
    peaks = {precision: matrix_product(arithmetic(precision, device), device=device) for precision in precisions}
    rows: dict[str, dict[str, object]] = {}
    found: dict[str, object] = {
        "device": device,
        "batches": batches,
        "options": dict(options or {}),
        "matrix_product": peaks,
        "rows": rows,
    }
    for provider in providers:
        for name in NETWORKS:
            if provider == "tensorrt" and name not in MAIN:
                continue
            for precision in precisions:
                path = files / f"{name}-{precision}.onnx"
                if not path.exists():
                    continue
                row = rows.setdefault(name, {})
                rate = row[f"{provider} {precision}"] = _rate(path, provider, device, batches, options)
                if provider != "tensorrt" and name != NULL and isinstance(rate, float):
                    row[f"fraction {precision}"] = fraction_of_matrix_product(name, rate, peaks[precision])
                if provider == "cuda" and name == "final_model":
                    other = rows.setdefault(name + SYMMETRIC, {})
                    other[f"{provider} {precision}"] = _rate(
                        with_symmetric_padding(path), provider, device, batches, options
                    )
                if name in MAIN:
                    row[f"{provider} {precision}, one pair, µs"] = _microseconds(path, provider, device)
                if provider != "tensorrt" and precision == "fp32" and name in MAIN:
                    row[f"{provider} from the host"] = _from_host(path, provider, max(batches))
                if save:
                    save.write_text(json.dumps(found, indent=1) + "\n")
                sys.stderr.write(f"{name} {precision} on {provider}: {rate}\n")
    return found


def _rate(
    model: Path | bytes, provider: str, device: str, batches: tuple[int, ...], options: Mapping[str, str] | None
) -> float | str:
    """Pairs/s, or the reason why there is no figure."""
    try:
        return best_pairs_per_second(model, provider, device=device, batches=batches, options=options)
    except Exception as error:  # one row that fails must not hide the others
        return one_line(error)


def _microseconds(model: Path, provider: str, device: str) -> float | str:
    """Time of a call with one pair that is in the device's memory, or the reason why there is no figure."""
    try:
        return 1e6 / ResidentRun(model, provider, 1, device=device).pairs_per_second()
    except Exception as error:
        return one_line(error)


def _from_host(model: Path, provider: str, batch: int) -> float | str:
    """Pairs/s of the predictor with images in host memory, or the reason why there is no figure."""
    pairs = images(batch)
    try:
        with Predictor(model, provider=provider) as predictor:
            warm_up(lambda: predictor.probability(pairs))
            return batch / statistics.median(seconds_of(lambda: predictor.probability(pairs)) for _ in range(SWEEPS))
    except Exception as error:
        return one_line(error)


def table(found: dict[str, object]) -> str:
    """The figures as Markdown; reasons stand below it."""
    rows: dict[str, dict[str, object]] = found["rows"]  # type: ignore[assignment]
    columns = list(dict.fromkeys(column for row in rows.values() for column in row))
    kinds = ("fraction", "µs", "host")
    columns.sort(key=lambda column: next((-kinds.index(kind) for kind in kinds if kind in column), -len(kinds)))
    reasons = dict.fromkeys(value for row in rows.values() for value in row.values() if isinstance(value, str))
    cells = [(name, *(_cell(row.get(column), column) for column in columns)) for name, row in rows.items()]
    heads = [
        f"{column.removeprefix('fraction ')}, of a matrix product" if column.startswith("fraction") else column
        for column in columns
    ]
    heads = [head if "matrix" in head or "µs" in head else f"{head}, pairs/s" for head in heads]
    return "\n".join([markdown(("row", *heads), cells), *(f"\n–: {reason}" for reason in reasons)])


def _cell(value: object, column: str) -> str:
    if not isinstance(value, float):
        return "–" if isinstance(value, str) else ""
    return f"{100 * value:.2f} %" if column.startswith("fraction") else f"{value:,.0f}"


def main() -> int:
    """Measures all rows and prints the table; returns 1 if a figure is lacking, except those of TensorRT."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True, help="folder of exported files, NAME-PRECISION.onnx")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default cuda)")
    parser.add_argument("--batches", default=",".join(map(str, LARGE)), help="the best of these counts")
    parser.add_argument("--option", action="append", default=[], metavar="KEY=VALUE", help="of the provider")
    parser.add_argument("--json", type=Path, help="write the figures to this file, after each row")
    options = parser.parse_args()
    batches = tuple(int(text) for text in options.batches.split(","))
    if wrong := [text for text in options.option if "=" not in text]:
        parser.error(f"expected --option KEY=VALUE, got {wrong[0]}")
    chosen = dict(text.split("=", 1) for text in options.option)
    found = measure(options.files, options.device, batches, save=options.json, options=chosen)
    sys.stdout.write(table(found) + "\n")
    rows: dict[str, dict[str, object]] = found["rows"]  # type: ignore[assignment]
    cells = [(column, value) for row in rows.values() for column, value in row.items()]
    lacking = [column for column, value in cells if isinstance(value, str) and not column.startswith("tensorrt")]
    return int(not cells or bool(lacking))


if __name__ == "__main__":
    sys.exit(main())
