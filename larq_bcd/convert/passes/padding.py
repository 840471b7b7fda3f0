"""Paddings that the converter gets wrong."""

import numpy as np
import tensorflow as tf

from larq_bcd.convert.match import Match
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, SAME, VALID
from larq_bcd.tflite.signs import WORD, unpack_signs
from larq_bcd.tflite.windows import axes, margins, padding, set_padding

_CONVOLUTIONS = (BINARY_CONVOLUTION, "CONV_2D", "DEPTHWISE_CONV_2D")


def _explicit_margins(match: Match) -> list[tuple[int, int]] | None:
    """The padding by an operation of its own that the model puts before a convolution."""
    op = match.layer.op
    if op.type not in ("Conv2D", "DepthwiseConv2dNative") or op.get_attr("padding") != b"VALID":
        return None
    pad = match.layer.data.op
    if pad.type not in ("Pad", "PadV2"):
        return None
    found = tf.get_static_value(pad.inputs[1])
    return None if found is None else [tuple(side) for side in found.tolist()]


def restore_padding(graph: Graph, matches: list[Match]) -> Rewrite:
    """Puts back the paddings that the converter has merged into convolutions and changed.

    The converter turns a padding and a VALID convolution into a SAME convolution whenever
    the output has the same size. The rows it adds may be others: a padding of 1 on both sides
    and a 3x3 convolution of stride 2 become SAME, which for an even size adds nothing
    before and 1 after the image. Each output then sees the image moved by one pixel.

    The precondition: a convolution, known by its weights, is SAME, the model pads its input
    by an operation of its own, and the margins differ. The operator becomes VALID with a
    PAD operator before it. On bit-packed signs the padding is 0, which is +1, the only
    value the converter merges there.

    Args:
        graph: what the model was converted to.
        matches: the pairs of `match_layers`.

    Returns:
        The names of the repaired layers, in the order of execution.
    """
    repaired: dict[Node, str] = {}
    for match in matches:
        node, explicit = match.node, _explicit_margins(match)
        if node is None or explicit is None or node.type not in _CONVOLUTIONS:
            continue
        merged = tuple(match.layer.data.op.inputs[0].shape[1:3]) == node.data.shape[1:3]
        if padding(node) == SAME and merged and explicit != margins(node):
            repaired[node] = match.layer.name
            pad(graph, node, explicit)
    order = {node: position for position, node in enumerate(graph.nodes)}
    return Rewrite([repaired[node] for node in sorted(repaired, key=order.__getitem__)])


def round_after_zeros(graph: Graph) -> Rewrite:
    """Lets binary convolutions give float32 that pad with zeros and were to give int8.

    Larq Compute Engine corrects for zeros in float32 alone, and runs no such operator of int8.

    The precondition: an LceBconv2d of int8 results pads with zeros. A QUANTIZE after it makes
    the same int8.

    Args:
        graph: is changed.

    Returns:
        The names of the results.
    """
    done = Rewrite()
    for node in _padded_with_zeros(graph):
        value = node.output
        if value.dtype == np.int8:
            graph.add_node("QUANTIZE", [_before(value, "float32")], [value])
            done.changed.append(value.name)
    return done


def correct_zeros(graph: Graph) -> Rewrite:
    """Writes out what zeros around a small image change, where Larq Compute Engine errs.

    Its kernels pad with +1 and take away what that adds, which goes wrong where the window is
    larger than the image:

        sum of w x over the image = sum of w x with x = 1 around it - sum of w around it

    The precondition: an LceBconv2d of float32 without an activation pads with zeros, and its
    window is higher or wider than the image. It then pads with +1, and an ADD with a value for
    each pixel and channel follows.

    Args:
        graph: is changed.

    Returns:
        The names of the results.
    """
    done = Rewrite()
    for node in _padded_with_zeros(graph):
        value = node.output
        is_plain = value.dtype == np.float32 and not node.options["fused_activation_function"]
        if is_plain and any(axis.window > axis.size for axis in axes(node)):
            node.options = {**node.options, "pad_values": 1}
            around = Value.of(-_sums_around(node), f"{value.name}/around")
            graph.add_node("ADD", [_before(value, "padded"), around], [value])
            done.changed.append(value.name)
    return done


def _padded_with_zeros(graph: Graph) -> list[Node]:
    return [
        node
        for node in graph.nodes_of(BINARY_CONVOLUTION)
        if padding(node) == SAME and node.options["pad_values"] == 0
    ]


def _before(value: Value, what: str) -> Value:
    """A float32 value that a node gives from now on in the place of its output."""
    real = Value.new(value.shape, np.float32, f"{value.name}/{what}")
    node = real.producer = value.producer
    assert node is not None
    node.outputs = (real,)
    return real


def _sums_around(node: Node) -> np.ndarray:
    """What the taps outside of the image add where all is +1 there, float32 (1, H, W, O)."""
    filters, multiplier = (node.constant(position) for position in (1, 2))
    assert filters is not None
    assert multiplier is not None
    # Groups have full words.
    channels = min(node.options["channels_in"], filters.shape[-1] * WORD)
    taps = unpack_signs(filters, channels).sum(axis=-1)
    rows, columns = (axis.outside for axis in axes(node))
    outside = rows[:, None, :, None] | columns[None, :, None, :]
    sums = np.einsum("hwkl,okl->hwo", outside, taps)
    return (sums * multiplier)[None].astype(np.float32)


def pad(graph: Graph, node: Node, around: list[tuple[int, int]]) -> None:
    """Lets a convolution pad nothing, and pads its input with zeros before it."""
    data = node.data
    name = f"{data.name}/padded"
    shape = [n + sum(margin) for n, margin in zip(data.shape, around, strict=True)]
    padded = Value.new(shape, data.dtype, name)
    sides = Value.of(np.array(around, np.int32), f"{name}/margins")
    graph.add_node("PAD", [data, sides], [padded])
    node.set_input(0, padded)
    set_padding(node, VALID)
