"""int8: what becomes 8 bits, what stays float, and that ONNX Runtime then takes its quick path."""

import onnx
import onnxruntime as ort
import pytest

pytest_plugins = ("trained_runs",)


@pytest.fixture(scope="module")
def model(models):
    return onnx.load(models("final_model", "images", "int8"))


def source(model, name, position):
    """The node that makes input `position` of the node called `name`."""
    node = next(node for node in model.graph.node if node.name == name)
    makers = {output: node for node in model.graph.node for output in node.output}
    return makers.get(node.input[position])


@pytest.mark.parametrize("name", ["tower.conv2", "tower.conv3", "head.fc1", "head.fc2", "auxiliary.fc1"])
def test_large_layers_have_8_bit_weights_with_a_scale_for_each_output(model, name):
    maker = source(model, name, 1)
    assert maker.op_type == "DequantizeLinear"
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    weight, scale = tensors[maker.input[0]], tensors[maker.input[1]]
    assert (weight.data_type, list(scale.dims)) == (onnx.TensorProto.INT8, [weight.dims[0]])


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


def test_it_is_a_quarter_of_the_size(models):
    assert models("final_model", "images", "int8").stat().st_size < 0.35 * models("final_model").stat().st_size
