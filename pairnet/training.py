"""One recipe, one net: training by the paper's rules, and what is measured on the way.

The paper's recipe is `_train_epoch`; all else here is bookkeeping. What makes it quick without changing what it
computes: both images go through a shared tower as one batch (nets.py), kernels lie channels-last (nets.py), Adam is
fused, and no number leaves its device before the epoch has ended.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pairnet.loader import PairLoader
from pairnet.nets import JointNet, Scores, TwinNet, build
from pairnet.pairs import Batch, Moments, Pairs, moments, normalise
from pairnet.recipes import Recipe
from pairnet.records import Epoch
from pairnet.variants import Variant

EVALUATION_BATCH = 100
"""Pairs that are evaluated at once; their activations stay in a core's cache."""


class TrainingError(RuntimeError):
    """A run that cannot go on."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A net, the moments its inputs are normalised with, and its history."""

    net: JointNet | TwinNet
    moments: Moments
    epochs: tuple[Epoch, ...]


@dataclass(frozen=True, kw_only=True)
class Losses:
    """Sums over pairs, kept on the device; `auxiliary` and `right_digits` stay 0 where no digits are classified."""

    main: Tensor
    auxiliary: Tensor
    right: Tensor
    right_digits: Tensor


def main_loss(scores: Scores, target: Tensor) -> Tensor:
    """Binary cross-entropy of the main score, mean over the batch.  Paper, section III."""
    return functional.binary_cross_entropy_with_logits(scores.main, target)


def auxiliary_loss(scores: Scores, digits: Tensor) -> Tensor | None:
    """Cross-entropy of the first digit plus that of the second, each a mean over the batch.  Paper, section VI.

    digits [N,2].  None for a net that classifies no digits.
    """
    if scores.digits is None:
        return None
    return 2 * functional.cross_entropy(scores.digits.flatten(0, 1), digits.flatten())


def train(
    variant: Variant,
    pairs: Pairs,
    held_out: Pairs,
    *,
    recipe: Recipe,
    weight_seed: int,
    order_seed: int,
    device: str = "cpu",
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> Trained:
    """Trains a fresh net of `variant` on `pairs` and measures it on `held_out` after each epoch.

    Both sets are normalised with the moments of `pairs`. On a CPU the result is a function of the arguments alone:
    torch is held to one thread, since sums of several round differently, and nets this small gain nothing from more.
    `on_epoch` is called with the number of epochs done and the last one's figures. TrainingError when the loss stops
    being finite.
    """
    found = moments(pairs)
    validation = to_device(normalise(held_out, found), device)
    net = build(variant, seed=weight_seed).to(device)
    optimiser = _optimiser(net, recipe)
    history: list[Epoch] = []
    devices = [device] if torch.device(device).type == "cuda" else []
    with (
        single_thread(),
        torch.random.fork_rng(devices=devices),
        PairLoader(
            pairs, found, batch=recipe.batch, seed=order_seed, threads=1, warp=recipe.warp, device=device
        ) as loader,
    ):
        torch.manual_seed(weight_seed)  # dropout's
        for number in range(1, recipe.epochs + 1):
            trained = _train_epoch(net, loader, optimiser, recipe)
            if recipe.recalibrate and number == recipe.epochs:
                recalibrate(net, to_device(normalise(pairs, found), device))
            measured = evaluate(net, validation)
            history.append(_epoch(net, trained, len(pairs), measured, len(held_out)))
            if not all(math.isfinite(value) for value in asdict(history[-1]).values() if value is not None):
                raise TrainingError(
                    f"{variant.name}: the loss is {history[-1].train_loss} in epoch {number}; lower the learning rate"
                )
            if on_epoch is not None:
                on_epoch(number, history[-1])
    return Trained(net=net, moments=found, epochs=tuple(history))


def _train_epoch(
    net: JointNet | TwinNet, batches: PairLoader, optimiser: torch.optim.Optimizer, recipe: Recipe
) -> Losses:
    """One pass over the training pairs: loss_ratio * BCE + CE + CE, Adam."""
    net.train()
    sums = []
    begun = batches.epoch / recipe.epochs
    for number, (pair, target, digits) in enumerate(batches):
        set_learning_rate(optimiser, recipe.learning_rate_at(begun + (number + 0.5) / len(batches) / recipe.epochs))
        scores: Scores = net(pair)
        main, auxiliary = main_loss(scores, target), auxiliary_loss(scores, digits)
        loss = main if auxiliary is None else recipe.loss_ratio * main + auxiliary
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        sums.append(_tally(scores, target, digits, main.detach(), auxiliary))
    return _add(sums)


def _optimiser(net: JointNet | TwinNet, recipe: Recipe) -> torch.optim.Optimizer:
    """Adam, or AdamW that decays kernels and matrices only; fused: a small net's step is mostly the calls it makes."""
    decayed = [parameter for parameter in net.parameters() if parameter.dim() > 1]
    others = [parameter for parameter in net.parameters() if parameter.dim() <= 1]
    groups = [{"params": decayed, "weight_decay": recipe.weight_decay}, {"params": others, "weight_decay": 0.0}]
    kind = torch.optim.Adam if recipe.optimiser == "adam" else torch.optim.AdamW
    return kind(groups, lr=recipe.learning_rate, betas=recipe.betas, fused=True)


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """For the steps from now on."""
    for group in optimiser.param_groups:
        group["lr"] = rate


@torch.no_grad()
def recalibrate(net: JointNet | TwinNet, batch: Batch) -> None:
    """Takes BN's running mean and variance anew, over the whole of a normalised set at once.

    Those of training are an average over the last steps, of warped images and of weights that still moved.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean, here over one batch
    net.train()
    net(batch.pair)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.inference_mode()
def evaluate(net: JointNet | TwinNet, batch: Batch) -> Losses:
    """Losses and right answers over a whole normalised set, dropout off."""
    net.eval()
    sums = []
    for start in range(0, len(batch.target), EVALUATION_BATCH):
        pair, target, digits = (part[start : start + EVALUATION_BATCH] for part in batch)
        scores: Scores = net(pair)
        sums.append(_tally(scores, target, digits, main_loss(scores, target), auxiliary_loss(scores, digits)))
    return _add(sums)


@torch.inference_mode()
def predict(net: JointNet | TwinNet, pairs: Pairs, with_moments: Moments) -> Tensor:
    """P(first <= second) for each pair -> float32 [n], dropout off, on the CPU."""
    net.eval()
    device = next(net.parameters()).device
    pair = torch.from_numpy(normalise(pairs, with_moments).pair)
    with single_thread():
        return torch.cat([net(part.to(device)).main.sigmoid().cpu() for part in torch.split(pair, EVALUATION_BATCH)])


@contextmanager
def single_thread() -> Iterator[None]:
    """Holds torch to one thread in this process, and gives it back what it had."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def to_device(batch: Batch, device: str) -> Batch:
    """NumPy arrays -> tensors on `device`."""
    return Batch(*(torch.from_numpy(part).to(device) for part in batch))


def resolve_device(name: str) -> str:
    """ "auto" is the GPU where torch can use one, else the CPU.  ValueError where the one asked for is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError(f"torch {torch.__version__} finds no CUDA device here; use --device cpu or auto")
    if name not in ("cpu", "cuda"):
        raise ValueError(f'--device is auto, cpu or cuda, not "{name}"')
    return name


def _tally(scores: Scores, target: Tensor, digits: Tensor, main: Tensor, auxiliary: Tensor | None) -> Losses:
    """The batch's sums."""
    count = len(target)
    right = ((scores.main.detach() > 0) == (target > 0)).sum()
    nothing = torch.zeros_like(main)
    return Losses(
        main=main * count,
        auxiliary=nothing if auxiliary is None else auxiliary.detach() * count,
        right=right,
        right_digits=nothing if scores.digits is None else (scores.digits.detach().argmax(-1) == digits).sum(),
    )


def _add(parts: list[Losses]) -> Losses:
    return Losses(
        main=torch.stack([part.main for part in parts]).sum(),
        auxiliary=torch.stack([part.auxiliary for part in parts]).sum(),
        right=torch.stack([part.right for part in parts]).sum(),
        right_digits=torch.stack([part.right_digits for part in parts]).sum(),
    )


def _epoch(net: JointNet | TwinNet, trained: Losses, count: int, measured: Losses, held_out: int) -> Epoch:
    classifies = isinstance(net, TwinNet) and net.auxiliary is not None
    return Epoch(
        train_loss=trained.main.item() / count,
        train_auxiliary_loss=trained.auxiliary.item() / count if classifies else None,
        train_accuracy=trained.right.item() / count,
        validation_loss=measured.main.item() / held_out,
        validation_auxiliary_loss=measured.auxiliary.item() / held_out if classifies else None,
        validation_accuracy=measured.right.item() / held_out,
        validation_digit_accuracy=measured.right_digits.item() / (2 * held_out) if classifies else None,
    )
