"""Dense layers of signs, for which Larq Compute Engine has no operator of their own."""

import math

import numpy as np

from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, DEQUANTIZE, QUANTIZE, VALID
from larq_bcd.tflite.signs import pack_signs, words

_WEIGHTS, _BIAS = 1, 2
# Operators that make signs of signs: they move them, or take the largest.
_MOVING = frozenset(
    {"CONCATENATION", "EXPAND_DIMS", "GATHER", "MAX_POOL_2D", "PACK", "RESHAPE", "REVERSE_V2"}
    | {"SLICE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK"}
)
_OPTIONS = {
    "dilation_height_factor": 1,
    "dilation_width_factor": 1,
    "fused_activation_function": 0,
    "pad_values": 0,
    "padding": VALID,
    "stride_height": 1,
    "stride_width": 1,
}
_ACTIVATIONS = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}


def convolve_dense(graph: Graph) -> Rewrite:
    """Makes binary 1x1 convolutions of dense layers of signs.

    The same sums: `K - 2 popcount` in place of products of +1 and -1, times the scale.

    The precondition: the input is unpacked signs, which may have been moved since they were
    taken and are then packed again, and every output channel of the constant kernel is plus or
    minus one scale. That of some may be 0, whose signs are lost and do not matter.

    Args:
        graph: is changed.

    Returns:
        The names of what the convolutions write.
    """
    done = Rewrite()
    for node in graph.nodes_of("FULLY_CONNECTED"):
        data, kernel, scales = node.data, node.constant(_WEIGHTS), _scales(node)
        if scales is None or kernel is None or not _are_signs(data):
            continue
        if data.channels != kernel.shape[-1]:
            continue  # it flattens more than one axis
        if node.is_activated and node.options.fusedActivationFunction not in _ACTIVATIONS:
            continue
        name, rows = node.output.name, math.prod(data.shape[:-1])
        packed = _packed(graph, data)
        pixels = Value.new((1, rows, 1, packed.channels), np.int32, f"{name}/pixels")
        _reshape(graph, packed, pixels)
        bias = node.constant(_BIAS)
        constants = {
            "filter": pack_signs(kernel[:, None, None, :]),
            "multiplier": scales,
            "bias": np.zeros_like(scales) if bias is None else bias,
        }
        inputs = [Value.of(values, f"{name}/{key}") for key, values in constants.items()]
        sums = Value.new((1, rows, 1, len(scales)), np.float32, f"{name}/sums")
        options = {**_OPTIONS, "channels_in": data.channels}
        graph.add_lce_node(BINARY_CONVOLUTION, [pixels, *inputs, None], [sums], **options)
        result = node.output
        if node.is_activated:
            result = Value.new(result.shape, np.float32, f"{name}/before_activation")
            kind = _ACTIVATIONS[node.options.fusedActivationFunction]
            graph.add_node(kind, [result], [node.output])
        _reshape(graph, sums, result)
        graph.remove(node)
        done.changed.append(sums.name)
    graph.tidy()
    return done


def _scales(node: Node) -> np.ndarray | None:
    """The scale of each output channel of a float kernel of scaled signs, else None."""
    weights, bias = node.constant(_WEIGHTS), node.input(_BIAS)
    if weights is None or weights.dtype != np.float32 or not weights.size:
        return None
    if bias is not None and bias.constant is None:
        return None
    sizes = np.abs(weights).reshape(len(weights), -1)
    scales = sizes[:, 0]
    same = np.all(sizes == scales[:, None]) and np.any(scales > 0)
    return scales if same else None


def _are_signs(value: Value) -> bool:
    """Whether a float value holds +1 and -1 alone: unpacked signs, moved since or not."""
    producer = value.producer
    if producer is None:
        return False
    if producer.type == DEQUANTIZE:
        return value.dtype == np.float32
    moved = [operand for operand in producer.operands if operand.dtype == np.float32]
    return producer.type in _MOVING and bool(moved) and all(map(_are_signs, moved))


def _packed(graph: Graph, signs: Value) -> Value:
    """The words of signs: those they were unpacked from, or new ones."""
    producer = signs.producer
    if producer is not None and producer.type == DEQUANTIZE:
        return producer.data
    shape = (*signs.shape[:-1], words(signs.channels))
    packed = Value.new(shape, np.int32, f"{signs.name}/packed")
    graph.add_lce_node(QUANTIZE, [signs], [packed])
    return packed


def _reshape(graph: Graph, value: Value, result: Value) -> None:
    shape = Value.of(np.array(result.shape, np.int32), f"{result.name}/shape")
    graph.add_node("RESHAPE", [value, shape], [result])
