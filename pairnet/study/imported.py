"""Networks trained elsewhere: weights for a known structure, checked, evaluated, and recorded as what they are."""

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from pairnet.data.drawing import check_images, draw, draw_held_out
from pairnet.data.pairs import Moments, moments
from pairnet.data.sources import Dataset
from pairnet.errors import ArgumentError, one_line
from pairnet.models.networks import build
from pairnet.models.variants import Variant
from pairnet.opening import read_file
from pairnet.records.elsewhere import Elsewhere
from pairnet.records.folders import load_record, saved_runs
from pairnet.records.run import Run
from pairnet.study.environment import environment
from pairnet.study.execution import record_of
from pairnet.study.saved import SavedRun, TrainedRun, largest_file, weights_digest
from pairnet.training.loop import Trained, predict
from pairnet.wording import counted, shown
from pairnet.writing import make_folder, one_file

ENGINE = "import"
"""What the environment of such a record names: nothing was trained."""

NAMED = 3
"""Number of tensors that a message names."""


def import_weights(
    weights: Mapping[str, Tensor] | Path | str,
    run: Run,
    dataset: Dataset,
    *,
    pixels: Moments | None = None,
    origin: str = "",
) -> TrainedRun:
    """A network that was trained elsewhere, evaluated on the test draw of `run`; its record is marked as such.

    weights: the `state_dict()` of a network that `build(run.variant)` makes, or a safetensors file of it, in float32.
    The counters `num_batches_tracked`, which change no answer, may be missing. run: structure, images, numbers of pairs
    and draw; its recipe is not recorded. pixels: mean and standard deviation that normalised the images in training, in
    grey levels; by default those of the run's training pairs. origin: who or what trained it, on one line; networks of
    one origin are the draws of one row.

    `save` of the result writes it like any other network, and `export` takes both. ArgumentError for weights that do
    not fit the structure, are not finite or give answers that are not; DataError if `dataset` is not that of `run`.
    """
    start = time.perf_counter()
    check_images(run, dataset)
    if pixels is None:
        training, held_out = draw(run, dataset)
        scale = moments(training)
    else:
        held_out, scale = draw_held_out(run, dataset), pixels
    mean, std = (None, None) if pixels is None else (pixels.mean, pixels.std)
    marked = Elsewhere(weights="", origin=origin, mean=mean, std=std)  # refuses what it cannot record
    tensors = weights if isinstance(weights, Mapping) else read_weights(Path(weights), run.variant)
    network = build(run.variant)
    network.load_state_dict(_fitting(tensors, network.state_dict(), run.variant.name))
    digest = weights_digest(network.state_dict())
    run = replace(run, device="cpu", elsewhere=replace(marked, weights=digest))
    probability = predict(network.eval(), held_out, scale)
    if not probability.isfinite().all():
        unusable = int((~probability.isfinite()).sum())
        raise ArgumentError(
            f"{run.variant.name}: expected finite answers on its test pairs, got {unusable} of {len(probability)} that "
            "are not: its weights are too large"
        )
    trained = Trained(network=network, moments=scale, epochs=(), probability=probability)
    place = environment("cpu", engine=ENGINE)
    record = record_of(run, place, held_out, trained, time.perf_counter() - start)
    return TrainedRun(record=record, network=network)


def save_weights(network: nn.Module | Mapping[str, Tensor], path: Path | str, *, force: bool = False) -> None:
    """Writes the tensors of a network, or of its `state_dict()`, as the safetensors file that `import_weights` reads.

    Their layout in memory does not matter: networks of `build` keep kernels channels last, which safetensors refuses.
    ArgumentError if `path` exists, without `force`; FileNotFoundError if its folder is missing.
    """
    from safetensors.torch import save_file

    state = network if isinstance(network, Mapping) else network.state_dict()
    path = Path(path)
    with one_file(path, force=force, what="path") as new:
        contiguous = {
            name: each.detach().cpu().clone(memory_format=torch.contiguous_format) for name, each in state.items()
        }
        save_file(contiguous, new)


def read_weights(path: Path, variant: Variant) -> dict[str, Tensor]:
    """The tensors in a safetensors file, no larger than those of `variant` need.  ArgumentError if it is none."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = read_file(path, what=f"the weights of {variant.name}", largest=largest_file(variant), error=ArgumentError)
    try:
        return dict(load(content))
    except (SafetensorError, ValueError, RuntimeError, KeyError, TypeError, AssertionError) as error:
        raise ArgumentError(
            f"{path}: expected weights in the format of safetensors, got something else ({shown(one_line(error))}): "
            "write them with pairnet.save_weights(network, PATH)"
        ) from None


def import_and_save(
    path: Path, run: Run, dataset: Dataset, runs: Path, *, pixels: Moments | None = None, origin: str = ""
) -> SavedRun:
    """Evaluates the weights in a file and keeps them, with their record, in a folder of `runs`.

    ArgumentError, besides those of `import_weights`, for what would not be a draw of its row: another network of this
    origin for the same draw, or the same weights as another draw.
    """
    found = import_weights(path, run, dataset, pixels=pixels, origin=origin)
    run = found.record.run
    for folder, record in saved_runs(runs, run.variant.name):
        if record.fingerprint == run.fingerprint:
            return SavedRun(folder=folder, record=record, fresh=False)
        _check_row(run, record.run, folder)
    folder = runs / f"{run.variant.name}-{run.fingerprint[:8]}"
    make_folder(runs, content="trained networks")
    found.save(folder)
    return SavedRun(folder=folder, record=load_record(folder), fresh=True)


def _check_row(run: Run, other: Run, folder: Path) -> None:
    """ArgumentError if the networks of a row would not be one for each draw."""
    if run.elsewhere is None or other.elsewhere is None or run.setting != other.setting:
        return
    remedy = "choose another `origin`, or delete that one with `pairnet runs delete`"
    if run.draw == other.draw:
        raise ArgumentError(
            f"expected one network of this origin for {run.repetition}, got another one, {folder} being there: {remedy}"
        )
    if run.elsewhere.weights == other.elsewhere.weights:
        raise ArgumentError(
            f"expected another network for {run.repetition}, got that of {other.repetition}, {folder}, and a row has "
            f"a network for each draw: measure it on other draws with `pairnet evaluate --seed`, {remedy}"
        )


def _fitting(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """`given` with what may be missing.  ArgumentError unless names, types and shapes are those of `wanted`."""
    remedy = f"`pairnet variants --tensors {name}` lists them"
    counters = {key for key in wanted if key.endswith(".num_batches_tracked")}
    missing = [key for key in wanted if key not in given and key not in counters]
    unknown = [key for key in given if key not in wanted]
    if missing or unknown:
        lists = (("without", missing), ("with unknown", unknown))
        got = " and ".join(f"{what} {_first(keys)}" for what, keys in lists if keys)
        raise ArgumentError(f"expected the tensors of {name}, got weights {got}: {remedy}")
    for key, tensor in given.items():
        model = wanted[key]
        if not isinstance(tensor, Tensor) or tensor.layout != torch.strided:
            raise ArgumentError(f"{key}: expected a dense tensor, got {type(tensor).__name__}: give a state_dict()")
        if tensor.dtype != model.dtype or tensor.shape != model.shape:
            raise ArgumentError(
                f"{key}: expected {_kind(model)}, got {_kind(tensor)}: "
                + (remedy if tensor.shape != model.shape else "convert it, for example with network.float()")
            )
        if not bool(tensor.isfinite().all()):
            unusable = int((~tensor.isfinite()).sum())
            raise ArgumentError(f"{key}: expected finite values, got {counted(unusable, 'other')}: train it again")
        if key.endswith(".running_var") and bool((tensor < 0).any()):
            raise ArgumentError(f"{key}: expected variances of at least 0, got {float(tensor.min()):g}: correct them")
    return {key: given[key].detach().cpu() if key in given else model for key, model in wanted.items()}


def _first(keys: list[str]) -> str:
    more = f" and {len(keys) - NAMED} more" if len(keys) > NAMED else ""
    return f"{', '.join(shown(str(key))[1:-1] for key in keys[:NAMED])}{more}"


def _kind(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
