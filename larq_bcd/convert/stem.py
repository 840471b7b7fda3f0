"""The first convolutions in int8, with the ranges of what they compute on given images.

They multiply bytes: weights with one scale for each output channel, int32 sums, and a result
that has the range of what was seen. TensorFlow Lite's own kernels do it; what follows reads
float32, which a DEQUANTIZE makes of it.

Pixels that go into the file as bytes go into the first convolution as they are. Its float32
sum over the normalized pixels, with `gain = 1 / std` and `offset = -mean / std`, is

    sum(w * (gain * pixel + offset)) + bias = sum((w * gain) * pixel) + (bias + sum(w * offset))

so that the normalization becomes a part of its weights and its bias. Not at the border: the
network pads with 0 after the normalization, which is the mean, and every channel has a mean of
its own where a convolution of int8 has one zero point for all. So two CONCATENATION put a
border of pixels of the means, rounded to a byte, around the image, and the convolution pads
nothing.

On 224x224 the network ReActNet-18, whose stem is a 7x7 convolution of 64 channels, takes 81
million instructions with a head of int8 and pixels as bytes, in place of 127, where a core has
dot products of bytes, as the A76, and 180 where it has none, as the A72.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from larq_bcd.convert.calibration import ranges
from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.passes.flow import per_channel
from larq_bcd.tflite import windows
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, SAME, VALID, builtin_code
from larq_bcd.tflite.quantization import (
    per_channel_int8,
    quantization,
    quantization_of_range,
    scales_of,
)

# The axis of the output channels among those of the weights.
_CHANNEL_AXIS = {"CONV_2D": 0, "DEPTHWISE_CONV_2D": 3}
# What may stand between an image and its first convolution, beside constants.
_PREPARING = ("ADD", "CAST", "DEQUANTIZE", "DIV", "MUL", "PAD", "PADV2", "SUB")
# The first versions of int8.
_INT8_VERSIONS = {"CONV_2D": 3, "DEPTHWISE_CONV_2D": 3, "MAX_POOL_2D": 2}
_HALF = 128  # between uint8 and int8
_LARGEST_BIAS = 2**30  # of int32, so that there is room for the products
# From sums to steps of the result; XNNPACK takes 2^-32 and above.
_LEAST_MULTIPLIER = 2.0**-30


@dataclass(frozen=True)
class _Pixels:
    """Bytes that a file normalizes: it computes `gain * scale * (byte - zero) + offset`.

    Attributes:
        image: the input of the file.
        scale, zero: of its bytes.
        gain, offset: float64 of shape (channels,).
    """

    image: Value
    scale: float
    zero: int
    gain: np.ndarray
    offset: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The bytes that would be 0, of any size, float64 of shape (channels,)."""
        return self.zero - self.offset / (self.gain * self.scale)


def quantize_stem(graph: Graph, given: Sequence[np.ndarray]) -> Rewrite:
    """Lets the convolutions of `stems` compute in int8, and a max pooling after the last one.

    Args:
        graph: is changed.
        given: one array for each input of the file, as it takes them, which the ranges are of.

    Returns:
        The names of what the convolutions write.

    Raises:
        ConversionError: if the file does not begin so, or a value is not finite.
    """
    every = stems(graph)
    results = [node.output for stem in every for node in stem]
    found = ranges(graph, [*results, *(stem[0].data for stem in every)], given)
    for stem in every:
        _quantize(graph, stem, found)
    graph.tidy()
    return Rewrite([value.name for value in results])


def stems(graph: Graph) -> list[list[Node]]:
    """The float convolutions that each image goes through first.

    Several do where each reads what the one before writes, with nothing but zeros around it.

    Raises:
        ConversionError: if there are none, or what they are part of is not binary.
    """
    if not graph.nodes_of(BINARY_CONVOLUTION):
        raise _refusal("no convolution of the file is binary, so that none is before them")
    images = [value for value in graph.inputs if len(value.shape) == 4]
    if not images:
        raise _refusal("no input is an image, of four dimensions")
    found = []
    for image in images:
        first, value = _following(graph, image), image
        while first is not None and first.type in _PREPARING and _reads_one(first):
            value = first.output
            first = _following(graph, value)
        if first is None:
            raise _refusal(f"{value.name!r} goes into no convolution, or not into one alone")
        if reason := _hindrance(first):
            raise _refusal(f"{value.name!r} goes first into a {first.type}, {reason}")
        stem = [first]
        while (after := _after(graph, stem[-1])) is not None:
            stem.append(after)
        found.append(stem)
    return found


def _refusal(reason: str) -> ConversionError:
    return ConversionError(f"stem='int8': {reason}: leave it out.")


def _following(graph: Graph, value: Value) -> Node | None:
    """The only operator that reads a value, as what it works on."""
    if not graph.is_private(value):
        return None
    ((node, _),) = value.uses
    return node


def _reads_one(node: Node) -> bool:
    return sum(value.constant is None for value in node.operands) == 1


def _hindrance(node: Node) -> str:
    """Why an operator is no convolution that can be quantized; empty if it is one."""
    if node.type not in _CHANNEL_AXIS:
        return "which is not a float convolution"
    weights = node.constant(1)
    if weights is None or weights.dtype != np.float32:
        return "whose weights are not a float32 constant"
    if node.type == "CONV_2D" and weights.shape[3] != node.data.channels:
        return "which has groups"
    if node.constant(2) is None:
        return "whose bias is not a constant"
    return ""


def _after(graph: Graph, node: Node) -> Node | None:
    """The convolution that comes next, with nothing but a padding between."""
    after = _following(graph, node.output)
    if after is not None and after.type == "PAD":
        after = _following(graph, after.output)
    return None if after is None or _hindrance(after) else after


def _quantize(graph: Graph, stem: list[Node], found: dict[Value, tuple[float, float]]) -> None:
    image, last = stem[0].data, stem[-1].output
    for node in stem:
        weights, bias = (value.values.astype(np.float64) for value in node.operands[1:])
        pixels = _pixels(node)
        if pixels is None:
            data = _integers(graph, node, found[image])
        else:
            weights, bias = _of_pixels(node, pixels, weights, bias)
            data = _bytes(graph, node, pixels)
        node.set_input(0, data)
        packed = quantization_of_range(*found[node.output])
        _set_weights(node, weights, bias, float(packed.scale[0]))
        _write_int8(graph, node, packed)
    _pool(graph, last)


def _rows(node: Node, weights: np.ndarray) -> np.ndarray:
    """Weights as (output channels, everything else)."""
    axis = _CHANNEL_AXIS[node.type]
    return np.moveaxis(weights, axis, 0).reshape(weights.shape[axis], -1)


def _unpadded(node: Node) -> tuple[Value, Node | None]:
    """What a convolution reads without the zeros of a PAD around it, and that PAD."""
    pad = node.data.producer
    margins = None if pad is None or pad.type != "PAD" else pad.constant(1)
    if pad is None or margins is None or margins[[0, 3]].any():
        return node.data, None
    return pad.data, pad


def _pixels(node: Node) -> _Pixels | None:
    """The bytes that a convolution works on, normalized; None if it works on anything else."""
    value, _ = _unpadded(node)
    value, offset = _constant_of(value, "ADD", 0.0)
    value, gain = _constant_of(value, "MUL", 1.0)
    step = value.producer
    if step is None or step.type != "DEQUANTIZE" or step.data.producer is not None:
        return None
    image = step.data
    (scale,), (zero,) = scales_of(image), image.quantization.zeroPoint
    pixels = _Pixels(image, float(scale), int(zero), gain, offset)
    limits = np.iinfo(np.dtype(image.dtype))
    nearest = np.clip(np.rint(pixels.means), limits.min, limits.max)
    return pixels if np.all(np.abs(nearest - pixels.means) <= 0.5) else None


def _constant_of(value: Value, kind: str, neutral: float) -> tuple[Value, np.ndarray]:
    """What an operator with a constant for each channel works on, and the constant.

    Without such an operator it is the value, and a constant that changes nothing.
    """
    step, channels = value.producer, value.channels
    known = None
    if step is not None and step.type == kind and not step.is_activated:
        known = per_channel(step.input(1), channels)
    if step is None or known is None:
        return value, np.full(channels, neutral)
    return step.data, known.astype(np.float64)


def _of_pixels(
    node: Node, pixels: _Pixels, weights: np.ndarray, bias: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Weights and bias of a convolution that normalizes the bytes it reads."""
    outputs_of_each = weights.shape[3] // len(pixels.gain)  # of a depthwise convolution
    gain, offset = (np.repeat(x, outputs_of_each) for x in (pixels.gain, pixels.offset))
    return weights * gain, bias + _rows(node, weights * offset).sum(axis=1)


def _bytes(graph: Graph, node: Node, pixels: _Pixels) -> Value:
    """Bytes in int8, with pixels of the mean where a convolution is to see zeros."""
    data, means = pixels.image, np.rint(pixels.means)
    if data.dtype == np.uint8:
        packed = quantization(np.array([pixels.scale], np.float32), pixels.zero - _HALF)
        data = _new(data.shape, f"{data.name}/int8", packed)
        graph.add_node("QUANTIZE", [pixels.image], [data])
        means = means - _HALF
    _, pad = _unpadded(node)
    margins = _margins(pad)
    if node.options.padding == SAME:
        margins = margins + windows.margins(node)
        node.options.padding = VALID
    return _bordered(graph, data, margins, means)


def _integers(graph: Graph, node: Node, limits: tuple[float, float]) -> Value:
    """What a convolution reads in int8, with the zeros of a PAD around it."""
    value, pad = _unpadded(node)
    before = value.producer
    if before is not None and before.type == "DEQUANTIZE":  # of the convolution before
        data = before.data
    else:
        data = _new(value.shape, f"{value.name}/int8", quantization_of_range(*limits))
        graph.add_node("QUANTIZE", [value], [data])
    return _bordered(graph, data, _margins(pad), data.quantization.zeroPoint)


def _margins(pad: Node | None) -> np.ndarray:
    """How much stands before and after each axis: int array of shape (4, 2)."""
    margins = None if pad is None else pad.constant(1)
    return np.zeros((4, 2), int) if margins is None else margins


def _bordered(graph: Graph, data: Value, margins: np.ndarray, border: np.ndarray) -> Value:
    """An image of int8 with a border of the same integers all around, one for each channel.

    Joined with constants it is copied, where a PADV2 of int8 goes value by value, and a PAD has
    one integer for all channels.
    """
    packed = data.quantization
    for axis, sides in enumerate(margins.tolist()):
        if not any(sides):
            continue
        borders = {}
        for margin in filter(None, sides):
            shape = (*data.shape[:axis], margin, *data.shape[axis + 1 :])
            values = np.broadcast_to(border, shape).astype(np.int8)
            borders[margin] = Value.of(values, f"{data.name}/border", packed)
        before, after = map(borders.get, sides)
        parts = [value for value in (before, data, after) if value is not None]
        shape = (*data.shape[:axis], data.shape[axis] + sum(sides), *data.shape[axis + 1 :])
        data = _new(shape, f"{data.name}/bordered", packed)
        graph.add_node("CONCATENATION", parts, [data], version=2, axis=axis)
    return data


def _new(shape: Sequence[int], name: str, packed: Any) -> Value:
    value = Value.new(shape, np.int8, name)
    value.quantization = packed
    return value


def _set_weights(node: Node, weights: np.ndarray, bias: np.ndarray, step: float) -> None:
    """Gives a convolution of int8 data its weights in int8, and its bias in int32.

    Args:
        node: the convolution, whose data are set.
        weights, bias: in float64.
        step: the scale of its results.
    """
    axis, (scale,) = _CHANNEL_AXIS[node.type], scales_of(node.data)
    least = np.maximum(np.abs(bias) / _LARGEST_BIAS, step * _LEAST_MULTIPLIER) / scale
    values, scales = per_channel_int8(_rows(node, weights), least)
    moved = np.moveaxis(weights, axis, 0).shape
    packed = np.moveaxis(values.reshape(moved), 0, axis)
    name = node.operands[1].name
    node.set_input(1, Value.of(packed, f"{name}/int8", quantization(scales, axis=axis)))
    sums = (scale * scales).astype(np.float32)
    rounded = np.rint(bias / (scale * scales)).astype(np.int32)
    node.set_input(2, Value.of(rounded, f"{name}/bias", quantization(sums)))


def _write_int8(graph: Graph, node: Node, packed: Any) -> None:
    """Lets an operator write int8, of which a DEQUANTIZE makes what it wrote."""
    real = node.output
    integers = _new(real.shape, f"{real.name}/int8", packed)
    node.outputs, integers.producer = (integers,), node
    node.code = builtin_code(node.type, _INT8_VERSIONS[node.type])
    graph.add_node("DEQUANTIZE", [integers], [real], version=2)


def _pool(graph: Graph, real: Value) -> None:
    """Lets the max pooling of a stem's results, with a border around them, be of int8.

    The largest integer stands for the largest value.
    """
    after, pad = _following(graph, real), None
    if after is not None and after.type in ("PAD", "PADV2"):
        pad, after = after, _following(graph, after.output)
    if after is None or after.type != "MAX_POOL_2D":
        return
    assert real.producer is not None
    data = real.producer.data
    (scale,), (zero,) = scales_of(data), data.quantization.zeroPoint
    value = None if pad is None else pad.constant(2)
    if value is None:  # of a PAD
        value = np.zeros(())
    border = np.clip(np.rint(value / scale) + zero, -_HALF, _HALF - 1)
    after.set_input(0, _bordered(graph, data, _margins(pad), border))
    _write_int8(graph, after, data.quantization)
