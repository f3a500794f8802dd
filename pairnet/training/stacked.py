"""Many runs of one variant as one program: a GPU is far too large for one of these nets, and just right for dozens.

The nets' parameters are stacked, each step is one `vmap` over them, and each net sees the batches, the dropout masks
and the steps of Adam that it would see alone; only the order in which sums are rounded differs. On a GPU a step is
captured in a CUDA graph and replayed: it finds its batch, its masks and its learning rate by a counter that lies on the
device, so that nothing has to be said to the device between the beginning and the end of an epoch.
"""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch, Pairs, moments, normalise
from pairnet.models.networks import MaskedDropout, Scores, build
from pairnet.models.recipes import Recipe
from pairnet.models.variants import Variant
from pairnet.training.history import Epoch
from pairnet.training.loop import (
    EVALUATION_BATCH,
    MEASUREMENTS,
    Trained,
    Worth,
    check_finite,
    epoch_of,
    is_measured,
    loss_of,
    mask_generator,
    recalibrate,
    single_thread,
    to_device,
    worths,
)
from pairnet.training.optimiser import make_optimiser

WARM_UP = 3
"""Steps before a CUDA graph is captured; they are taken back."""


@dataclass(frozen=True, kw_only=True)
class Member:
    """One of the runs that are trained together: what tells it from the others."""

    pairs: Pairs
    held_out: Pairs
    weight_seed: int
    order_seed: int
    loss_ratio: float


def can_be_together(members: Sequence[Member], recipe: Recipe) -> bool:
    """Whether all have as many pairs to train on, and as many held out, and each batch is a full one."""
    sizes = {(len(member.pairs), len(member.held_out)) for member in members}
    return len(sizes) == 1 and len(members[0].pairs) % recipe.batch == 0


def train_together(
    variant: Variant,
    members: Sequence[Member],
    *,
    recipe: Recipe,
    device: str,
    measurements: int = MEASUREMENTS,
    on_epoch: Callable[[int, int, Epoch], None] | None = None,
) -> list[Trained]:
    """What `training.train` gives for each member, with its loss ratio in place of the recipe's.

    `on_epoch` is called with a member's place, the epochs done and the last one's figures. Where the device's memory
    does not hold all, its halves are trained one after the other, from their beginning. TrainingError when a loss stops
    being finite; ValueError for members that cannot be together.
    """
    if not can_be_together(members, recipe):
        raise ValueError(
            f"{len(members)} runs can be trained as one where all have as many pairs, in full batches of {recipe.batch}"
        )
    try:
        return _Together(variant, members, recipe, device).train(measurements, on_epoch)
    except torch.OutOfMemoryError:
        if len(members) == 1:
            raise
    torch.cuda.empty_cache()
    found: list[Trained] = []
    for part in (members[: len(members) // 2], members[len(members) // 2 :]):
        start = len(found)
        tell = None if on_epoch is None else lambda at, *rest, start=start: on_epoch(start + at, *rest)
        found += train_together(variant, part, recipe=recipe, device=device, measurements=measurements, on_epoch=tell)
    return found


class _Together:
    """R stacked nets, an epoch's batches on their device, and one step over all.  S steps an epoch, N pairs each."""

    def __init__(self, variant: Variant, members: Sequence[Member], recipe: Recipe, device: str) -> None:
        self._variant, self._members, self._recipe, self._device = variant, members, recipe, torch.device(device)
        self._moments = [moments(member.pairs) for member in members]
        self._nets = [build(variant, seed=member.weight_seed).to(device) for member in members]
        self._parameters, self._buffers = stack_module_state(list(self._nets))  # name -> [R,...]
        self._plan: nn.Module = copy.deepcopy(self._nets[0]).to("meta")
        self._steps = len(members[0].pairs) // recipe.batch
        self._loaders = [
            PairLoader(*(member.pairs, found), batch=recipe.batch, seed=member.order_seed, threads=1, warp=recipe.warp)
            for member, found in zip(members, self._moments, strict=True)
        ]
        self._generators = [mask_generator(member.weight_seed) for member in members]
        self._ratios = torch.tensor([member.loss_ratio for member in members], device=device)  # [R]
        self._step = torch.zeros(1, dtype=torch.int64, device=device)  # of the epoch
        self._rate = torch.tensor(recipe.learning_rate, device=device)
        self._rates = torch.zeros(self._steps, device=device)  # [S]
        self._optimiser = make_optimiser([(p, p.dim() > 2) for p in self._parameters.values()], recipe, self._rate)
        batches, masks = self._next_epoch()
        self._batches = Batch(*(part.to(device) for part in batches))  # [S,R,N,...]
        self._masks = {name: mask.to(device) for name, mask in masks.items()}  # [S,R,2N,...]
        shape = (self._steps, len(members), recipe.batch)
        digits = torch.zeros(*shape, 2, 10, device=device) if variant.classifies_digits else None
        self._scores = Scores(torch.zeros(shape, device=device), digits)

    def train(self, measurements: int, on_epoch: Callable[[int, int, Epoch], None] | None) -> list[Trained]:
        """All epochs of all members."""
        recipe, histories = self._recipe, [list[Epoch]() for _ in self._members]
        held_out = self._held_out()
        with single_thread():
            take_step = self._take_step if self._device.type == "cpu" else self._captured()
            for number in range(1, recipe.epochs + 1):
                self._begin(number)
                for _ in range(self._steps):
                    take_step()
                ahead = self._next_epoch() if number < recipe.epochs else None  # while the device is at work
                trained = self._worths(*self._seen())
                if ahead is not None:
                    self._receive(ahead)
                elif recipe.recalibrate:
                    self._recalibrate()
                measured: Sequence[Worth | None] = [None] * len(self._members)
                if is_measured(number, recipe.epochs, measurements):
                    scores = self._evaluate(held_out.pair)
                    measured = self._worths(scores, held_out)
                for at, history in enumerate(histories):
                    history.append(epoch_of(trained[at], measured[at]))
                    check_finite(self._variant, number, history[-1])
                    if on_epoch is not None:
                        on_epoch(at, number, history[-1])
        self._unstack()
        return [
            Trained(net=net, moments=found, epochs=tuple(history), probability=probability)
            for net, found, history, probability in zip(
                self._nets, self._moments, histories, scores.main.sigmoid().cpu(), strict=True
            )
        ]

    def _take_step(self) -> None:
        """loss_ratio * BCE + CE + CE, Adam: for all nets, on batch `_step` of the epoch."""
        now = self._step
        self._rate.copy_(self._rates.index_select(0, now)[0])
        pair, target, digits = (part.index_select(0, now)[0] for part in self._batches)
        masks = {name: mask.index_select(0, now)[0] for name, mask in self._masks.items()}
        self._optimiser.zero_grad(set_to_none=False)
        losses, *scores = vmap(self._one_step)(
            self._parameters, self._buffers, masks, pair, target, digits, self._ratios
        )
        losses.sum().backward()  # type: ignore[no-untyped-call]  # none depends on another's parameters: each net gets its own gradient
        self._optimiser.step()
        for seen, part in zip(self._scores, scores, strict=False):
            if seen is not None:
                seen.index_copy_(0, now, part.detach()[None])
        now.add_(1)

    def _one_step(
        self,
        parameters: dict[str, Tensor],
        buffers: dict[str, Tensor],
        masks: dict[str, Tensor],
        pair: Tensor,
        target: Tensor,
        digits: Tensor,
        loss_ratio: Tensor,
    ) -> tuple[Tensor, ...]:
        """One net's loss and scores."""
        scores: Scores = functional_call(self._plan, (parameters, buffers, masks), (pair,))
        return (loss_of(scores, target, digits, loss_ratio), *(part for part in scores if part is not None))

    def _captured(self) -> Callable[[], None]:
        """A step as a CUDA graph; what the steps before its capture have changed is put back."""
        state = [*self._parameters.values(), *self._buffers.values(), self._step]
        before = [value.detach().clone() for value in state]
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UP):
                self._step.zero_()
                self._take_step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self._take_step()
        with torch.no_grad():
            for value, old in zip(state, before, strict=True):
                value.copy_(old)
            for moments_ in self._optimiser.state.values():
                for value in moments_.values():
                    value.zero_()
        return graph.replay

    @torch.no_grad()
    def _evaluate(self, pair: Tensor) -> Scores:
        """Normalised pairs [R,n,2,14,14], dropout off -> scores [R,n], [R,n,2,10]."""

        def one(parameters: dict[str, Tensor], buffers: dict[str, Tensor], part: Tensor) -> tuple[Tensor, ...]:
            scores: Scores = functional_call(self._plan, (parameters, buffers), (part,))
            return tuple(found for found in scores if found is not None)

        self._plan.eval()
        parts = [
            vmap(one)(self._parameters, self._buffers, part) for part in torch.split(pair, EVALUATION_BATCH, dim=1)
        ]
        self._plan.train()
        main, *digits = (torch.cat(found, dim=1) for found in zip(*parts, strict=True))
        return Scores(main, digits[0] if digits else None)

    def _seen(self) -> tuple[Scores, Batch]:
        """What training said of each net's pairs in this epoch, and the truth -> [R,S*N,...]."""

        def by_net(part: Tensor) -> Tensor:  # [S,R,N,...] -> [R,S*N,...]
            return part.transpose(0, 1).flatten(1, 2)

        main, digits = self._scores
        scores = Scores(by_net(main), None if digits is None else by_net(digits))
        return scores, Batch(*(by_net(part) if part.dim() < 5 else part for part in self._batches))

    def _worths(self, scores: Scores, truth: Batch) -> list[Worth]:
        """Each net's: scores [R,n], [R,n,2,10]; truth [R,n,...]."""
        classified = [None] * len(self._members) if scores.digits is None else list(scores.digits)
        each = zip(scores.main, classified, truth.target, truth.digits, strict=True)
        return worths([(Scores(main, found), target, digits) for main, found, target, digits in each])

    def _begin(self, number: int) -> None:
        """Sets the counter and the learning rates of epoch `number`."""
        epochs = self._recipe.epochs
        done = [(number - 1 + (step + 0.5) / self._steps) / epochs for step in range(self._steps)]
        self._rates.copy_(torch.tensor([self._recipe.learning_rate_at(at) for at in done]))
        self._step.zero_()

    def _next_epoch(self) -> tuple[Batch, dict[str, Tensor]]:
        """The batches and the masks of the next epoch, on the host -> [S,R,N,...], name -> [S,R,2N,...]."""
        by_net = [list(loader) for loader in self._loaders]
        batches = Batch(*(self._stacked([[batch[part] for batch in own] for own in by_net]) for part in range(3)))
        dropouts = {f"{name}.mask": m for name, m in self._plan.named_modules() if isinstance(m, MaskedDropout)}
        drawn = [
            [[dropout.draw(2 * self._recipe.batch, own) for dropout in dropouts.values()] for _ in range(self._steps)]
            for own in self._generators
        ]
        masks = {name: self._stacked([[step[k] for step in own] for own in drawn]) for k, name in enumerate(dropouts)}
        return batches, masks

    def _stacked(self, parts: Sequence[Sequence[Tensor]]) -> Tensor:
        """R lists of S tensors -> [S,R,...], where the device can fetch it."""
        stacked = torch.stack([torch.stack(list(own)) for own in parts], dim=1)
        return stacked if self._device.type == "cpu" else stacked.pin_memory()

    def _receive(self, epoch: tuple[Batch, dict[str, Tensor]]) -> None:
        """Puts an epoch's batches and masks where the steps look for them."""
        batches, masks = epoch
        for place, part in zip(self._batches, batches, strict=True):
            place.copy_(part, non_blocking=True)
        for name, mask in masks.items():
            self._masks[name].copy_(mask, non_blocking=True)

    def _held_out(self) -> Batch:
        """All held-out pairs, each net's normalised with its own moments -> [R,n,...]."""
        each = zip(self._members, self._moments, strict=True)
        batches = [to_device(normalise(member.held_out, found), str(self._device)) for member, found in each]
        return Batch(*(torch.stack(parts) for parts in zip(*batches, strict=True)))

    def _recalibrate(self) -> None:
        """BN's statistics taken anew, net by net."""
        self._unstack()
        for net, member, found in zip(self._nets, self._members, self._moments, strict=True):
            recalibrate(net, to_device(normalise(member.pairs, found), str(self._device)))
        for name, stacked in self._buffers.items():
            stacked.copy_(torch.stack([net.get_buffer(name) for net in self._nets]))

    @torch.no_grad()
    def _unstack(self) -> None:
        """Gives each net its own parameters and buffers again."""
        for at, net in enumerate(self._nets):
            own = {name: value[at] for name, value in {**self._parameters, **self._buffers}.items()}
            for name, value in [*net.named_parameters(), *net.named_buffers()]:
                value.copy_(own[name])
