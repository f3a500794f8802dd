"""A graph in any precision against the float32 graph that it rounds: node by node, weight by weight, scale by scale.

The outputs would not show one wrong weight or pad: a lower precision changes them more than that. So a graph may differ
from the float32 one in what its precision is, and in nothing else: types and conversions between them, and weights
and scales that are recomputed here from the float32 weights and from the calibration's values.
"""

from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from pairnet.artifact.design import Precision
from pairnet.artifact.sessions import open_session
from pairnet.errors import GraphError, WeightsError
from pairnet.exporting.conversions import casts, layers_in_8_bits, values_in_8_bits
from pairnet.exporting.eight_bits import LARGEST_STEP, batches

Arrays = Mapping[str, NDArray[Any]]

LEVELS = 255  # steps of an 8-bit activation between its smallest and its largest value
WEIGHT_TOLERANCE = 3e-4  # of a scale, relative: ONNX Runtime's margin where a bias would overflow
RANGE_TOLERANCE = 2e-5  # of an activation's scale, relative: sums of another order
STEPS = 0.5001  # of rounding


@dataclass(frozen=True, kw_only=True)
class Packed:
    """A weight or bias in whole numbers."""

    source: str  # its name in the float32 graph
    stored: NDArray[Any]
    scale: NDArray[Any]  # [] or [outputs]


@dataclass(kw_only=True)
class _Comparison:
    """What is known of a graph while its nodes are read, in their order."""

    file: str
    precision: Precision
    constants: Arrays  # of the float32 graph
    stored: Arrays  # of the file
    unmatched: dict[str, onnx.NodeProto]  # nodes of the float32 graph
    nodes: Collection[str]  # names of the nodes of the file
    origin: dict[str, str] = field(default_factory=dict)  # value of the file -> of the float32 graph
    quantised: dict[str, tuple[str, NDArray[Any], NDArray[Any]]] = field(default_factory=dict)  # source, scale, zero
    steps: dict[str, NDArray[Any]] = field(default_factory=dict)  # scales of values that were 8 bits
    packed: dict[str, Packed] = field(default_factory=dict)
    layers: set[str] = field(default_factory=set)  # with packed weights
    casts: list[tuple[str, int]] = field(default_factory=list)  # by value of the float32 graph, and type

    def differs(self, what: str, expected: object, got: object) -> NoReturn:
        """Raises GraphError."""
        raise GraphError(
            f"{self.file}: {what}: expected {expected}, as in the float32 graph, got {got}: export the run again"
        )


def check_rounding(
    file: str,
    model: onnx.ModelProto,
    exact: onnx.ModelProto,
    *,
    precision: Precision = "fp32",
    calibration: Arrays | None = None,
) -> None:
    """Raises GraphError or WeightsError unless `model` is `exact` in another precision.

    exact: the float32 graph, for int8 with its poolings moved (`quantise.pool_first`). calibration: for int8, the rows
    whose values determine the scales. file: what messages call the model.
    """
    known = _Comparison(
        file=file,
        precision=precision,
        constants=_arrays(exact),
        stored=_arrays(model),
        unmatched={node.name: node for node in exact.graph.node},
        nodes={node.name for node in model.graph.node},
        origin={value.name: value.name for value in model.graph.input},
    )
    if (got := _opsets(model)) != (wanted := _opsets(exact)):
        known.differs("opset", wanted, got)
    for name, value in known.stored.items():
        if name in known.constants:
            _check_constant(known, name, value)
            known.origin[name] = name
    for node in model.graph.node:
        twin = known.unmatched.pop(node.name.removesuffix(".float16"), None)
        if twin is None:
            _read_conversion(known, node)
        else:
            _check_node(known, node, twin)
    if known.unmatched:
        known.differs("nodes", next(iter(known.unmatched)), "none")
    for output in model.graph.output:
        if known.origin.get(output.name) != output.name:
            known.differs("output", output.name, known.origin.get(output.name, "none"))
    _check_conversions(known, exact)
    if known.quantised:
        _check_activations(known, exact, calibration or {})


def _check_conversions(known: _Comparison, exact: onnx.ModelProto) -> None:
    """The values that the precision converts are converted, once each, and no others."""
    quantised = [source for source, _, _ in known.quantised.values()]
    for precision, what, meant, got in (
        ("fp16", "casts", casts, known.casts),
        ("int8", "layers in 8 bits", layers_in_8_bits, known.layers),
        ("int8", "values in 8 bits", values_in_8_bits, quantised),
    ):
        if precision == known.precision:
            wanted, found = (Counter[object](each) for each in (meant(exact), got))
            if wanted != found:
                missing, extra = (sorted(map(str, each)) for each in ((wanted - found), (found - wanted)))
                known.differs(what, missing or "no more", extra or "none")


def _opsets(model: onnx.ModelProto) -> list[tuple[str, int]]:
    return [(each.domain, each.version) for each in model.opset_import]


def _arrays(model: onnx.ModelProto) -> dict[str, NDArray[Any]]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}


def _attributes(node: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in node.attribute}


def _check_node(known: _Comparison, node: onnx.NodeProto, twin: onnx.NodeProto) -> None:
    """The same operator with the same attributes, over the same values."""
    name = f"node {node.name}"
    for what, got, wanted in (
        ("operator", (node.domain, node.op_type), (twin.domain, twin.op_type)),
        ("attributes", _attributes(node), _attributes(twin)),
        ("inputs", [known.origin.get(each) for each in node.input], list(twin.input)),
        ("number of outputs", len(node.output), len(twin.output)),
    ):
        if got != wanted:
            known.differs(f"{what} of {name}", wanted, got)
    known.origin.update(zip(node.output, twin.output, strict=True))
    for place, each in enumerate(node.input):
        if each in known.packed and (node.op_type not in ("Conv", "Gemm") or place == 0):
            known.differs(f"inputs of {name}", "a value in float32", each)
    weight, bias = (known.packed.get(each) for each in [*node.input[1:], "", ""][:2])
    if weight is not None:
        known.layers.add(twin.name)
        _check_packed(known, node, weight, bias)
    elif bias is not None:
        known.differs(f"inputs of {name}", "a bias in float32, as the weights", node.input[2])


def _read_conversion(known: _Comparison, node: onnx.NodeProto) -> None:
    """A node that the float32 graph does not have: it changes the type of a value."""
    operator, attributes = node.op_type, _attributes(node)
    if (
        known.precision == "fp16"
        and operator == "Cast"
        and attributes.get("to") in (TensorProto.FLOAT, TensorProto.FLOAT16)
    ):
        source = known.origin.get(node.input[0], node.input[0])
        known.origin[node.output[0]] = source
        known.casts.append((source, attributes["to"]))
        return
    if known.precision != "int8" or operator not in ("QuantizeLinear", "DequantizeLinear") or len(node.input) != 3:
        known.differs("nodes", "none", f"{operator} {node.name} {attributes or ''}".rstrip())
    value = node.input[0]
    scale, zero = (known.stored.get(each, np.empty(0)) for each in node.input[1:])
    if operator == "QuantizeLinear":
        whole = scale.shape == zero.shape == () and zero.dtype == np.uint8 and 0 < scale < np.inf
        if value not in known.origin or not whole or attributes:
            known.differs(f"node {node.name}", "one positive scale for a value of 8 bits", list(node.input))
        known.quantised[node.output[0]] = (_through_relu(known, known.origin[value], zero), scale, zero)
    elif value in known.quantised:
        source, *wanted = known.quantised[value]
        if not all(map(np.array_equal, (scale, zero), wanted)) or zero.dtype != np.uint8 or attributes:
            known.differs(f"node {node.name}", f"scale and zero point {wanted}", [scale, zero])
        known.origin[node.output[0]], known.steps[node.output[0]] = source, scale
    else:
        source = value.removesuffix("_quantized")
        stored = known.stored.get(value)
        if stored is None or source not in known.constants or attributes != {"axis": 0}:
            known.differs(f"node {node.name}", "a trained weight, with a scale for each output", value)
        shape = known.constants[source].shape
        if stored.shape != shape or scale.shape not in ((), shape[:1]) or zero.shape != scale.shape or zero.any():
            raise WeightsError(
                f"{known.file}: expected {source} {list(shape)} with a scale for each output and zero points of 0, got "
                f"{list(stored.shape)}, scales {list(scale.shape)} and zero points {zero}: export the run again"
            )
        known.origin[node.output[0]] = source
        known.packed[node.output[0]] = Packed(source=source, stored=stored, scale=scale)


def _through_relu(known: _Comparison, source: str, zero: NDArray[Any]) -> str:
    """The value after a ReLU that the file lacks: 8 bits from zero point 0 on have no negative values either."""
    for node in known.unmatched.values():
        if node.op_type == "Relu" and node.input[0] == source and node.name not in known.nodes:
            if zero != 0:
                known.differs(f"zero point in place of {node.name}", 0, zero)
            del known.unmatched[node.name]
            return str(node.output[0])
    return source


def _check_constant(known: _Comparison, name: str, got: NDArray[Any]) -> None:
    """A constant that has its own name: in fp16 the nearest float16 of a weight, otherwise the very same."""
    exact = known.constants[name]
    half = known.precision == "fp16" and exact.dtype == np.float32 and not name.startswith("pixel.")
    with np.errstate(over="ignore"):  # and refused: infinity is no rounding
        wanted = exact.astype(np.float16) if half else exact
    if got.dtype != wanted.dtype or got.shape != wanted.shape:
        raise WeightsError(
            f"{known.file}: expected {name} {wanted.dtype} {list(wanted.shape)}, as in the trained network, got "
            f"{got.dtype} {list(got.shape)}: export the run again"
        )
    if not np.isfinite(wanted).all() and np.isfinite(exact).all():
        raise WeightsError(
            f"{known.file}: expected {name} from -65,504 to 65,504, the range of float16, got "
            f"{exact.flat[np.argmax(np.abs(exact))]:g}: the network exceeds it; choose another `precision`"
        )
    _check_values(known, name, exact, got, (got != wanted) | ~np.isfinite(got))


def _check_packed(known: _Comparison, node: onnx.NodeProto, weight: Packed, bias: Packed | None) -> None:
    """Weights and bias of a layer in whole numbers: scales as the weights demand, each value the nearest one."""
    exact = known.constants[weight.source].astype(np.float64)
    largest = np.abs(exact.reshape(len(exact), -1)).max(1) if weight.scale.ndim else np.abs(exact).max()
    scale = largest / LARGEST_STEP
    scale = np.where(scale < np.finfo(np.float32).tiny, 1.0, scale)  # an output without weights has any scale
    if bias is not None:
        step = known.steps.get(node.input[0])
        if step is None or bias.stored.dtype != np.int32:
            known.differs(f"inputs of node {node.name}", "8 bits with a bias of 32", node.input[0])
        # ONNX Runtime enlarges the scale of weights whose bias would overflow
        overflow = np.abs(known.constants[bias.source].astype(np.float64)) / (np.iinfo(np.int32).max * float(step))
        scale = np.maximum(scale, overflow if weight.scale.ndim else overflow.max())
        _check_scale(known, bias.source, bias.scale, weight.scale.astype(np.float64) * float(step))
        _check_nearest(known, bias)
    _check_scale(known, weight.source, weight.scale, scale)
    if weight.stored.dtype != np.int8 or np.abs(weight.stored.astype(int)).max() > LARGEST_STEP:
        raise WeightsError(
            f"{known.file}: expected {weight.source} within -{LARGEST_STEP}..{LARGEST_STEP}, got others: CPUs that "
            "add products in 16 bits would compute something else; export the run again"
        )
    _check_nearest(known, weight)


def _check_scale(known: _Comparison, name: str, got: NDArray[Any], wanted: NDArray[Any]) -> None:
    wrong = ~(np.abs(got - wanted) <= WEIGHT_TOLERANCE * wanted)
    if np.shape(got) != np.shape(wanted) or wrong.any():
        raise WeightsError(
            f"{known.file}: expected {name} in steps of {np.ravel(wanted)[np.argmax(wrong)]:.6g}, got "
            f"{np.ravel(got)[np.argmax(wrong)]:.6g}: export the run again"
        )


def _check_nearest(known: _Comparison, packed: Packed) -> None:
    exact = known.constants[packed.source]
    step = packed.scale.astype(np.float64).reshape((-1, *[1] * (exact.ndim - 1)) if packed.scale.ndim else ())
    got = packed.stored * step
    _check_values(known, packed.source, exact, got, ~(np.abs(got - exact) <= STEPS * step + np.spacing(np.abs(exact))))


def _check_values(
    known: _Comparison, name: str, exact: NDArray[Any], got: NDArray[Any], wrong: NDArray[np.bool_]
) -> None:
    if wrong.any():
        at = tuple(np.argwhere(wrong)[0].tolist())
        raise WeightsError(
            f"{known.file}: expected {name} {list(at)} to be {exact[at]:.6f}, rounded, as in the trained network, got "
            f"{got[at]:.6f}: {int(wrong.sum())} of {exact.size} weights differ; export again"
        )


def _check_activations(known: _Comparison, exact: onnx.ModelProto, calibration: Arrays) -> None:
    """Scale and zero point of each value in 8 bits are those of its smallest and largest value in the calibration."""
    pools = {node.output[0]: node.input[0] for node in exact.graph.node if node.op_type == "MaxPool"}
    sources = {source for source, _, _ in known.quantised.values()}
    ranges = _ranges(exact, sources | {pools[each] for each in sources & pools.keys()}, calibration)
    for source, scale, zero in known.quantised.values():
        allowed = [
            ranges[each] for each in (source, pools.get(source)) if each is not None
        ]  # a pooling keeps the scale
        if not any(_fits(float(scale), int(zero), *bounds) for bounds in allowed):
            low, high = allowed[0]
            raise WeightsError(
                f"{known.file}: expected the 8 bits of {source} to span {low:.6g} to {high:.6g}, its values for the "
                f"training pairs, got steps of {float(scale):.6g} and zero point {int(zero)}: export the run again"
            )


def _fits(scale: float, zero: int, low: float, high: float) -> bool:
    step = (high - low) / LEVELS
    if step < np.finfo(np.float32).tiny:
        return (scale, zero) == (1.0, 0)
    return abs(scale - step) <= RANGE_TOLERANCE * step and abs(zero + low / step) <= 0.5 + LEVELS * RANGE_TOLERANCE


def _ranges(model: onnx.ModelProto, names: set[str], rows: Arrays) -> dict[str, tuple[float, float]]:
    """The smallest and the largest of zero and each named value, over all rows."""
    watched, given = onnx.ModelProto(), {value.name for value in model.graph.input}
    watched.CopyFrom(model)
    inner = sorted(names - given)
    del watched.graph.output[:]
    watched.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in inner)
    session = open_session(watched.SerializeToString(), "cpu")
    found = dict.fromkeys(names, (0.0, 0.0))
    for feeds in batches(rows):
        values = dict(zip(inner, session.run(inner, feeds), strict=True)) | feeds
        for name, (low, high) in found.items():
            found[name] = min(low, float(values[name].min())), max(high, float(values[name].max()))
    return found
