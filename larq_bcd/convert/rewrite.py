"""Passes over the flatbuffer: what the converter gets wrong."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from flatbuffers import flexbuffers
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.flatbuffer import Flatbuffer, Operator, pack
from larq_bcd.convert.match import BINARY_OPERATOR, Match

# LceBconv2d and the built-in operators number their paddings alike.
_SAME, _VALID = schema.Padding.SAME, schema.Padding.VALID
_CONVOLUTIONS = (BINARY_OPERATOR, "CONV_2D", "DEPTHWISE_CONV_2D")


@dataclass(frozen=True)
class _Convolution:
    padding: int
    strides: tuple[int, int]
    dilations: tuple[int, int]
    kernel: tuple[int, int]

    def margins(self, height: int, width: int) -> list[list[int]]:
        """What SAME padding adds before and after the rows and columns of an image."""
        margins = [[0, 0]]
        sizes = zip((height, width), self.strides, self.dilations, self.kernel, strict=True)
        for size, stride, dilation, kernel in sizes:
            total = max(
                0, (-(-size // stride) - 1) * stride + (kernel - 1) * dilation + 1 - size
            )
            margins.append([total // 2, total - total // 2])
        return [*margins, [0, 0]]


def _convolution(operator: Operator, packed) -> _Convolution:
    weights = operator.inputs[1]
    assert weights is not None
    kernel = weights.shape[1], weights.shape[2]
    if operator.type == BINARY_OPERATOR:
        o = operator.options
        return _Convolution(
            o["padding"],
            (o["stride_height"], o["stride_width"]),
            (o["dilation_height_factor"], o["dilation_width_factor"]),
            kernel,
        )
    o = packed.builtinOptions
    return _Convolution(
        o.padding, (o.strideH, o.strideW), (o.dilationHFactor, o.dilationWFactor), kernel
    )


def _explicit_margins(match: Match) -> list[list[int]] | None:
    """The padding by an operation of its own that the model puts before a convolution."""
    op = match.layer.op
    if op.type not in ("Conv2D", "DepthwiseConv2dNative") or op.get_attr("padding") != b"VALID":
        return None
    pad = match.layer.data.op
    if pad.type not in ("Pad", "PadV2"):
        return None
    margins = tf.get_static_value(pad.inputs[1])
    return None if margins is None else margins.tolist()


def restore_padding(
    flatbuffer: Flatbuffer, matches: list[Match]
) -> tuple[Flatbuffer, list[str]]:
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
        flatbuffer: what the model was converted to.
        matches: the pairs of `match_layers`.

    Returns:
        The repaired flatbuffer and the names of the repaired layers; the same flatbuffer and
        an empty list where the precondition never holds.
    """
    model = flatbuffer.unpacked()
    graph = model.subgraphs[0]
    found: dict[int, tuple[list[list[int]], str]] = {}
    for match in matches:
        operator = match.operator
        margins = _explicit_margins(match)
        if operator is None or margins is None or operator.type not in _CONVOLUTIONS:
            continue
        convolution = _convolution(operator, graph.operators[operator.index])
        _, height, width, _ = operator.data.shape
        merged = tuple(match.layer.data.op.inputs[0].shape[1:3]) == (height, width)
        if convolution.padding != _SAME or not merged:
            continue
        if margins != convolution.margins(height, width):
            found[operator.index] = margins, match.layer.name
    if not found:
        return flatbuffer, []

    graph.operators = list(graph.operators)
    code = _add_pad_code(model)
    # From the last to the first: the positions of those before stay as they are.
    for index, (margins, _) in sorted(found.items(), reverse=True):
        operator = flatbuffer.operators[index]
        packed = graph.operators[index]
        padded = _add_padded_tensor(model, operator, margins)
        constant = _add_constant(model, np.array(margins, np.int32), f"{index}/margins")
        pad = schema.OperatorT()
        pad.opcodeIndex = code
        pad.inputs = [operator.data.index, constant]
        pad.outputs = [padded]
        pad.builtinOptionsType = schema.BuiltinOptions.PadOptions
        pad.builtinOptions = schema.PadOptionsT()
        packed.inputs = [padded, *packed.inputs[1:]]
        if operator.type == BINARY_OPERATOR:
            options = flexbuffers.Dumps({**operator.options, "padding": int(_VALID)})
            packed.customOptions = list(options)
        else:
            packed.builtinOptions.padding = _VALID
        graph.operators.insert(index, pad)
    return Flatbuffer(pack(model)), [name for _, (_, name) in sorted(found.items())]


def _add_pad_code(model) -> int:
    code = schema.OperatorCodeT()
    code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.PAD
    code.version = 1
    model.operatorCodes = [*model.operatorCodes, code]
    return len(model.operatorCodes) - 1


def _add_tensor(model, name: str, shape, kind: int, buffer: int) -> int:
    tensor = schema.TensorT()
    tensor.name = name.encode()
    tensor.shape = list(shape)
    tensor.type = kind
    tensor.buffer = buffer
    tensor.hasRank = True
    graph = model.subgraphs[0]
    graph.tensors = [*graph.tensors, tensor]
    return len(graph.tensors) - 1


def _add_padded_tensor(model, operator: Operator, margins: list[list[int]]) -> int:
    data = operator.data
    shape = [size + sum(margin) for size, margin in zip(data.shape, margins, strict=True)]
    kind = model.subgraphs[0].tensors[data.index].type
    # Buffer 0 is the empty one, by the format's convention.
    return _add_tensor(model, f"{data.name}/padded", shape, kind, buffer=0)


def _add_constant(model, values: np.ndarray, name: str) -> int:
    buffer = schema.BufferT()
    buffer.data = list(values.tobytes())
    model.buffers = [*model.buffers, buffer]
    kind = schema.TensorType.INT32
    return _add_tensor(model, name, values.shape, kind, len(model.buffers) - 1)
