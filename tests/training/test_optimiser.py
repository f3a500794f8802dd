"""The optimiser: the steps of torch's own classes, without the import that they cost."""

import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from pairnet.models.networks import build
from pairnet.models.recipes import Recipe
from pairnet.models.variants import find_variant
from pairnet.training.optimiser import Optimiser

RECIPE = Recipe(optimiser="adamw", weight_decay=0.1, betas=(0.8, 0.95))
CLASSES = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}


def parameters_of(network):
    return [(parameter, parameter.dim() > 1) for parameter in network.parameters()]


@pytest.mark.parametrize(
    ("name", "weight_decay", "momentum"),
    [("adam", 0.0, 0.9), ("adam", 0.1, 0.9), ("adamw", 0.1, 0.9), ("sgd", 0.0, 0.0), ("sgd", 0.1, 0.7)],
)
def test_steps_are_those_of_torch(name, weight_decay, momentum):
    ours, theirs = build(find_variant("final_model_bn"), seed=1), build(find_variant("final_model_bn"), seed=1)
    recipe = Recipe(optimiser=name, weight_decay=weight_decay, betas=(0.8, 0.95), momentum=momentum)
    optimiser = Optimiser(parameters_of(ours), recipe, 0.01)
    own = {"momentum": momentum} if name == "sgd" else {"betas": (0.8, 0.95)}
    groups = [
        {"params": [p for p, decays in parameters_of(theirs) if decays], "weight_decay": weight_decay},
        {"params": [p for p, decays in parameters_of(theirs) if not decays], "weight_decay": 0.0},
    ]
    reference = CLASSES[name](groups, lr=0.01, fused=True, **own)
    generator = torch.Generator().manual_seed(0)
    for step in range(5):
        optimiser.zero_grad()
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            assert not mine.grad.any()
            mine.grad.copy_(torch.randn(mine.shape, generator=generator))
            other.grad = mine.grad.clone()
        optimiser.learning_rate = rate = 0.01 / (1 + step)
        for group in reference.param_groups:
            group["lr"] = rate
        optimiser.step()
        reference.step()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-7)  # vector or scalar code, as memory is aligned


@pytest.mark.parametrize("name", list(CLASSES))
def test_a_step_is_one_kernel(name, monkeypatch):
    """torch's other implementations round differently, so a run would not repeat its record."""
    steps = []
    kernel = getattr(torch, f"_fused_{name}_")
    monkeypatch.setattr(torch, f"_fused_{name}_", lambda *given, **more: (steps.append(1), kernel(*given, **more)))
    network = build(find_variant("fc_1"), seed=1)
    Optimiser(parameters_of(network), replace(RECIPE, optimiser=name), 0.01).step()
    assert len(steps) == 2  # parameters that decay, and biases


@pytest.mark.parametrize("name", list(CLASSES))
def test_after_forget_the_next_step_is_a_first_one(name):
    recipe = replace(RECIPE, optimiser=name)
    networks = [build(find_variant("fc_1"), seed=1) for _ in range(2)]
    optimisers = [Optimiser(parameters_of(network), recipe, 0.01) for network in networks]
    before = [parameter.detach().clone() for parameter in networks[0].parameters()]
    for parameter in networks[0].parameters():
        parameter.grad.fill_(3)
    optimisers[0].step()
    optimisers[0].forget()
    for parameter, value in zip(networks[0].parameters(), before, strict=True):
        assert not torch.equal(parameter, value)
        parameter.data.copy_(value)
    for network, optimiser in zip(networks, optimisers, strict=True):
        for parameter in network.parameters():
            parameter.grad.fill_(1)
        optimiser.step()
    for first, second in zip(*(network.parameters() for network in networks), strict=True):
        assert torch.equal(first, second)


@pytest.mark.parametrize("name", list(CLASSES))
def test_training_does_without_the_compiler_of_torch(name):
    code = (
        "import sys\n"
        "from pairnet import Recipe, Run, VARIANTS, Variant, load_dataset, train\n"
        "from dataclasses import replace\n"
        f"variant = replace(VARIANTS[0], recipe=Recipe(epochs=1, optimiser={name!r}))\n"
        "data = load_dataset('glyphs:100')\n"
        "train(Run(variant=variant, images=data.images, pairs=25), data)\n"
        "assert 'torch' in sys.modules and 'torch._dynamo' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
