"""Every node of an exported fp32 or fp16 file has a kernel of ONNX Runtime's CUDA provider, as a CUDA graph requires.

The table is a part of docs/OperatorKernels.md in ONNX Runtime's repository, section CUDAExecutionProvider. A node
without a kernel would run on the CPU, and ONNX Runtime would refuse to capture a graph. int8 files are for CPUs: their
biases are int32, which CUDA's DequantizeLinear does not take.
"""

import onnx
import pytest
from onnx import TensorProto

from pairnet.models.variants import VARIANTS

pytest_plugins = ("trained_runs",)

FLOATS = {TensorProto.FLOAT, TensorProto.FLOAT16}
KERNELS = {
    **dict.fromkeys(("Add", "AveragePool", "BatchNormalization", "Conv", "Gemm", "GlobalAveragePool"), FLOATS),
    **dict.fromkeys(("MatMul", "MaxPool", "Mul", "Relu", "Sigmoid", "Softmax", "Sub"), FLOATS),
    **dict.fromkeys(("Cast", "Concat", "Flatten", "Reshape", "Split"), FLOATS | {TensorProto.UINT8}),
}
"""Types of the first input, by operator."""


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_each_node_has_a_kernel(variant, precision, models):
    path = models(variant.name, "images", precision)
    parts = [path.with_suffix(f".{part}.onnx") for part in ("encoder", "head")]
    for each in [path, *(part for part in parts if part.exists())]:
        model = onnx.shape_inference.infer_shapes(onnx.load(each), strict_mode=True)
        values = [*model.graph.input, *model.graph.value_info, *model.graph.output]
        types = {value.name: value.type.tensor_type.elem_type for value in values}
        types |= {tensor.name: tensor.data_type for tensor in model.graph.initializer}
        for node in model.graph.node:
            assert types[node.input[0]] in KERNELS[node.op_type], f"{each.name}: {node.name} ({node.op_type})"
