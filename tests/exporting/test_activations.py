"""Networks without hidden activations, or with sigmoid or tanh, from the record to the answers of an exported file."""

import json
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from pairnet.artifact.inspection import inspect
from pairnet.artifact.structure import read_structure
from pairnet.errors import ArgumentError, NotationError
from pairnet.exporting import decisions
from pairnet.exporting.export import export
from pairnet.models.networks import build
from pairnet.models.recipes import Recipe
from pairnet.models.variant_files import read_variants
from pairnet.models.variants import VARIANTS, find_variant
from pairnet.records.folders import load_record
from pairnet.records.reading import read_record
from pairnet.records.run import Run
from pairnet.serving.predictor import Predictor
from pairnet.study.saved import train_and_save

pytest_plugins = ("trained_runs",)

OTHERS = ("none", "sigmoid", "tanh")
FUNCTIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "none": lambda x: x,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
}


def mine(name, activation):
    return replace(
        find_variant(name), name="mine", activation=activation, recipe=Recipe(epochs=1, batch=20, learning_rate=3e-3)
    )


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_the_function_follows_each_hidden_layer_and_not_the_score(activation):
    network = build(mine("fc_1", activation), seed=3).eval()
    values = {name: value.double().numpy() for name, value in network.state_dict().items()}
    pairs = np.random.default_rng(0).normal(size=(5, 392))
    x = pairs
    for layer in ("fc1", "fc2", "fc3"):
        x = x @ values[f"layers.{layer}.weight"].T + values[f"layers.{layer}.bias"]
        x = x if layer == "fc3" else FUNCTIONS[activation](x)
    scores = network(torch.from_numpy(pairs).float().reshape(5, 2, 14, 14)).main
    np.testing.assert_allclose(scores.detach().numpy(), x[:, 0], rtol=1e-4, atol=1e-5)


def test_without_activations_the_network_is_affine():
    network = build(mine("fc_2", "none"), seed=0).eval()
    first, second = torch.randn(2, 6, 2, 14, 14)
    middle = network((first + second) / 2).main
    torch.testing.assert_close(middle, (network(first).main + network(second).main) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("activation", OTHERS)
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_the_structure_of_a_file_tells_the_activation(variant, activation):
    for each in (variant, replace(variant, activation=activation)):
        found = read_structure(each.structure)
        assert (found.structure, found.activation) == (each.structure, each.activation)
    assert "activation" not in variant.structure


@pytest.mark.parametrize(
    "ending", [" | activation: relu", " | activation: elu", " | activation: none | activation: tanh"]
)
def test_an_ending_that_no_structure_has_is_refused(ending):
    with pytest.raises(NotationError):
        read_structure(f"fc(392,1){ending}")


def test_a_record_names_an_activation_only_where_it_is_not_relu(digits5k):
    from record_examples import record

    for activation in FUNCTIONS:
        line = record(variant=mine("fc_1", activation)).to_json()
        assert json.loads(line)["run"]["variant"].get("activation", "relu") == activation
        assert ('"activation"' in line) == ('"activation"' in read_record(line).to_json()) == (activation != "relu")


def test_variants_of_a_file_have_activations(tmp_path):
    path = tmp_path / "v.toml"
    path.write_text('[variants.linear]\nnet = "fc(392,50) fc(50,1)"\nactivation = "none"\n')
    assert read_variants(path)["linear"].activation == "none"
    path.write_text('[variants.linear]\nnet = "fc(392,50) fc(50,1)"\nactivation = "elu"\n')
    with pytest.raises(
        ArgumentError, match=r"linear\.activation: expected one of relu, none, sigmoid, tanh, got 'elu'"
    ):
        read_variants(path)


@pytest.mark.parametrize("name", ["final_model_bn", "conv_2"])
@pytest.mark.parametrize("activation", OTHERS)
def test_it_is_exported_in_every_precision_and_answers_like_the_trained_network(
    name, activation, digits5k, tmp_path, monkeypatch
):
    monkeypatch.setattr(decisions, "FURTHER_PAIRS", 200)
    variant = mine(name, activation)
    folder = train_and_save(Run(variant=variant, images=digits5k.images, pairs=200), digits5k, tmp_path / "runs").folder
    record = load_record(folder)
    assert record.run.variant == variant
    pairs = np.random.default_rng(0).integers(0, 256, (37, 2, 28, 28), dtype=np.uint8)
    answers = {}
    for precision in ("fp32", "fp16", "int8"):
        path = tmp_path / f"{precision}.onnx"
        split = bool(variant.tower)
        exported = export(
            folder, path, dataset=digits5k, precision=precision, max_changed=100, max_drop=100, split=split
        )
        assert read_structure(inspect(path.read_bytes(), path.name).structure).activation == activation
        used = [node.op_type for node in onnx.load(path).graph.node]
        operator = {"sigmoid": "Sigmoid", "tanh": "Tanh"}.get(activation)
        assert "Relu" not in used
        assert (used.count("Tanh") > 0, used.count("Sigmoid") > 1) == (operator == "Tanh", operator == "Sigmoid")
        with Predictor(path) as predictor:
            together = predictor.probability(pairs)
            each = [predictor.probability(pairs[at : at + 1]) for at in range(len(pairs))]
            np.testing.assert_array_equal(together, np.concatenate(each))  # an answer does not depend on its batch
        answers[precision] = together
        assert exported[0].accuracy == record.accuracy or precision != "fp32"
    assert np.abs(answers["fp16"] - answers["fp32"]).max() < 0.02
    assert np.abs(answers["int8"] - answers["fp32"]).mean() < 0.05
