"""Graphs of structures that no built-in variant has: unique names, and the answers of PyTorch."""

import numpy as np
import onnxruntime
import pytest
import torch

from pairnet.artifact.design import Design
from pairnet.data.pairs import Moments
from pairnet.exporting import graph
from pairnet.models.networks import build
from pairnet.models.variants import Variant


@pytest.mark.parametrize("net", ["conv(2,4,3) P(2) G fc(4,1)", "P(2) conv(2,1,7)*", "conv(2,1,3)* P(12)"])
def test_a_pooling_can_be_at_any_place(net):
    variant = Variant(name="pooled", net=net)
    network = build(variant, seed=0).eval()
    weights = {name: value.contiguous().numpy() for name, value in network.state_dict().items()}
    model = graph.build(Design(variant=variant, input_kind="pairs"), weights, Moments(mean=33.0, std=77.0))
    names = [node.name for node in model.graph.node]
    assert len(set(names)) == len(names)
    pair = np.random.default_rng(0).normal(size=(3, 2, 14, 14)).astype(np.float32)
    (answer,) = onnxruntime.InferenceSession(model.SerializeToString()).run(["probability"], {"pair": pair})
    with torch.inference_mode():
        expected = network(torch.from_numpy(pair)).main.sigmoid().numpy()
    np.testing.assert_allclose(answer, expected, rtol=1e-4, atol=1e-5)
