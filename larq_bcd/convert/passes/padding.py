"""Paddings that the converter gets wrong."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.match import BINARY_OPERATOR, Match
from larq_bcd.tflite.editor import Editor, Node
from larq_bcd.tflite.flatbuffer import Flatbuffer, Operator

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


def _convolution(operator: Operator, node: Node) -> _Convolution:
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
    o = node.options
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
    editor = Editor(flatbuffer)
    nodes = list(editor.nodes)
    repaired: dict[int, str] = {}
    for match in matches:
        operator = match.operator
        margins = _explicit_margins(match)
        if operator is None or margins is None or operator.type not in _CONVOLUTIONS:
            continue
        node = nodes[operator.index]
        convolution = _convolution(operator, node)
        _, height, width, _ = operator.data.shape
        merged = tuple(match.layer.data.op.inputs[0].shape[1:3]) == (height, width)
        if convolution.padding != _SAME or not merged:
            continue
        if margins != convolution.margins(height, width):
            repaired[operator.index] = match.layer.name
            _pad_explicitly(editor, node, margins)
    if not repaired:
        return flatbuffer, []
    return editor.finish(), [name for _, name in sorted(repaired.items())]


def _pad_explicitly(editor: Editor, node: Node, margins: list[list[int]]) -> None:
    data = node.inputs[0]
    name = f"{editor.name(data)}/padded"
    shape = [n + sum(margin) for n, margin in zip(editor.shape(data), margins, strict=True)]
    padded = editor.add_tensor(shape, editor.dtype(data), name)
    constant = editor.add_constant(np.array(margins, np.int32), f"{name}/margins")
    editor.add_node("PAD", [data, constant], [padded], schema.PadOptionsT())
    editor.set_input(node, 0, padded)
    if node.type == BINARY_OPERATOR:
        node.options = {**node.options, "padding": int(_VALID)}
    else:
        node.options.padding = _VALID
