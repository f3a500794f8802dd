"""Failed runs for tests of everything that counts them."""

from record_examples import record

from pairnet.records.record import FailedRun


def failed(like, *, kind="diverged", epoch=2, error=None):
    """The failure of a run that `like`, its record, would be of."""
    words = error or {
        "diverged": f"{like.run.variant.name}: expected a finite loss, got nan in epoch {epoch}: lower the rate",
        "memory": f"{like.run.variant.name}: the memory of cpu is too small: use a smaller network or batch",
    }.get(kind, "it broke")
    return FailedRun(
        fingerprint=like.fingerprint,
        run=like.run,
        label=like.run.name,
        error=words,
        kind=kind,
        epoch=epoch if kind == "diverged" else None,
        environment=record().environment,
    )
