"""Kernels of signs that the converter leaves in float, or leaves to be computed."""

import math

import numpy as np

from larq_bcd.tflite.engines import UNFUSED, open_engine
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, DEQUANTIZE, QUANTIZE, VALID
from larq_bcd.tflite.signs import pack_signs, words

_WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV", "CONV_3D")
_WEIGHTS, _BIAS = 1, 2
# Operators that make signs of signs: they move them, or take the largest.
_MOVING = frozenset(
    {"CONCATENATION", "EXPAND_DIMS", "GATHER", "MAX_POOL_2D", "PACK", "RESHAPE", "REVERSE_V2"}
    | {"SLICE", "SPLIT", "SQUEEZE", "STRIDED_SLICE", "TILE", "TRANSPOSE", "UNPACK"}
)
_ACTIVATIONS = {1: "RELU", 2: "RELU_N1_TO_1", 3: "RELU6"}


def fold_kernels(graph: Graph) -> Rewrite:
    """Puts kernels into the file that are computed of constants at each inference.

    TensorFlow's converter evaluates no operations on large constants: it writes a quantized
    kernel of 6x6x256x4096 as its float weights, and the quantizer as operators.

    The precondition: weights of a convolution or dense layer are computed of constants alone.

    Args:
        graph: is changed.

    Returns:
        The names of the kernels.
    """
    done = Rewrite()
    for node in graph.nodes_of(*_WEIGHTED):
        kernel = node.inputs[_WEIGHTS]
        if kernel is None or kernel.producer is None:
            continue
        needed = _of_constants(kernel)
        if needed is None:
            continue
        folded = Value.of(_evaluated(graph, needed, kernel), kernel.name)
        graph.replace(kernel, folded)
        done.changed.append(kernel.name)
    graph.tidy()
    return done


def _of_constants(value: Value) -> set[Node] | None:
    """The operators that compute a value of constants; None if it depends on anything else."""
    found: set[Node] = set()
    pending = [value]
    while pending:
        current = pending.pop()
        node = current.producer
        if node is None:
            if current.constant is None:
                return None
        elif node not in found:
            if node.has_effects:
                return None
            found.add(node)
            pending += node.operands
    return found


def _evaluated(graph: Graph, needed: set[Node], value: Value) -> np.ndarray:
    # The engines take samples: one of an input that nothing reads.
    unread = Value.new((1, 1), np.float32, "unread")
    nodes = [node for node in graph.nodes if node in needed]
    engine = open_engine(graph.part(nodes, [unread], [value]), prefer=UNFUSED)
    (result,) = engine.predict(np.zeros((1, 1), np.float32))
    return result.reshape(value.shape)


def binarize_convolutions(graph: Graph) -> Rewrite:
    """Makes binary convolutions of float ones on signs whose kernels have been folded late.

    The same sums: `K - 2 popcount` in place of products of +1 and -1, times the scale.

    The precondition: the input is unpacked signs, and every output channel of the constant
    kernel is plus or minus one scale, which is not 0.

    Args:
        graph: is changed.

    Returns:
        The names of what the binary convolutions write.
    """
    done = Rewrite()
    for node in graph.nodes_of("CONV_2D"):
        producer = node.data.producer
        scales = _scales(node)
        if producer is None or producer.type != DEQUANTIZE or scales is None:
            continue
        weights, o = node.inputs[_WEIGHTS], node.options
        assert weights is not None
        if weights.shape[-1] != node.data.channels:
            continue  # of several groups, which the default kernels do not run
        geometry = {
            "padding": o.padding,
            "stride_height": o.strideH,
            "stride_width": o.strideW,
            "dilation_height_factor": o.dilationHFactor,
            "dilation_width_factor": o.dilationWFactor,
        }
        sums = _following(graph, node, node.output.shape)
        _add_binary(graph, node, producer.data, weights.values, scales, sums, geometry)
        graph.remove(node)
        done.changed.append(sums.name)
    graph.tidy()
    return done


def convolve_dense(graph: Graph) -> Rewrite:
    """Makes binary 1x1 convolutions of dense layers of signs, which have no binary operator.

    The precondition is that of `binarize_convolutions`; the signs may have been moved since
    they were taken, and are then packed again.

    Args:
        graph: is changed.

    Returns:
        The names of what the binary convolutions write.
    """
    done = Rewrite()
    for node in graph.nodes_of("FULLY_CONNECTED"):
        data, scales = node.data, _scales(node)
        weights = node.inputs[_WEIGHTS]
        if scales is None or weights is None or not _are_signs(data):
            continue
        if data.channels != weights.shape[-1]:
            continue
        rows, name = math.prod(data.shape[:-1]), node.output.name
        packed = _packed(graph, data)
        pixels = _reshaped(graph, packed, (1, rows, 1, packed.channels), f"{name}/pixels")
        sums = Value.new((1, rows, 1, len(scales)), np.float32, f"{name}/sums")
        last = _following(graph, node, node.output.shape)
        shape = Value.of(np.array(node.output.shape, np.int32), f"{name}/shape")
        graph.add_node("RESHAPE", [sums, shape], [last])
        geometry = {"padding": VALID, "stride_height": 1, "stride_width": 1}
        kernel = weights.values[:, None, None, :]
        _add_binary(graph, node, pixels, kernel, scales, sums, geometry)
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
    same = np.all(sizes == scales[:, None]) and np.all(scales > 0)
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


def _reshaped(graph: Graph, value: Value, shape: tuple[int, ...], name: str) -> Value:
    if value.shape == shape:
        return value
    result = Value.new(shape, value.dtype, name)
    target = Value.of(np.array(shape, np.int32), f"{name}/shape")
    graph.add_node("RESHAPE", [value, target], [result])
    return result


def _following(graph: Graph, node: Node, shape: tuple[int, ...]) -> Value:
    """What is to be written in place of an operator's output, before its activation."""
    if not node.is_activated:
        return node.output
    before = Value.new(shape, np.float32, f"{node.output.name}/before_activation")
    kind = _ACTIVATIONS[node.options.fusedActivationFunction]
    graph.add_node(kind, [before], [node.output])
    return before


def _add_binary(
    graph: Graph,
    node: Node,
    packed: Value,
    kernel: np.ndarray,
    scales: np.ndarray,
    output: Value,
    geometry: dict[str, int],
) -> None:
    """Adds the binary convolution that computes what a float operator does.

    Args:
        graph: is changed.
        node: the operator.
        packed: the signs it works on, bit-packed.
        kernel: its weights, (outputs, height, width, channels).
        scales: of its output channels.
        output: what is to be written.
        geometry: padding and strides, by the names of the options of LceBconv2d.
    """
    name, bias = node.output.name, node.constant(_BIAS)
    constants = {
        "filter": pack_signs(kernel),
        "multiplier": scales.astype(np.float32),
        "bias": np.zeros_like(scales, np.float32) if bias is None else bias,
    }
    inputs = [Value.of(values, f"{name}/{key}") for key, values in constants.items()]
    options = {
        "channels_in": kernel.shape[-1],
        "dilation_height_factor": 1,
        "dilation_width_factor": 1,
        "fused_activation_function": 0,
        "pad_values": 0,
        **geometry,
    }
    graph.add_lce_node(BINARY_CONVOLUTION, [packed, *inputs, None], [output], **options)
