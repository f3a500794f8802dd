"""A list of runs, carried out as few programs of many nets: what a GPU wants, see batched.py."""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from pairnet.data.pairs import Pairs
from pairnet.data.sources import Dataset
from pairnet.errors import TrainingError
from pairnet.study.records import Environment, RunRecord
from pairnet.study.runs import Run, carry_out, draw, facts, fingerprint, record_of
from pairnet.training.history import Epoch
from pairnet.training.stacked import Member, can_stack, train_stacked


def groups(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs that differ in draw, fold, seeds and loss ratio alone, together; in the order of each group's first."""
    found: dict[str, list[Run]] = {}
    for run in runs:
        alike = replace(run.recipe, loss_ratio=0.0).to_dict()
        split = None if run.fold is None else run.folds
        key = json.dumps([run.variant.structure, alike, run.pairs, split, run.device], sort_keys=True)
        found.setdefault(key, []).append(run)
    return list(found.values())


def carry_out_together(
    runs: Sequence[Run],
    dataset: Dataset,
    environment: Environment,
    on_epoch: Callable[[Run, int, Epoch], None],
) -> Iterator[tuple[Run, RunRecord]]:
    """Each run with its record, as its group ends.  TrainingError at the end if runs failed."""
    about, failed = facts(dataset), list[TrainingError]()
    for group in groups(runs):
        drawn = [draw(run, dataset) for run in group]
        members = [_member(run, *pairs) for run, pairs in zip(group, drawn, strict=True)]
        if not can_stack(members, group[0].recipe):
            yield from _one_by_one(group, dataset, about, environment, on_epoch)
            continue
        began = time.perf_counter()
        trained = train_stacked(
            group[0].variant,
            members,
            recipe=group[0].recipe,
            device=group[0].device,
            on_epoch=partial(_tell, group, on_epoch),
        )
        share = (time.perf_counter() - began) / len(group)
        for run, (_, held_out), each in zip(group, drawn, trained, strict=True):
            if isinstance(each, TrainingError):
                failed.append(each)
                continue
            yield run, record_of(run, about, environment, fingerprint(run, dataset), held_out, each, share)
    if failed:
        raise TrainingError(f"{len(failed)} of {len(runs)} runs failed, the others are kept; the first: {failed[0]}")


def _one_by_one(
    group: Sequence[Run],
    dataset: Dataset,
    about: dict[str, Any],
    environment: Environment,
    on_epoch: Callable[[Run, int, Epoch], None],
) -> Iterator[tuple[Run, RunRecord]]:
    for run in group:
        pairs, held_out = draw(run, dataset)
        _, record = carry_out(
            *(run, about, environment, fingerprint(run, dataset), pairs, held_out),
            partial(on_epoch, run),
        )
        yield run, record


def _tell(
    group: Sequence[Run], on_epoch: Callable[[Run, int, Epoch], None], at: int, number: int, epoch: Epoch
) -> None:
    on_epoch(group[at], number, epoch)


def _member(run: Run, pairs: Pairs, held_out: Pairs) -> Member:
    return Member(
        pairs=pairs,
        held_out=held_out,
        weight_seed=run.seeds["weights"],
        order_seed=run.seeds["order"],
        loss_ratio=run.recipe.loss_ratio,
    )
