"""The training loop: one recipe, one network, and the measurements made during a run.

The paper's recipe is `_train_epoch`. The following make it fast without changing its results (docs/performance.md):

- Both images go through a shared tower as one batch, and kernels are stored channels-last (networks.py).
- A pooling directly after a convolution is applied before the activation (networks.py).
- All parameters share one block of memory, so that a step of Adam is one call for all of them (optimiser.py).
- The metrics of an epoch are computed once, at its end, and held-out pairs are measured five times per run.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch, Moments, Pairs, moments, normalise
from pairnet.errors import ArgumentError
from pairnet.models.networks import JointNetwork, MaskedDropout, Scores, TwinNetwork, build
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.records.record import Epoch
from pairnet.records.run import MEASUREMENTS
from pairnet.training.device import resolve_device
from pairnet.training.metrics import (
    Metrics,
    check_finite,
    compute_metrics,
    concatenate_scores,
    detach_scores,
    make_epoch,
    total_loss,
)
from pairnet.training.optimiser import Optimiser

EVALUATION_BATCH = 100
"""Pairs evaluated at once; their activations fit into a core's cache."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained network, the moments that normalise its inputs, its history, and its answers on the held-out pairs."""

    network: JointNetwork | TwinNetwork
    moments: Moments
    epochs: tuple[Epoch, ...]
    probability: Tensor  # P(first <= second) of each held-out pair, float32 [n] on the CPU


def train_network(
    variant: Variant,
    pairs: Pairs,
    held_out: Pairs,
    *,
    recipe: Recipe,
    weight_seed: int,
    order_seed: int,
    mask_seed: int | None = None,
    device: str = "cpu",
    measurements: int = MEASUREMENTS,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> Trained:
    """Train a new network of `variant` on `pairs`, and measure it on `held_out` `measurements` times, last at the end.

    Both sets are normalised with the moments of `pairs`. Without `mask_seed`, dropout masks follow from `weight_seed`.
    On a CPU the result depends only on the arguments and on the CPU's instruction set (torch has different kernels for
    each, and they round differently). Torch is limited to one thread: sums over several threads round differently, and
    networks of this size gain nothing from more.
    `on_epoch` is called with the number of finished epochs and the metrics of the last one.

    Raises ArgumentError for an argument out of bounds, NotationError if the layers of `variant` do not fit,
    ProviderError if the device is not available, and TrainingError if the loss is no longer finite.
    """
    device = resolve_device(device)
    check_measurements(held_out, measurements)
    pixel_moments = moments(pairs)
    validation = to_device(normalise(held_out, pixel_moments), device)
    network = build(variant, seed=weight_seed).to(device)
    parameters = [(parameter, parameter.dim() > 1) for parameter in network.parameters()]
    optimiser = Optimiser(parameters, recipe, recipe.learning_rate)
    mask_stream = mask_generator(weight_seed if mask_seed is None else mask_seed)
    history: list[Epoch] = []
    with (
        single_thread(),
        PairLoader(
            pairs, pixel_moments, batch=recipe.batch, seed=order_seed, threads=1, warp=recipe.warp, device=device
        ) as loader,
    ):
        for number in range(1, recipe.epochs + 1):
            training_metrics = _train_epoch(network, loader, optimiser, recipe, mask_stream)
            if recipe.recalibrate and number == recipe.epochs:
                recalibrate(network, to_device(normalise(pairs, pixel_moments), device))
            validation_metrics = None
            if is_measured(number, recipe.epochs, measurements):
                scores = score(network, validation.pair)
                (validation_metrics,) = compute_metrics([(scores, validation.target, validation.digits)])
            history.append(make_epoch(training_metrics, validation_metrics))
            check_finite(variant, number, history[-1])
            if on_epoch is not None:
                on_epoch(number, history[-1])
    clear_masks(network)
    return Trained(
        network=network,
        moments=pixel_moments,
        epochs=tuple(history),
        probability=scores.main.sigmoid().cpu(),
    )


def _train_epoch(
    network: JointNetwork | TwinNetwork,
    batches: PairLoader,
    optimiser: Optimiser,
    recipe: Recipe,
    mask_stream: torch.Generator,
) -> Metrics:
    """One pass over the training pairs: loss_ratio * BCE + CE + CE, and a step of the optimiser for each batch."""
    network.train()
    progress = batches.epoch / recipe.epochs
    all_scores, all_targets, all_digits = [], [], []
    for number, (pair, target, digits) in enumerate(batches):
        optimiser.learning_rate = recipe.learning_rate_at(progress + (number + 0.5) / len(batches) / recipe.epochs)
        draw_masks(network, len(pair), mask_stream)
        scores: Scores = network(pair)
        loss = total_loss(scores, target, digits, recipe.loss_ratio)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        all_scores.append(detach_scores(scores))
        all_targets.append(target)
        all_digits.append(digits)
    return compute_metrics([(concatenate_scores(all_scores), torch.cat(all_targets), torch.cat(all_digits))])[0]


# Dropout masks


def mask_generator(seed: int) -> torch.Generator:
    """The generator of a run's dropout masks: for the same seed another stream than that of the weights."""
    return torch.Generator().manual_seed((seed + 0x6D61736B) % 2**63)


def draw_masks(network: nn.Module, pairs: int, generator: torch.Generator) -> None:
    """Give each dropout layer of `network` its mask for one step, drawn on the CPU so that all devices get the same."""
    for module in network.modules():
        if isinstance(module, MaskedDropout):
            module.mask = module.draw(2 * pairs, generator).to(next(network.parameters()).device)


def clear_masks(network: nn.Module) -> None:
    """Remove the masks: dropout layers of `network` draw from torch's global generator again."""
    for module in network.modules():
        if isinstance(module, MaskedDropout):
            module.mask = None


# Evaluation


@torch.no_grad()
def recalibrate(network: JointNetwork | TwinNetwork, batch: Batch) -> None:
    """Compute the running mean and variance of each BN layer again, over a whole normalised set in one batch.

    The statistics from training average over the last steps, over warped images, and over weights that still changed.
    The input of each BN layer is made contiguous: torch sums channels-last images in a single float32, and the
    relative error of that is about 0.001 at this size.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean, here over one batch
        norm.train()  # all other layers stay in evaluation mode
    hooks = [norm.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous()) for norm in norms]
    network(batch.pair)
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.inference_mode()
def score(network: JointNetwork | TwinNetwork, pair: Tensor) -> Scores:
    """Scores of normalised pairs [n,2,14,14] without dropout, on the same device."""
    network.eval()
    return concatenate_scores([network(part) for part in torch.split(pair, EVALUATION_BATCH)])


def predict(network: JointNetwork | TwinNetwork, pairs: Pairs, with_moments: Moments) -> Tensor:
    """P(first <= second) of each pair without dropout: float32 [n] on the CPU."""
    batch = to_device(normalise(pairs, with_moments), str(next(network.parameters()).device))
    with single_thread():
        return score(network, batch.pair).main.sigmoid().cpu()


def is_measured(number: int, epochs: int, measurements: int) -> bool:
    """Whether the held-out pairs are measured after epoch `number` (1 to `epochs`).

    The measurements are evenly spaced, and the last one follows the last epoch.
    """
    return number * measurements // epochs > (number - 1) * measurements // epochs


def check_measurements(held_out: Pairs, measurements: int) -> None:
    """Raise ArgumentError if there is nothing to measure, or no measurement."""
    if len(held_out) < 1:
        raise ArgumentError("expected at least 1 pair in `held_out`, got 0: hold out pairs to measure the network on")
    if measurements < 1:
        raise ArgumentError(f"expected `measurements` of at least 1, got {measurements}: the last epoch is measured")


# Devices and threads


@contextmanager
def single_thread() -> Iterator[None]:
    """Limit torch to one thread in this process, and restore the previous number at the end."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def to_device(batch: Batch, device: str) -> Batch:
    """NumPy arrays -> tensors on `device`."""
    return Batch(*(torch.from_numpy(part).to(device) for part in batch))
