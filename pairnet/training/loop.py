"""One recipe, one net: training by the paper's rules, and what is measured on the way.

The paper's recipe is `_train_epoch`. What makes it quick without changing what it computes, with the part of a step of
final_model that each saves on one core (docs/performance.md):

- both images go through a shared tower as one batch, and kernels lie channels-last (nets.py)
- a pooling that follows a convolution comes before its ReLU (nets.py)
- all parameters lie in one block of memory, so that Adam is one call and not one for each (optimising.py)
- what an epoch's scores are worth is reckoned once, at its end, and held-out pairs are measured five times a run
"""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch, Moments, Pairs, moments, normalise
from pairnet.errors import TrainingError
from pairnet.models.networks import JointNet, MaskedDropout, Scores, TwinNet, build
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.training.history import Epoch
from pairnet.training.optimiser import make_optimiser, set_learning_rate

EVALUATION_BATCH = 100
"""Pairs that are evaluated at once; their activations stay in a core's cache."""
MEASUREMENTS = 5
"""How often a run measures its held-out pairs; after each of 25 epochs it would spend a quarter of its time on it."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A net, the moments its inputs are normalised with, its history, and what it says of the held-out pairs."""

    net: JointNet | TwinNet
    moments: Moments
    epochs: tuple[Epoch, ...]
    probability: Tensor  # P(first <= second) of each held-out pair, float32 [n] on the CPU


@dataclass(frozen=True, kw_only=True)
class Worth:
    """What scores are worth: means over pairs; the last two are None where no digits are classified."""

    loss: float
    accuracy: float
    auxiliary_loss: float | None = None
    digit_accuracy: float | None = None


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


def loss_of(scores: Scores, target: Tensor, digits: Tensor, loss_ratio: float | Tensor) -> Tensor:
    """loss_ratio * BCE + CE + CE, or BCE alone where no digits are classified.  Paper, section VI."""
    main, auxiliary = main_loss(scores, target), auxiliary_loss(scores, digits)
    return main if auxiliary is None else loss_ratio * main + auxiliary


def train_network(
    variant: Variant,
    pairs: Pairs,
    held_out: Pairs,
    *,
    recipe: Recipe,
    weight_seed: int,
    order_seed: int,
    device: str = "cpu",
    measurements: int = MEASUREMENTS,
    on_epoch: Callable[[int, Epoch], None] | None = None,
) -> Trained:
    """Trains a fresh net of `variant` on `pairs`; measures it on `held_out` `measurements` times, last at the end.

    Both sets are normalised with the moments of `pairs`. On a CPU the result is a function of the arguments and of the
    CPU's instruction set, for which torch takes kernels that round in their own way, and of nothing else: torch is held
    to one thread, since sums of several round differently, and nets this small gain nothing from more. `on_epoch` is
    called with the number of epochs done and the last one's figures. TrainingError when the loss stops being finite.
    """
    found = moments(pairs)
    validation = to_device(normalise(held_out, found), device)
    net = build(variant, seed=weight_seed).to(device)
    optimiser = make_optimiser([(value, value.dim() > 1) for value in net.parameters()], recipe, recipe.learning_rate)
    masks = mask_generator(weight_seed)
    history: list[Epoch] = []
    with (
        single_thread(),
        PairLoader(
            pairs, found, batch=recipe.batch, seed=order_seed, threads=1, warp=recipe.warp, device=device
        ) as loader,
    ):
        for number in range(1, recipe.epochs + 1):
            trained = _train_epoch(net, loader, optimiser, recipe, masks)
            if recipe.recalibrate and number == recipe.epochs:
                recalibrate(net, to_device(normalise(pairs, found), device))
            measured = None
            if is_measured(number, recipe.epochs, measurements):
                scores = score(net, validation.pair)
                (measured,) = worths([(scores, validation.target, validation.digits)])
            history.append(epoch_of(trained, measured))
            check_finite(variant, number, history[-1])
            if on_epoch is not None:
                on_epoch(number, history[-1])
    forget_masks(net)
    return Trained(net=net, moments=found, epochs=tuple(history), probability=scores.main.sigmoid().cpu())


def _train_epoch(
    net: JointNet | TwinNet,
    batches: PairLoader,
    optimiser: torch.optim.Optimizer,
    recipe: Recipe,
    masks: torch.Generator,
) -> Worth:
    """One pass over the training pairs: loss_ratio * BCE + CE + CE, Adam."""
    net.train()
    done = batches.epoch / recipe.epochs
    scored, targets, labels = [], [], []
    for number, (pair, target, digits) in enumerate(batches):
        set_learning_rate(optimiser, recipe.learning_rate_at(done + (number + 0.5) / len(batches) / recipe.epochs))
        draw_masks(net, len(pair), masks)
        scores: Scores = net(pair)
        loss = loss_of(scores, target, digits, recipe.loss_ratio)
        optimiser.zero_grad(set_to_none=False)
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        scored.append(detached(scores))
        targets.append(target)
        labels.append(digits)
    return worths([(joined(scored), torch.cat(targets), torch.cat(labels))])[0]


def mask_generator(weight_seed: int) -> torch.Generator:
    """Where a run's dropout masks come from: a stream apart from that of its initial weights."""
    return torch.Generator().manual_seed((weight_seed + 0x6D61736B) % 2**63)


def draw_masks(net: nn.Module, pairs: int, generator: torch.Generator) -> None:
    """Gives each dropout of `net` the mask of one step, drawn on the CPU so that every device sees the same."""
    for module in net.modules():
        if isinstance(module, MaskedDropout):
            module.mask = module.draw(2 * pairs, generator).to(next(net.parameters()).device)


def forget_masks(net: nn.Module) -> None:
    """Leaves dropout to torch's generator again."""
    for module in net.modules():
        if isinstance(module, MaskedDropout):
            module.mask = None


@torch.no_grad()
def recalibrate(net: JointNet | TwinNet, batch: Batch) -> None:
    """Takes BN's running mean and variance anew, over the whole of a normalised set at once.

    Those of training are an average over the last steps, of warped images and of weights that still moved. Channels
    are laid apart for it: torch sums channels-last ones in a single float, which is off by a thousandth at this size.
    """
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    net.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # a plain mean, here over one batch
        norm.train()  # and the rest as it serves
    hooks = [norm.register_forward_pre_hook(lambda _, inputs: inputs[0].contiguous()) for norm in norms]
    net(batch.pair)
    for hook in hooks:
        hook.remove()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


@torch.inference_mode()
def score(net: JointNet | TwinNet, pair: Tensor) -> Scores:
    """What `net` says of normalised pairs [n,2,14,14], dropout off -> Scores of all n, on the same device."""
    net.eval()
    return joined([net(part) for part in torch.split(pair, EVALUATION_BATCH)])


def predict(net: JointNet | TwinNet, pairs: Pairs, with_moments: Moments) -> Tensor:
    """P(first <= second) for each pair -> float32 [n], dropout off, on the CPU."""
    batch = to_device(normalise(pairs, with_moments), str(next(net.parameters()).device))
    with single_thread():
        return score(net, batch.pair).main.sigmoid().cpu()


def is_measured(number: int, epochs: int, measurements: int) -> bool:
    """Whether epoch `number`, 1 to `epochs`, is one of `measurements` evenly spaced ones; the last always is."""
    return number * measurements // epochs > (number - 1) * measurements // epochs


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


@torch.inference_mode()
def worths(scored: Sequence[tuple[Scores, Tensor, Tensor]]) -> list[Worth]:
    """Losses and right answers, for each (scores, target, digits); numbers leave their device here and nowhere else."""
    figures = []
    for scores, target, digits in scored:
        figures += [main_loss(scores, target), ((scores.main > 0) == (target > 0)).float().mean()]
        if (auxiliary := auxiliary_loss(scores, digits)) is not None and scores.digits is not None:
            figures += [auxiliary, (scores.digits.argmax(-1) == digits).float().mean()]
    names = ("loss", "accuracy", "auxiliary_loss", "digit_accuracy")[: len(figures) // len(scored)]
    values = torch.stack(figures).reshape(len(scored), -1).tolist()
    return [Worth(**dict(zip(names, each, strict=True))) for each in values]


def epoch_of(trained: Worth, measured: Worth | None) -> Epoch:
    """A line of history, from what training saw and from what was measured after it, if it was."""
    return Epoch(
        train_loss=trained.loss,
        train_auxiliary_loss=trained.auxiliary_loss,
        train_accuracy=trained.accuracy,
        validation_loss=None if measured is None else measured.loss,
        validation_auxiliary_loss=None if measured is None else measured.auxiliary_loss,
        validation_accuracy=None if measured is None else measured.accuracy,
        validation_digit_accuracy=None if measured is None else measured.digit_accuracy,
    )


def check_finite(variant: Variant, number: int, epoch: Epoch) -> None:
    """TrainingError where a loss of `epoch` is not a number, or infinite."""
    for loss in (epoch.train_loss, epoch.train_auxiliary_loss, epoch.validation_loss, epoch.validation_auxiliary_loss):
        if loss is not None and not math.isfinite(loss):
            raise TrainingError(f"{variant.name}: the loss is {loss} in epoch {number}; lower the learning rate")


def detached(scores: Scores) -> Scores:
    """Without what a gradient would need."""
    return Scores(scores.main.detach(), None if scores.digits is None else scores.digits.detach())


def joined(parts: Sequence[Scores]) -> Scores:
    """The scores of several batches, one after the other."""
    digits = [part.digits for part in parts if part.digits is not None]
    return Scores(torch.cat([part.main for part in parts]), torch.cat(digits) if digits else None)
