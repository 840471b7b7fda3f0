"""Where the windows of a convolution stand on an image that SAME padding keeps the size of."""

from dataclasses import dataclass

import numpy as np

from larq_bcd.tflite.graph import Node
from larq_bcd.tflite.operators import BINARY_CONVOLUTION


@dataclass(frozen=True)
class Axis:
    """The rows, or the columns, of an image and of a convolution of padding SAME.

    Attributes:
        size: of the image.
        kernel, stride, dilation: of the convolution.
    """

    size: int
    kernel: int
    stride: int
    dilation: int

    @property
    def outputs(self) -> int:
        """The size of the result."""
        return -(-self.size // self.stride)

    @property
    def margins(self) -> tuple[int, int]:
        """What is padded before and after the image."""
        total = max(0, (self.outputs - 1) * self.stride + self.window - self.size)
        return total // 2, total - total // 2

    @property
    def window(self) -> int:
        """The size of what one output sees."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def outside(self) -> np.ndarray:
        """Which taps of the kernel stand outside of the image: bool (outputs, kernel)."""
        first = np.arange(self.outputs)[:, None] * self.stride - self.margins[0]
        position = first + np.arange(self.kernel) * self.dilation
        return (position < 0) | (position >= self.size)


def padding(node: Node) -> int:
    """The padding of a convolution, `SAME` or `VALID`."""
    o = node.options
    return o["padding"] if node.type == BINARY_CONVOLUTION else o.padding


def set_padding(node: Node, padding: int) -> None:
    """Gives a convolution another padding."""
    if node.type == BINARY_CONVOLUTION:
        node.options = {**node.options, "padding": padding}
    else:
        node.options.padding = padding


def axes(node: Node) -> tuple[Axis, Axis]:
    """The rows and columns of a binary, a float or a depthwise convolution."""
    weights, o = node.inputs[1], node.options
    assert weights is not None
    if node.type == BINARY_CONVOLUTION:
        strides = o["stride_height"], o["stride_width"]
        dilations = o["dilation_height_factor"], o["dilation_width_factor"]
    else:
        strides, dilations = (o.strideH, o.strideW), (o.dilationHFactor, o.dilationWFactor)
    sizes = node.data.shape[1:3], weights.shape[1:3], strides, dilations
    rows, columns = (Axis(*axis) for axis in zip(*sizes, strict=True))
    return rows, columns


def margins(node: Node) -> list[tuple[int, int]]:
    """What SAME padding adds before and after each axis of a convolution's input."""
    return [(0, 0), *(axis.margins for axis in axes(node)), (0, 0)]
