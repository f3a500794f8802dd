"""`pairnet verify`: recorded runs, chosen at random, repeated and compared with their records."""

import secrets
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pairnet.cli.common import DataDir, Json, note_folders, with_finished_runs
from pairnet.cli.output import console, note, plain_table, print_json, print_line, printable, unbroken
from pairnet.cli.runs import AnyRow
from pairnet.errors import RecordError
from pairnet.wording import counted

if TYPE_CHECKING:
    from pairnet.records.record import RunRecord
    from pairnet.study.repetition import Repetition

SEEDS = 1_000_000
"""Number of seeds from which one is taken if none is given: short enough to be typed again."""


def verify(
    runs: Annotated[Path, typer.Argument(help="Folder of records and trained networks.")] = Path("runs"),
    sample: Annotated[int, typer.Option(min=1, help="Number of runs to repeat; all if there are fewer.")] = 3,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Seed of the choice.", show_default="another one each time")
    ] = None,
    row: AnyRow = None,
    data_dir: DataDir = None,
    jobs: Annotated[int | None, typer.Option(help="Number of runs at once.", show_default="one for each core")] = None,
    as_json: Json = False,
) -> None:
    """Repeat some recorded runs and compare the results.

    Takes runs at random from the records of a folder, trains them again and compares accuracies and answers. On the
    same kind of CPU, with the same versions of torch and numpy, they must be equal bit for bit. Elsewhere rounding
    differs, which changes a run as another seed would: there the accuracies must agree within 3 points, or more if
    fewer than 1,000 pairs are held out. The exit status is 1 if a run differs.

    Nothing is written. Runs that are not chosen are not checked: --sample chooses more of them.
    """
    from pairnet.study.repetition import choose_records, verify_runs

    known = _records(runs, row)
    seed = secrets.randbelow(SEEDS) if seed is None else seed
    chosen = choose_records(known, sample, seed=seed)
    some = f"{len(chosen)} of {counted(len(known), 'run')}"
    again = "" if len(chosen) == len(known) else f", chosen at random: --seed {seed} chooses the same"
    note(f"repeating {some}{again}")
    note_folders(record.run.images for record in chosen)
    results: list[Repetition] = []

    def report(result: "Repetition") -> None:
        results.append(result)
        note(f"[{len(results)}/{len(chosen)}] {_name(result)}: {_verdict(result)}")

    repetitions = verify_runs(chosen, data_dir=data_dir, workers=jobs, on_result=report)
    if as_json:
        entries = [_entry(result) for result in repetitions]
        print_json({"runs": str(runs), "records": len(known), "seed": seed, "repeated": entries})
    else:
        _print_table(repetitions)
        verdicts = Counter(_verdict(result) for result in repetitions)
        print_line(f"{some} repeated: {'; '.join(f'{count} {verdict}' for verdict, count in verdicts.items())}")
    for reasons in dict.fromkeys(result.unlike for result in repetitions if result.unlike):
        note(f"not compared bit for bit: {', '.join(reasons)}")
    differing = [result for result in repetitions if result.reason]
    for result in differing:
        note(f"pairnet: {_name(result)}: {result.reason}")
    if differing:
        raise typer.Exit(1)


def _records(runs: Path, row: str | None) -> "list[RunRecord]":
    """The records of the finished runs in a folder, of this row only.  RecordError if there are none."""
    from pairnet.records.collection import not_found
    from pairnet.records.settings import select

    known = list(with_finished_runs(runs, strict=True).records.values())
    selected = select(known, row=row)
    if row is not None and not selected:
        raise not_found(row, known, runs)
    trained = [record for record in selected if record.run.elsewhere is None]
    if others := len(selected) - len(trained):
        what = f"{counted(others, 'network')} trained elsewhere, which cannot be trained again"
        if not trained:
            raise RecordError(f"expected runs to repeat in {runs}, got {what}: `pairnet evaluate` measures them again")
        note(f"left out: {what}; `pairnet evaluate` measures them")
    return trained


def _print_table(repetitions: "Sequence[Repetition]") -> None:
    folded = any(result.recorded.run.fold is not None for result in repetitions)
    numbers = unbroken("draw", *(["fold"] if folded else []), "recorded", "repeated")
    names, least = 3 if folded else 2, ("recorded", "repeated")
    table = plain_table("row", *numbers, *unbroken("verdict", justify="left"), names=names, least=least)
    for result in repetitions:
        record, repeated = result.recorded, result.repeated
        run = record.run
        fold = "" if run.fold is None else f"{run.fold + 1}/{run.folds}"
        table.add_row(
            printable(run.name),
            run.repetition.removeprefix("draw "),
            *([fold] if folded else []),
            f"{record.accuracy:.4f}",
            "failed" if repeated is None else f"{repeated.accuracy:.4f}",
            _verdict(result),
        )
    console().print(table)


def _name(result: "Repetition") -> str:
    from pairnet.records.run import name_of

    return name_of(result.recorded.run)


def _verdict(result: "Repetition") -> str:
    texts = {
        "equal": "equal, bit for bit",
        "within": f"within {100 * result.tolerance:.0f} points",
        "differs": "DIFFERS",
    }
    return texts[result.verdict]


def _entry(result: "Repetition") -> dict[str, Any]:
    record, run, repeated = result.recorded, result.recorded.run, result.repeated
    return {
        "fingerprint": record.fingerprint,
        "row": run.name,
        "variant": run.variant.name,
        "data": run.images.name,
        "draw": run.seed,
        "fold": run.fold,
        "recorded": record.accuracy,
        "repeated": None if repeated is None else repeated.accuracy,
        "verdict": result.verdict,
        "tolerance": result.tolerance,
        "unlike": list(result.unlike),
        "reason": result.reason,
    }
