"""What must hold on a GPU before its figures mean anything: it computes what the CPU computes.

    python -m bench.gpu_checks --files FOLDER [--device cuda] [--json FILE]

The files are those of `python -m bench.on_gpu`, which runs this as one of its steps. Each check returns a line of
evidence, raises AssertionError, or raises Skipped with the reason. With `--device cpu` those that need no card run, so
that the script itself is tested. pytest runs them, too: tests/bench/test_gpu_checks.py.
"""

import argparse
import json
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bench.common import images
from bench.turns import markdown
from pairnet.artifact.sessions import PROVIDERS, missing, open_session
from pairnet.data.loader import PairLoader
from pairnet.data.pairs import Moments, Pairs, draw_pairs
from pairnet.data.sources import load_dataset
from pairnet.errors import ProviderError, one_line
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.serving.predictor import Predictor
from pairnet.training import stacked, verification
from pairnet.training.loop import Trained, train_network
from pairnet.training.stacked import Member, train_stacked

DATA = "glyphs:2000"
LOSS = 0.02
"""Largest relative difference of the loss of a first epoch of four steps, without TF32."""

STACKED = 0.002
"""Largest difference of a probability after these steps, between a network trained in a stack and by itself."""

ANSWER = {"fp32": (0.05, 1e-5), "fp16": (0.3, 2e-3)}
"""Largest difference of a probability by precision of the file: so much of their deviation, and so much more."""


class Skipped(Exception):
    """A check that this device cannot make; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result of one check."""

    check: str
    state: str  # "passed", "failed" or "skipped"
    text: str
    seconds: float


def _without_tf32() -> None:
    """Switches TF32 off, which rounds so coarsely that losses differ within a few steps."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False


def _options(device: str) -> dict[str, str]:
    """Options of a provider that compute in full float32."""
    return {"use_tf32": "0"} if device == "cuda" else {}


def _pairs(count: int, seed: int) -> Pairs:
    return draw_pairs(load_dataset(DATA).train, count=count, seed=seed)


def _train(name: str, device: str, *, epochs: int = 2) -> Trained:
    _without_tf32()
    variant, recipe = find_variant(name), _recipe(name, epochs)
    pairs = _pairs(100, 0), _pairs(100, 1)
    return train_network(variant, *pairs, recipe=recipe, weight_seed=0, order_seed=0, device=device)


def _recipe(name: str, epochs: int) -> Recipe:
    """The variant's recipe with small steps: large ones make rounding errors visible within a few of them."""
    return replace(find_variant(name).recipe, epochs=epochs, learning_rate=1e-3)


def _member(seed: int) -> Member:
    pairs = _pairs(100, 2 * seed), _pairs(100, 2 * seed + 1)
    return Member(pairs=pairs[0], held_out=pairs[1], weight_seed=seed, order_seed=seed, loss_ratio=0.5)


def _loss_difference(one: Trained, other: Trained) -> float:
    """Largest relative difference of the training losses of an epoch."""
    pairs = zip(one.epochs, other.epochs, strict=True)
    return max(abs(mine.train_loss - its.train_loss) / abs(mine.train_loss) for mine, its in pairs)


def _needs_card(device: str) -> None:
    if device == "cpu":
        raise Skipped("needs a GPU")


def verified(device: str, files: Path) -> str:
    """The comparison at the start of a run passes."""
    began = time.perf_counter()
    verification.failure.cache_clear()
    reason = verification.failure(device)
    assert not reason, reason
    return f"losses agree; took {time.perf_counter() - began:.2f} s"


def training_agrees(device: str, files: Path) -> str:
    """Training on the device gives the losses of the CPU."""
    found = {}
    for name in ("fc_1", "cnn_base", "a_net", "final_model", "order_net_s"):
        found[name] = _loss_difference(_train(name, "cpu"), _train(name, device))
        assert found[name] <= LOSS, f"{name}: loss differs by {found[name]:.1%}"
    return f"largest difference of a loss {max(found.values()):.2e} in {max(found, key=lambda name: found[name])}"


def stacked_agrees(device: str, files: Path) -> str:
    """Networks that are trained together get the losses that they get by themselves."""
    _without_tf32()
    found, answers = [], []
    for name in ("final_model", "order_net_s"):
        variant = find_variant(name)
        recipe, members = _recipe(name, 2), [_member(seed) for seed in range(3)]
        together = train_stacked(variant, members, recipe=recipe, device=device)
        for member, one in zip(members, together, strict=True):
            alone = train_network(
                variant,
                member.pairs,
                member.held_out,
                recipe=recipe,
                weight_seed=member.weight_seed,
                order_seed=member.order_seed,
                device=device,
            )
            assert isinstance(one, Trained), one
            found.append(_loss_difference(alone, one))
            if name == "final_model":  # other dropout masks hardly change a loss, but they change the answers
                answers.append(float((alone.probability - one.probability).abs().max()))
    assert max(found) <= LOSS, f"loss differs by {max(found):.1%}"
    assert max(answers) <= STACKED, f"probabilities differ by {max(answers):.4f}"
    return f"largest difference of a loss {max(found):.2e}, of a probability {max(answers):.1e}"


def graph_agrees(device: str, files: Path) -> str:
    """A training step that is replayed as a CUDA graph computes what the same step computes without one."""
    _needs_card(device)
    _without_tf32()
    variant = find_variant("order_net_s")  # its statistics of BN are recomputed, too
    recipe, members = _recipe(variant.name, 3), [_member(seed) for seed in range(2)]
    replayed = train_stacked(variant, members, recipe=recipe, device=device)
    with _replaced(stacked._Stack, "_captured_step", lambda self: self._take_step):
        eager = train_stacked(variant, members, recipe=recipe, device=device)
    found = []
    for one, other in zip(replayed, eager, strict=True):
        assert isinstance(one, Trained), one
        assert isinstance(other, Trained), other
        found.append(_loss_difference(other, one))
        answers = float((other.probability - one.probability).abs().max())
        assert answers <= LOSS, f"probabilities differ by {answers:.4f}"
    assert max(found) <= 1e-3, f"loss differs by {max(found):.2%}"
    return f"largest difference of a loss in three epochs {max(found):.2e}"


def memory_is_split(device: str, files: Path) -> str:
    """Members whose memory runs out while a CUDA graph is captured are trained in halves, and the rest goes on."""
    _needs_card(device)
    variant, members = find_variant("final_model"), [_member(seed) for seed in range(8)]
    sizes: list[int] = []
    step = stacked._Stack._take_step

    def failing(self: Any) -> None:
        if torch.cuda.is_current_stream_capturing():
            sizes.append(len(self._members))
            if len(self._members) > 4:
                raise torch.OutOfMemoryError
        step(self)

    with _replaced(stacked._Stack, "_take_step", failing):
        results = train_stacked(variant, members, recipe=Recipe(epochs=1), device=device)
    assert all(isinstance(result, Trained) for result in results), [str(result) for result in results]
    assert sizes == [8, 4, 4], f"expected groups of 8, 4 and 4, got {sizes}"
    return "groups of 8, 4 and 4"


def loader_agrees(device: str, files: Path) -> str:
    """Batches that the loader copies ahead are those of the CPU, bit for bit."""
    pairs, moments = _pairs(200, 0), Moments(mean=33.0, std=75.0)
    with (
        PairLoader(pairs, moments, batch=25, seed=3, threads=2) as here,
        PairLoader(pairs, moments, batch=25, seed=3, threads=2, device=device) as there,
    ):
        count = 0
        for one, other in zip(here, there, strict=True):
            for part, copy in zip(one, other, strict=True):
                assert copy.device.type == device, copy.device
                assert torch.equal(part, copy.cpu()), f"batch {count} differs"
            count += 1
    return f"{count} batches equal"


def answers_agree(device: str, files: Path) -> str:
    """Every exported file answers on the device as on the CPU."""
    worst, names = 0.0, []
    pairs, _ = load_dataset(DATA).test.take(np.arange(400))
    pairs = pairs.reshape(200, 2, 28, 28)
    for path in sorted(files.glob("*.onnx")):
        precision = path.stem.rpartition("-")[2]
        if precision not in ANSWER:
            continue
        with (
            Predictor(path, provider="cpu") as here,
            Predictor(path, provider=device, provider_options=_options(device)) as there,
        ):
            expected = here.probability(pairs)
            difference = float(np.abs(expected - there.probability(pairs)).max())
        factor, least = ANSWER[precision]
        allowed = factor * float(expected.std()) + least
        assert difference <= allowed, f"{path.name}: probabilities differ by {difference:.1e}, more than {allowed:.1e}"
        worst = max(worst, difference)
        names.append(path.stem)
    assert names, f"no exported files in {files}"
    return f"{len(names)} files, largest difference {worst:.1e}"


def graph_answers_agree(device: str, files: Path) -> str:
    """A predictor that replays CUDA graphs answers as one without."""
    _needs_card(device)
    checked = 0
    for path in sorted(files.glob("*-fp32.onnx")):
        with (
            Predictor(path, provider=device, provider_options=_options(device)) as plain,
            Predictor(path, provider=device, provider_options=_options(device), graph_batches=(1, 64)) as graphs,
        ):
            for batch in (1, 64, 65):
                pairs = images(batch)
                difference = float(np.abs(plain.probability(pairs) - graphs.probability(pairs)).max())
                assert difference <= 1e-4, f"{path.name}, batch {batch}: probabilities differ by {difference:.1e}"
        checked += 1
    return f"{checked} files"


def missing_libraries_are_named(device: str, files: Path) -> str:
    """A provider that cannot run here is refused with what it lacks and a remedy."""
    path, texts = next(iter(sorted(files.glob("*-fp32.onnx")))), []
    for name, full in PROVIDERS.items():
        if not missing(full):
            continue
        text = _refusal(path, name)
        assert ": " in missing(full), missing(full)
        assert missing(full) in text, f"{name} is reported as missing ({missing(full)}), got: {text or 'a session'}"
        texts.append(f"{name}: {missing(full)}")
    if device != "cpu":
        assert not missing(PROVIDERS["cuda"]), missing(PROVIDERS["cuda"])
    return "; ".join(texts) or "no provider is missing"


def _refusal(path: Path, provider: str) -> str:
    """The message with which a provider is refused; empty if it is not."""
    try:
        open_session(path.read_bytes(), provider)
    except ProviderError as error:
        return str(error)
    return ""


CHECKS: tuple[Callable[[str, Path], str], ...] = (
    verified,
    answers_agree,
    training_agrees,
    stacked_agrees,
    graph_agrees,
    graph_answers_agree,
    memory_is_split,
    loader_agrees,
    missing_libraries_are_named,
)
"""In the order of their value."""


def run_checks(device: str, files: Path) -> Iterator[Outcome]:
    """The outcome of each check, one after the other."""
    for check in CHECKS:
        began = time.perf_counter()
        try:
            state, text = "passed", check(device, files)
        except Skipped as reason:
            state, text = "skipped", str(reason)
        except Exception as error:  # a check that fails must not hide the others
            traceback.print_exc()
            state, text = "failed", f"{type(error).__name__}: {one_line(error)}"
        yield Outcome(check=check.__name__, state=state, text=text, seconds=time.perf_counter() - began)


@contextmanager
def _replaced(owner: type, name: str, value: Any) -> Iterator[None]:
    """Replaces an attribute of a class for a while."""
    original = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, original)


def main() -> int:
    """Runs all checks, prints a table, and returns 1 if one of them failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=Path, required=True, help="folder of exported files, NAME-PRECISION.onnx")
    parser.add_argument("--device", default="cuda", help="cuda or cpu (default cuda)")
    parser.add_argument("--json", type=Path, help="write the outcomes to this file, after each check")
    options = parser.parse_args()
    outcomes = []
    for outcome in run_checks(options.device, options.files):
        outcomes.append(outcome)
        sys.stderr.write(f"{outcome.state}: {outcome.check}: {outcome.text}\n")
        if options.json:
            options.json.write_text(json.dumps([asdict(each) for each in outcomes], indent=1) + "\n")
    rows = [(each.check, each.state, f"{each.seconds:.1f}", each.text) for each in outcomes]
    sys.stdout.write(markdown(("check", "state", "s", "evidence"), rows) + "\n")
    return int(any(each.state == "failed" for each in outcomes))


if __name__ == "__main__":
    sys.exit(main())
