"""Many runs of one variant as one program: a GPU is far too large for one of these networks, but suits dozens of them.

The parameters of the networks are stacked, and each step is one `vmap` over them. Each network gets the same batches,
dropout masks and learning rates as when it is trained by itself; only the order of summation differs. On a GPU, a step
is captured in a CUDA graph and replayed. It selects its batch, masks and learning rate with a counter that is stored on
the device, so the host sends nothing to the device between the start and the end of an epoch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch, Pairs, moments, normalise
from pairnet.errors import ArgumentError, TrainingError
from pairnet.models.networks import MaskedDropout, Scores, build
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.records.record import Epoch
from pairnet.records.run import MEASUREMENTS
from pairnet.training.device import resolve_device
from pairnet.training.loop import (
    EVALUATION_BATCH,
    Trained,
    check_measurements,
    is_measured,
    mask_generator,
    recalibrate,
    single_thread,
    to_device,
)
from pairnet.training.memory import is_out_of_memory, out_of_memory
from pairnet.training.metrics import Metrics, check_finite, compute_metrics, make_epoch, total_loss
from pairnet.training.optimiser import Optimiser
from pairnet.training.stacked_epochs import StackedEpoch, StackedEpochs
from pairnet.training.vmap_layers import template

WARM_UP = 3
"""Steps before a CUDA graph is captured; their effects are undone."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the runs that are trained together: everything in which it may differ from the others."""

    pairs: Pairs
    held_out: Pairs
    weight_seed: int
    order_seed: int
    mask_seed: int | None = None  # None: dropout masks follow from `weight_seed`
    loss_ratio: float


def can_stack(members: Sequence[Member], recipe: Recipe) -> bool:
    """Whether all members have equal numbers of training pairs and of held-out pairs, and only full batches."""
    sizes = {(len(member.pairs), len(member.held_out)) for member in members}
    return len(sizes) == 1 and len(members[0].pairs) % recipe.batch == 0


def train_stacked(
    variant: Variant,
    members: Sequence[Member],
    *,
    recipe: Recipe,
    device: str,
    measurements: int = MEASUREMENTS,
    on_epoch: Callable[[int, int, Epoch], None] | None = None,
) -> list[Trained | TrainingError]:
    """For each member the result of `train_network`, with the member's loss ratio in place of the recipe's.

    A member whose loss is no longer finite gets a TrainingError in place of a result; the others are not affected.
    `on_epoch` is called with a member's position, the number of finished epochs and the metrics of the last one; not
    for a member that has failed. If the device runs out of memory, the members are trained again from the start in two
    halves, one after the other; a single member that does not fit gets a TrainingError.

    Raises ArgumentError for members that cannot be stacked or another argument out of bounds, NotationError if the
    layers of `variant` do not fit, and ProviderError if the device is not available.
    """
    if not members:
        raise ArgumentError("expected at least 1 run in `members`, got 0: pass the runs to train")
    if not can_stack(members, recipe):
        raise ArgumentError(
            f"expected `members` with equal numbers of pairs, in full batches of {recipe.batch}: "
            "train these runs one by one"
        )
    for member in members:
        check_measurements(member.held_out, measurements)
    device = resolve_device(device)
    try:
        return _Stack(variant, members, recipe, device).train(measurements, on_epoch)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        if len(members) == 1:
            return [out_of_memory(variant, device)]
    torch.cuda.empty_cache()  # outside the handler: its traceback holds the tensors
    results: list[Trained | TrainingError] = []
    for half in (members[: len(members) // 2], members[len(members) // 2 :]):
        results += train_stacked(
            variant,
            half,
            recipe=recipe,
            device=device,
            measurements=measurements,
            on_epoch=None if on_epoch is None else _shifted(on_epoch, len(results)),
        )
    return results


def _shifted(on_epoch: Callable[[int, int, Epoch], None], start: int) -> Callable[[int, int, Epoch], None]:
    """`on_epoch` for members whose positions are counted from `start`."""
    return lambda position, number, epoch: on_epoch(start + position, number, epoch)


class _Stack:
    """R stacked networks, the batches of one epoch on their device, and a step that trains all of them.

    Letters in shapes: R networks, S steps per epoch, N pairs per batch, n held-out pairs.
    """

    def __init__(self, variant: Variant, members: Sequence[Member], recipe: Recipe, device: str) -> None:
        self._variant, self._members, self._recipe, self._device = variant, members, recipe, torch.device(device)
        self._moments = [moments(member.pairs) for member in members]
        self._networks = [build(variant, seed=member.weight_seed).to(device) for member in members]
        self._parameters, self._buffers = stack_module_state(list(self._networks))  # name -> [R,...]
        self._template: nn.Module = template(self._networks[0])
        self._steps = len(members[0].pairs) // recipe.batch
        self._epochs = StackedEpochs(
            [
                PairLoader(
                    *(member.pairs, own), batch=recipe.batch, seed=member.order_seed, threads=1, warp=recipe.warp
                )
                for member, own in zip(members, self._moments, strict=True)
            ],
            [
                mask_generator(member.weight_seed if member.mask_seed is None else member.mask_seed)
                for member in members
            ],
            {f"{name}.mask": m for name, m in self._template.named_modules() if isinstance(m, MaskedDropout)},
            pinned=self._device.type != "cpu",
        )
        self._loss_ratios = torch.tensor([member.loss_ratio for member in members], device=device)  # [R]
        self._step = torch.zeros(1, dtype=torch.int64, device=device)  # of the epoch
        self._rate = torch.tensor(recipe.learning_rate, device=device)
        self._rates = torch.zeros(self._steps, device=device)  # [S]
        parameters = [(parameter, parameter.dim() > 2) for parameter in self._parameters.values()]
        self._optimiser = Optimiser(parameters, recipe, self._rate)
        batches, masks = self._epochs.draw()
        self._batches = Batch(*(part.to(device) for part in batches))  # [S,R,N,...]
        self._masks = {name: mask.to(device) for name, mask in masks.items()}  # [S,R,2N,...]
        shape = (self._steps, len(members), recipe.batch)
        digits = torch.zeros(*shape, 2, 10, device=device) if variant.classifies_digits else None
        self._scores = Scores(torch.zeros(shape, device=device), digits)  # [S,R,N], [S,R,N,2,10]

    def train(
        self, measurements: int, on_epoch: Callable[[int, int, Epoch], None] | None
    ) -> list[Trained | TrainingError]:
        """Train all members for all epochs, or until every member has failed."""
        recipe, histories = self._recipe, [list[Epoch]() for _ in self._members]
        failures: dict[int, TrainingError] = {}
        held_out = self._held_out()
        with single_thread():
            take_step = self._take_step if self._device.type == "cpu" else self._captured_step()
            for number in range(1, recipe.epochs + 1):
                self._begin_epoch(number)
                for _ in range(self._steps):
                    take_step()
                following = self._epochs.draw() if number < recipe.epochs else None  # while the device computes
                training = self._metrics(*self._training_scores())
                if following is not None:
                    self._load_epoch(following)
                elif recipe.recalibrate:
                    self._recalibrate()
                validation: Sequence[Metrics | None] = [None] * len(self._members)
                if is_measured(number, recipe.epochs, measurements):
                    scores = self._evaluate(held_out.pair)
                    validation = self._metrics(scores, held_out)
                for position, history in enumerate(histories):
                    if position in failures:
                        continue
                    history.append(make_epoch(training[position], validation[position]))
                    try:
                        check_finite(self._variant, number, history[-1])
                    except TrainingError as error:
                        failures[position] = error
                        continue
                    if on_epoch is not None:
                        on_epoch(position, number, history[-1])
                if len(failures) == len(self._members):
                    return [failures[position] for position in range(len(self._members))]
        self._unstack()
        probabilities = scores.main.sigmoid().cpu()  # [R,n]
        return [
            failures.get(position)
            or Trained(
                network=self._networks[position],
                moments=self._moments[position],
                epochs=tuple(history),
                probability=probabilities[position],
            )
            for position, history in enumerate(histories)
        ]

    def _take_step(self) -> None:
        """loss_ratio * BCE + CE + CE, and a step of the optimiser: for all networks, on batch `_step` of the epoch."""
        now = self._step
        self._rate.copy_(self._rates.index_select(0, now)[0])
        pair, target, digits = (part.index_select(0, now)[0] for part in self._batches)
        masks = {name: mask.index_select(0, now)[0] for name, mask in self._masks.items()}
        self._optimiser.zero_grad()
        losses, *scores = vmap(self._forward)(
            self._parameters, self._buffers, masks, pair, target, digits, self._loss_ratios
        )
        # no loss depends on the parameters of another network, so the gradient of the sum is that of each by itself,
        # and one that is not finite stays in its own network
        losses.sum().backward()  # type: ignore[no-untyped-call]
        self._optimiser.step()
        for stored, part in zip(self._scores, scores, strict=False):
            if stored is not None:
                stored.index_copy_(0, now, part.detach()[None])
        now.add_(1)

    def _forward(
        self,
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        masks: dict[str, Tensor],
        pair: Tensor,
        target: Tensor,
        digits: Tensor,
        loss_ratio: Tensor,
    ) -> tuple[Tensor, ...]:
        """Loss and scores of one network."""
        scores: Scores = functional_call(self._template, (parameters, buffers, masks), (pair,))
        return (total_loss(scores, target, digits, loss_ratio), *(part for part in scores if part is not None))

    def _captured_step(self) -> Callable[[], None]:
        """`_take_step` as a CUDA graph. The changes made by the steps before its capture are undone."""
        state = [*self._parameters.values(), *self._buffers.values(), self._step]
        before = [value.detach().clone() for value in state]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step.zero_()
                self._take_step()
        torch.cuda.current_stream().wait_stream(stream)
        graph, working = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph):
                self._take_step()
        finally:
            torch.cuda.set_stream(working)  # a capture that fails leaves its own stream behind
        with torch.no_grad():
            for value, old in zip(state, before, strict=True):
                value.copy_(old)
            self._optimiser.forget()
        return graph.replay

    @torch.no_grad()
    def _evaluate(self, pair: Tensor) -> Scores:
        """Scores [R,n], [R,n,2,10] of normalised pairs [R,n,2,14,14], without dropout."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], part: Tensor) -> tuple[Tensor, ...]:
            scores: Scores = functional_call(self._template, (parameters, buffers), (part,))
            return tuple(values for values in scores if values is not None)

        self._template.eval()
        parts = [
            vmap(one)(self._parameters, self._buffers, part) for part in torch.split(pair, EVALUATION_BATCH, dim=1)
        ]
        self._template.train()
        main, *digits = (torch.cat(values, dim=1) for values in zip(*parts, strict=True))
        return Scores(main, digits[0] if digits else None)

    def _training_scores(self) -> tuple[Scores, Batch]:
        """The scores that each network gave during this epoch, with targets and digits, all [R,S*N,...].

        The batch holds the pairs as they were, since metrics do not need them.
        """

        def by_network(part: Tensor) -> Tensor:  # [S,R,N,...] -> [R,S*N,...]
            return part.transpose(0, 1).flatten(1, 2)

        main, digits = self._scores
        scores = Scores(by_network(main), None if digits is None else by_network(digits))
        return scores, Batch(*(by_network(part) if part.dim() < 5 else part for part in self._batches))

    def _metrics(self, scores: Scores, truth: Batch) -> list[Metrics]:
        """The metrics of each network: scores [R,n], [R,n,2,10]; targets [R,n] and digits [R,n,2] in `truth`."""
        digit_scores = [None] * len(self._members) if scores.digits is None else list(scores.digits)
        rows = zip(scores.main, digit_scores, truth.target, truth.digits, strict=True)
        return compute_metrics([(Scores(main, classes), target, digits) for main, classes, target, digits in rows])

    def _begin_epoch(self, number: int) -> None:
        """Set the step counter and the learning rates of epoch `number`."""
        epochs = self._recipe.epochs
        progress = [(number - 1 + (step + 0.5) / self._steps) / epochs for step in range(self._steps)]
        self._rates.copy_(torch.tensor([self._recipe.learning_rate_at(at) for at in progress]))
        self._step.zero_()

    def _load_epoch(self, epoch: StackedEpoch) -> None:
        """Copy the batches and masks of an epoch to the memory that the steps read."""
        for memory, part in zip(self._batches, epoch.batches, strict=True):
            memory.copy_(part, non_blocking=True)
        for name, mask in epoch.masks.items():
            self._masks[name].copy_(mask, non_blocking=True)

    def _held_out(self) -> Batch:
        """All held-out pairs [R,n,...], those of each network normalised with its own moments."""
        rows = zip(self._members, self._moments, strict=True)
        batches = [to_device(normalise(member.held_out, own), str(self._device)) for member, own in rows]
        return Batch(*(torch.stack(parts) for parts in zip(*batches, strict=True)))

    def _recalibrate(self) -> None:
        """Compute the statistics of BN again, one network after the other."""
        self._unstack()
        for network, member, own in zip(self._networks, self._members, self._moments, strict=True):
            recalibrate(network, to_device(normalise(member.pairs, own), str(self._device)))
        for name, stacked in self._buffers.items():
            stacked.copy_(torch.stack([network.get_buffer(name) for network in self._networks]))

    @torch.no_grad()
    def _unstack(self) -> None:
        """Copy the stacked parameters and buffers back to the networks."""
        for position, network in enumerate(self._networks):
            own = {name: value[position] for name, value in {**self._parameters, **self._buffers}.items()}
            for name, value in [*network.named_parameters(), *network.named_buffers()]:
                value.copy_(own[name])
