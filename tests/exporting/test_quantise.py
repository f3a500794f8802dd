"""int8: which layers become 8 bits, which stay float, and that ONNX Runtime fuses them."""

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, numpy_helper

from pairnet.exporting import eight_bits
from pairnet.exporting.quantise import pool_first
from pairnet.models.variants import VARIANTS

pytest_plugins = ("trained_runs",)


@pytest.fixture(scope="module")
def model(models):
    return onnx.load(models("final_model", "images", "int8"))


def test_every_training_pair_calibrates():
    rows = np.arange(7 * eight_bits.CALIBRATION_BATCH // 2).reshape(-1, 1)
    found = [batch["pair"] for batch in eight_bits.batches({"pair": rows})]
    assert np.array_equal(np.concatenate(found), rows)
    assert len(found) == 4


def source(model, name, position):
    """The node that computes input `position` of the node called `name`."""
    node = next(node for node in model.graph.node if node.name == name)
    sources = {output: node for node in model.graph.node for output in node.output}
    return sources.get(node.input[position])


@pytest.mark.parametrize("name", ["tower.conv2", "tower.conv3", "head.fc1", "head.fc2", "auxiliary.fc1"])
def test_large_layers_have_8_bit_weights_with_a_scale_for_each_output(model, name):
    origin = source(model, name, 1)
    assert origin.op_type == "DequantizeLinear"
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weight, scale = tensors[origin.input[0]], tensors[origin.input[1]]
    assert (weight.data_type, list(scale.dims)) == (onnx.TensorProto.INT8, [weight.dims[0]])


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_weights_use_7_bits_for_cpus_that_add_products_in_16(variant, models):
    graph = onnx.load(models(variant.name, "images", "int8")).graph
    weights = [numpy_helper.to_array(tensor) for tensor in graph.initializer if tensor.data_type == TensorProto.INT8]
    weights = [weight for weight in weights if weight.ndim > 1]
    assert weights
    assert max(np.abs(weight.astype(int)).max() for weight in weights) == 64


@pytest.mark.parametrize("name", ["tower.conv1", "head.fc3", "auxiliary.fc3"])
def test_the_first_convolution_and_the_scores_stay_float(model, name):
    assert source(model, name, 1) is None


def test_the_first_pooling_comes_before_its_relu(model):
    assert source(model, "tower.relu1", 0).name == "tower.pool1"
    assert source(model, "tower.pool1", 0).name == "tower.conv1"


def test_onnx_runtime_fuses_it(models, tmp_path):
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    path = models("final_model", "images", "int8")
    ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    used = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert used.count("QLinearConv") == 2
    assert used.count("QuantizeLinear") == 1
    assert "MaxPool" not in used[used.index("QuantizeLinear") :] or "NhwcMaxPool" in used


def test_the_file_has_a_quarter_of_the_size(models):
    assert models("final_model", "images", "int8").stat().st_size < 0.35 * models("final_model").stat().st_size


@pytest.mark.parametrize("name", ["final_model_bn", "no_w_net", "order_net", "conv_1", "fc_1"])
def test_poolings_move_forward_and_no_value_changes(name, models, digits5k):
    model = onnx.load(models(name))
    moved = pool_first(model)
    for tower in {node.name.split(".")[0] for node in model.graph.node if ".norm1" in node.name} & {"tower", "layers"}:
        before = [node.name for node in model.graph.node if node.name.startswith(tower)]
        after = [node.name for node in moved.graph.node if node.name.startswith(tower)]
        assert sorted(before) == sorted(after)
        assert before != after
    pairs = {"pair": digits5k.test.pixels[:60].reshape(30, 2, 28, 28)}
    sessions = [exact_session(one) for one in (model, moved)]
    for one, other in zip(*(session.run(None, pairs) for session in sessions), strict=True):
        assert (one == other).all()


def test_a_normalisation_with_a_negative_scale_stays_before_its_pooling(models):
    model = onnx.load(models("final_model_bn"))
    scale = next(tensor for tensor in model.graph.initializer if tensor.name == "tower.norm2.weight")
    values = onnx.numpy_helper.to_array(scale).copy()
    values[3] = -values[3]
    scale.CopyFrom(onnx.numpy_helper.from_array(values, scale.name))
    names = [node.name for node in pool_first(model).graph.node]
    assert names.index("tower.norm2") < names.index("tower.pool2")
    assert names.index("tower.pool3") < names.index("tower.norm3")


def exact_session(model):
    """A session without optimisations, which fold constants in another order."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
