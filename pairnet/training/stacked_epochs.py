"""The batches and dropout masks of stacked networks, drawn on the host an epoch at a time while the device computes."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor

from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Batch
from pairnet.host import cores
from pairnet.models.networks import MaskedDropout


class StackedEpoch(NamedTuple):
    """All that the steps of one epoch read. R networks, S steps, N pairs in a batch."""

    batches: Batch  # [S,R,N,...]
    masks: dict[str, Tensor]  # of each dropout layer [S,R,2N,...]


class StackedEpochs:
    """Draws epochs in which each network gets what it gets when it is trained by itself.

    `mask_streams` are the generators of the networks' masks, and `dropouts` their dropout layers by the name of the
    mask. Each network is drawn in a thread: one thread needs as long for ten networks as an H200 for training them.
    With `pinned`, epochs are in memory that a GPU copies from.
    """

    def __init__(
        self,
        loaders: Sequence[PairLoader],
        mask_streams: Sequence[torch.Generator],
        dropouts: Mapping[str, MaskedDropout],
        *,
        pinned: bool,
    ) -> None:
        self._loaders, self._mask_streams, self._dropouts, self._pinned = loaders, mask_streams, dropouts, pinned
        threads = min(len(loaders), cores())
        self._pool = ThreadPoolExecutor(threads, initializer=torch.set_num_threads, initargs=(1,))

    def draw(self) -> StackedEpoch:
        """The next epoch."""
        by_network = list(self._pool.map(self._draw_one, range(len(self._loaders))))
        batches = Batch(*(self._together([own.batches[part] for own in by_network]) for part in range(3)))
        masks = {name: self._together([own.masks[name] for own in by_network]) for name in self._dropouts}
        return StackedEpoch(batches, masks)

    def _draw_one(self, position: int) -> StackedEpoch:
        """The next epoch of one network: as StackedEpoch, without the dimension R."""
        drawn = list(self._loaders[position])
        batches = Batch(*(torch.stack([batch[part] for batch in drawn]) for part in range(3)))
        images, stream = 2 * batches.target.shape[1], self._mask_streams[position]
        masks = [{name: layer.draw(images, stream) for name, layer in self._dropouts.items()} for _ in drawn]
        return StackedEpoch(batches, {name: torch.stack([step[name] for step in masks]) for name in self._dropouts})

    def _together(self, parts: Sequence[Tensor]) -> Tensor:
        """R tensors [S,...] -> [S,R,...]."""
        steps, *rest = parts[0].shape
        memory = torch.empty((steps, len(parts), *rest), dtype=parts[0].dtype, pin_memory=self._pinned)
        list(self._pool.map(lambda position: memory[:, position].copy_(parts[position]), range(len(parts))))
        return memory
