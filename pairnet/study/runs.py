"""A run: which pairs, which net, which seeds; carried out, recorded, and kept in a folder with its weights."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from pairnet.data.pairs import Moments, Pairs, accuracy, draw_pairs, folds
from pairnet.data.sources import Dataset
from pairnet.errors import RecordError
from pairnet.models.networks import JointNetwork, TwinNetwork, build
from pairnet.models.notation import Dropout, show
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant, count_parameters, find_variant
from pairnet.study import records
from pairnet.study.records import Environment, RunRecord
from pairnet.training.calibration import reliability
from pairnet.training.history import Epoch
from pairnet.training.loop import Trained, predict, train_network

WEIGHTS = "weights.safetensors"
RECORD = "record.json"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What one run is, apart from the data it draws from.

    With `fold` None it trains on the training draw and is measured on the test draw; else it trains on the other folds
    of the training draw and is measured on that one, and the test draw stays untouched.
    """

    row: str
    variant: Variant
    recipe: Recipe
    pairs: int = 1000
    seed: int = 0  # of the draw, the initial weights and the order of the batches
    fold: int | None = None
    folds: int = 4
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not 0 <= self.seed < 2**62:
            raise ValueError(f"--seed lies in 0..2**62-1, not {self.seed}")

    @property
    def seeds(self) -> dict[str, int]:
        """All that follow from `seed`; each row of a table gets the same ones, so that rows compare draw by draw."""
        return {"train_draw": 2 * self.seed, "test_draw": 2 * self.seed + 1, "weights": self.seed, "order": self.seed}


def fingerprint(run: Run, dataset: Dataset) -> str:
    """24 hexadecimal digits over all that is chosen for a run: two runs with one fingerprint are one run.

    What it runs on and with (hardware, versions, revision) is not chosen but recorded.
    """
    identity = {
        "schema": records.SCHEMA,
        "row": run.row,
        "variant": run.variant.name,
        "structure": run.variant.structure,
        "recipe": run.recipe.identity(),
        "pairs": run.pairs,
        "seeds": run.seeds,
        "fold": None if run.fold is None else [run.fold, run.folds],
        "data": dataset.checksum,
        "device": run.device,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:24]


def check(run: Run, dataset: Dataset) -> None:
    """ValueError where `dataset` is too small for the pairs that `run` draws from it."""
    most = min(len(dataset.train), len(dataset.test)) // 2
    if run.pairs > most:
        raise ValueError(
            f"{run.pairs} pairs need {2 * run.pairs} images for training and as many for testing, {dataset.name} has "
            f"{len(dataset.train)} and {len(dataset.test)}: choose --pairs {most} or less"
        )


def draw(run: Run, dataset: Dataset) -> tuple[Pairs, Pairs]:
    """The pairs to train on and the pairs held out.  ValueError where the set is too small for `run.pairs`."""
    check(run, dataset)
    training = draw_pairs(dataset.train, count=run.pairs, seed=run.seeds["train_draw"])
    if run.fold is None:
        return training, draw_test(dataset, pairs=run.pairs, seed=run.seeds["test_draw"])
    rows, held_out = folds(run.pairs, run.folds, run.seeds["train_draw"])[run.fold]
    return training.subset(rows), training.subset(held_out)


def draw_test(dataset: Dataset, *, pairs: int, seed: int) -> Pairs:
    """A draw of test pairs, as a record names it."""
    return draw_pairs(dataset.test, count=pairs, seed=seed)


def with_dropout(variant: Variant, probability: float) -> Variant:
    """`variant` with each D(...) of its tower set to `probability`.  ValueError where there is none."""
    layers = variant.tower_layers
    if not any(isinstance(layer, Dropout) for layer in layers):
        raise ValueError(f"{variant.name} has no dropout to set")
    changed = tuple(Dropout(probability) if isinstance(layer, Dropout) else layer for layer in layers)
    return replace(variant, tower=show(changed))


def carry_out(
    run: Run,
    dataset_facts: dict[str, Any],
    environment: Environment,
    fingerprint: str,
    pairs: Pairs,
    held_out: Pairs,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> tuple[Trained, RunRecord]:
    """Trains, and makes the record.  What `train_network` raises passes through."""
    began = time.perf_counter()
    trained = train_network(
        run.variant,
        pairs,
        held_out,
        recipe=run.recipe,
        weight_seed=run.seeds["weights"],
        order_seed=run.seeds["order"],
        device=run.device,
        on_epoch=on_epoch,
    )
    seconds = time.perf_counter() - began
    return trained, record_of(run, dataset_facts, environment, fingerprint, held_out, trained, seconds)


def record_of(
    run: Run,
    dataset_facts: dict[str, Any],
    environment: Environment,
    fingerprint: str,
    held_out: Pairs,
    trained: Trained,
    seconds: float,
) -> RunRecord:
    """What is kept of a run that took `seconds`."""
    return RunRecord(
        fingerprint=fingerprint,
        row=run.row,
        variant=run.variant.name,
        structure=run.variant.structure,
        parameters=count_parameters(run.variant),
        recipe=run.recipe.to_dict(),
        data=dataset_facts,
        pairs=run.pairs,
        seeds=run.seeds,
        fold=run.fold,
        folds=run.folds,
        mean=trained.moments.mean,
        std=trained.moments.std,
        epochs=trained.epochs,
        accuracy=accuracy(trained.probability.numpy(), held_out.targets),
        seconds=seconds,
        environment=environment,
        calibration=reliability(trained.probability.numpy(), held_out.targets),
        note=run.variant.note,
    )


def facts(dataset: Dataset) -> dict[str, Any]:
    """What a record says of its data."""
    return {
        "name": dataset.name,
        "source": dataset.source,
        "origin": dataset.origin,
        "checksum": dataset.checksum,
        "classes": dataset.classes,
    }


@dataclass(frozen=True, kw_only=True)
class Saved:
    """A trained net in a folder of its own; not `fresh` where it had been there before."""

    folder: Path
    record: RunRecord
    fresh: bool


def train_and_save(
    run: Run,
    dataset: Dataset,
    out: Path,
    *,
    force: bool = False,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> Saved:
    """Trains one net and keeps it in a folder of `out`; with `force`, also where this very run is there already."""
    print_ = fingerprint(run, dataset)
    folder = out / f"{run.variant.name}-{print_[:8]}"
    if folder.exists() and not force:
        return Saved(folder=folder, record=load_record(folder), fresh=False)
    check(run, dataset)
    out.mkdir(parents=True, exist_ok=True)
    tempfile.TemporaryFile(dir=out).close()  # what cannot be kept is not trained
    place = records.environment(run.device)
    trained, record = carry_out(run, facts(dataset), place, print_, *draw(run, dataset), on_epoch)
    save(folder, trained, record)
    return Saved(folder=folder, record=record, fresh=True)


def save(folder: Path, trained: Trained, record: RunRecord) -> None:
    """Writes weights and record into `folder`, which appears whole, in the place of one that was there."""
    from safetensors.torch import save_file

    folder.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        weights = {name: value.contiguous().cpu() for name, value in trained.network.state_dict().items()}
        save_file(weights, building / WEIGHTS, metadata={"fingerprint": record.fingerprint})
        (building / RECORD).write_text(json.dumps(asdict(record), indent=1) + "\n")
        building.chmod(0o755)
        if folder.exists():
            shutil.rmtree(folder)
        building.rename(folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise


def load_record(folder: Path) -> RunRecord:
    """The record of a saved run.  RecordError where `folder` is none."""
    path = folder / RECORD
    if not path.is_file() or not (folder / WEIGHTS).is_file():
        raise RecordError(f"{folder} is no saved run: expected {RECORD} and {WEIGHTS} in it; `pairnet train` makes one")
    try:
        return RunRecord.from_json(path.read_text())
    except RecordError as error:
        raise RecordError(f"{path}: {error}") from None


def load_net(folder: Path) -> tuple[RunRecord, JointNetwork | TwinNetwork]:
    """A saved run's record and its trained net, on the CPU.  RecordError where they do not belong together."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    record = load_record(folder)
    variant = find_variant(record.variant)
    if variant.structure != record.structure:
        raise RecordError(
            f"{folder} was trained as {record.variant} = {record.structure}; the table now has {variant.structure}"
        )
    net = build(variant)
    try:
        net.load_state_dict(load_file(folder / WEIGHTS))
    except (SafetensorError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise RecordError(f"{folder / WEIGHTS} does not hold the weights of {record.variant}: {reason}") from None
    return record, net.eval()


def newest(out: Path, variant: str, *, checksum: str | None = None) -> Path | None:
    """The folder of the saved run of `variant` in `out` that was finished last; None where there is none.

    `checksum` leaves only those that were trained on a certain data set.
    """
    folders = [path.parent for path in out.glob(f"*/{RECORD}") if not path.parent.name.startswith(".")]
    records = {folder: load_record(folder) for folder in folders}
    trained = [
        folder
        for folder, record in records.items()
        if record.variant == variant and checksum in (None, record.data["checksum"])
    ]
    return max(trained, key=lambda folder: (folder / RECORD).stat().st_mtime, default=None)


def evaluate_saved(folder: Path, dataset: Dataset, *, any_images: bool = False) -> float:
    """Accuracy of a saved net on its recorded test draw.

    RecordError where `dataset` is not what it was recorded on, unless `any_images` is wanted.
    """
    record, net = load_net(folder)
    if dataset.checksum != record.data["checksum"] and not any_images:
        raise RecordError(
            f"{folder} was tested on {record.data['origin']}, sha256 {record.data['checksum'][:12]}; these images have "
            f"{dataset.checksum[:12]}: name the same ones with --data-dir, or others with --data"
        )
    pairs = draw_test(dataset, pairs=record.pairs, seed=record.seeds["test_draw"])
    probability = predict(net, pairs, Moments(mean=record.mean, std=record.std)).numpy()
    return accuracy(probability, pairs.targets)
