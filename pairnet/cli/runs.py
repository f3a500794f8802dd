"""`pairnet runs`: the records in a folder."""

from pathlib import Path

from pairnet.cli.common import Json, Runs
from pairnet.cli.output import console, print_json, printable
from pairnet.errors import RecordError


def runs(runs: Runs = Path("runs"), as_json: Json = False) -> None:
    """List the finished runs in a folder.

    These are the runs of studies, and those saved with their networks.
    """
    from pairnet.study.records import RunRecord, read_record
    from pairnet.study.store import read_records

    if not runs.is_dir():
        raise RecordError(
            f"expected `runs` to be a folder, got {runs}: `pairnet train` and `pairnet reproduce` make it"
        )
    records = read_records(runs)
    for path in sorted(runs.glob("[!.]*/record.json")):
        try:
            record = read_record(path.read_bytes())
        except RecordError as error:
            raise RecordError(f"{path}: {error}") from None
        if isinstance(record, RunRecord) and record.fingerprint not in {each.fingerprint for each in records}:
            records.append(record)
    rows = [
        {
            "row": record.label,
            "variant": record.variant.name,
            "data": record.data.name,
            "pairs": record.pairs,
            "test_pairs": record.test_pairs,
            "epochs": len(record.epochs),
            "draw": record.seeds.weights,
            "fold": record.fold,
            "accuracy": record.accuracy,
        }
        for record in records
    ]
    if as_json:
        print_json(rows)
        return
    from rich.table import Table

    table = Table("row", "variant", "data", title=f"{len(rows):,} runs in {printable(runs)}", title_justify="left")
    for heading in ("pairs", "epochs", "draw", "fold", "accuracy"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in rows:
        names = (printable(row[key]) for key in ("row", "variant", "data"))
        numbers = ("" if row[key] is None else str(row[key]) for key in ("pairs", "epochs", "draw", "fold"))
        table.add_row(*names, *numbers, f"{row['accuracy']:.4f}")
    console().print(table)
