"""A file without custom operators, for where none can be loaded.

A sign becomes +1.0 or -1.0 in float32; a binary convolution a CONV_2D of int8 weights of
-1 and +1, which a DEQUANTIZE widens when the file is loaded. Its sums are integers below
2^24, which float32 holds exactly. With the number of products K as its bias and the signs of
the weights turned, it gives twice the number of products that are -1, `2n = K - sum`, of
which Larq Compute Engine's kernels compute

    y = 2n * (-multiplier) + (bias + K * multiplier)

with the bracket rounded once. MUL and ADD do the same, bit for bit. An image that is padded
with 0 after the sign the engine pads with +1, and corrects the result afterwards by
`-multiplier * s`, where s is the sum of the weights that stand outside of the image. It is the
same for all windows that reach over the border alike, so a GATHER of one row for each way of
doing so gives the corrections of all positions, which another ADD adds: again bit for bit.

Why float32 sums and not those of an int8 convolution: on a 3x3 convolution of 256 channels at
14x14, where float32 takes 1.7 ms on one x86-64 core,

- int8 activations are rounded to int8 sums: not the same function;
- int16 activations and int8 weights give exact sums, in 20.7 ms: no kernel is made for them;
- float32 activations with int8 weights (a dynamic range) take 0.4 to 1.4 ms, but each runtime
  rounds the activations its own way: exact with TensorFlow Lite's kernels, wrong by 0.6 with
  XNNPACK's, by 216 with Larq Compute Engine's build of them.

The file has a byte for each weight in all of these, and memory four once it is loaded.
"""

from dataclasses import dataclass

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.errors import ConversionError
from larq_bcd.tflite.editor import ABSENT, Editor, Node
from larq_bcd.tflite.flatbuffer import Flatbuffer, unpack_signs

# Passes that move packed words have nothing to move here.
PASSES_OF_WORDS = ("movement", "padding")
_ZERO, _PLUS, _MINUS = (np.array(value, np.float32) for value in (0, 1, -1))
# Smallest and largest sum that an activation of the convolution itself lets through.
_BOUNDS = {0: (None, None), 1: (0, None), 2: (-1, 1), 3: (0, 6)}
_VALID = schema.Padding.VALID


@dataclass(frozen=True)
class _Axis:
    """The rows, or the columns, of a convolution that pads so that the image keeps its size.

    Attributes:
        size: of the image.
        kernel, stride, dilation: of the convolution.
    """

    size: int
    kernel: int
    stride: int
    dilation: int

    @property
    def margins(self) -> tuple[int, int]:
        """What is padded before and after the image."""
        window = (self.kernel - 1) * self.dilation + 1
        total = max(0, (self._outputs - 1) * self.stride + window - self.size)
        return total // 2, total - total // 2

    @property
    def outside(self) -> np.ndarray:
        """Which taps of the kernel stand outside of the image: bool (outputs, kernel)."""
        first = np.arange(self._outputs)[:, None] * self.stride - self.margins[0]
        place = first + np.arange(self.kernel) * self.dilation
        return (place < 0) | (place >= self.size)

    @property
    def _outputs(self) -> int:
        return -(-self.size // self.stride)


class _Unpacker:
    """Replaces the custom operators of a flatbuffer, whose packed signs become float32."""

    def __init__(self, flatbuffer: Flatbuffer):
        self.editor = Editor(flatbuffer)
        self.channels: dict[int, int] = {}  # of a tensor of packed signs
        nodes = list(self.editor.nodes)
        self._require_unmoved(nodes)
        # Packed tensors are written before they are read.
        for node in nodes:
            if self._replaces(node):
                self.editor.remove(node)
                getattr(self, f"_{node.type}")(node)

    def _replaces(self, node: Node) -> bool:
        return hasattr(self, f"_{node.type}")

    def _require_unmoved(self, nodes: list[Node]) -> None:
        packed = {
            node.output
            for node in nodes
            if self._replaces(node) and self.editor.dtype(node.output) == np.int32
        }
        for node in nodes:
            if packed.intersection(node.inputs) and not self._replaces(node):
                raise ConversionError(
                    f"ops='builtin': a {node.type} moves packed signs; leave out the passes "
                    f"{' and '.join(PASSES_OF_WORDS)}."
                )

    def _constant(self, values: np.ndarray, name: str) -> int:
        return self.editor.add_constant(values, name)

    def _new(self, like: int, suffix: str, dtype=np.float32) -> int:
        name = f"{self.editor.name(like)}/{suffix}"
        return self.editor.add_tensor(self.editor.shape(like), dtype, name)

    def _unpack(self, tensor: int, channels: int) -> None:
        """Lets a tensor of packed signs hold them as float32."""
        self.channels[tensor] = channels
        packed = self.editor.tensors[tensor]
        packed.type = schema.TensorType.FLOAT32
        packed.shape = [*self.editor.shape(tensor)[:-1], channels]

    def _sign(self, values: int, threshold: np.ndarray, kind: str, output: int) -> None:
        """+1 where a comparison of values with a threshold holds, else -1."""
        editor = self.editor
        holds = self._new(output, "comparison", np.bool_)
        options = getattr(schema, f"{kind.title().replace('_', '')}OptionsT")()
        limit = self._constant(threshold, "threshold")
        editor.add_node(kind, [values, limit], [holds], options)
        choices = [self._constant(_PLUS, "plus"), self._constant(_MINUS, "minus")]
        editor.add_node("SELECT_V2", [holds, *choices], [output], schema.SelectV2OptionsT())

    def _LceQuantize(self, node: Node) -> None:
        values = node.inputs[0]
        if self.editor.dtype(values) != np.float32:
            raise ConversionError("ops='builtin': only signs of float32 can be replaced.")
        self._unpack(node.output, self.editor.shape(values)[-1])
        self._sign(values, _ZERO, "GREATER_EQUAL", node.output)

    def _LceDequantize(self, node: Node) -> None:
        if self.editor.dtype(node.output) != np.float32:
            raise ConversionError("ops='builtin': only signs of float32 can be replaced.")
        self.editor.redirect(node.output, node.inputs[0])

    def _LceBMaxPool2d(self, node: Node) -> None:
        self._unpack(node.output, self.channels[node.inputs[0]])
        options = schema.Pool2DOptionsT()
        options.padding = node.options["padding"]
        options.strideH, options.strideW = (
            node.options["stride_height"],
            node.options["stride_width"],
        )
        options.filterHeight = node.options["filter_height"]
        options.filterWidth = node.options["filter_width"]
        self.editor.add_node("MAX_POOL_2D", node.inputs, node.outputs, options, version=1)

    def _weights(self, node: Node, channels: int) -> int:
        packed = self.editor.values(node.inputs[1])
        signs = -unpack_signs(packed, channels).astype(np.int8)
        quantization = schema.QuantizationParametersT()
        quantization.scale = np.ones(1, np.float32)
        quantization.zeroPoint = np.zeros(1, np.int64)
        name = self.editor.name(node.inputs[1])
        stored = self.editor.add_constant(signs, name, quantization)
        wide = self.editor.add_tensor(signs.shape, np.float32, f"{name}/float32")
        options = schema.DequantizeOptionsT()
        self.editor.add_node("DEQUANTIZE", [stored], [wide], options, version=2)
        return wide

    def _axes(self, node: Node) -> list[_Axis]:
        sizes, kernel = self.editor.shape(node.inputs[0]), self.editor.shape(node.inputs[1])
        return [
            _Axis(
                sizes[axis],
                kernel[axis],
                node.options[f"stride_{name}"],
                node.options[f"dilation_{name}_factor"],
            )
            for axis, name in ((1, "height"), (2, "width"))
        ]

    def _padded(self, node: Node) -> int:
        """The input with the +1 around it that the convolution would pad."""
        data = node.inputs[0]
        shape = self.editor.shape(data)
        margins = [(0, 0), *(axis.margins for axis in self._axes(node)), (0, 0)]
        sides = [n + sum(margin) for n, margin in zip(shape, margins, strict=True)]
        padded = self.editor.add_tensor(sides, np.float32, f"{self.editor.name(data)}/padded")
        around = self._constant(np.array(margins, np.int32), "margins")
        one = self._constant(_PLUS.reshape(1), "one")
        options = schema.PadV2OptionsT()
        self.editor.add_node("PADV2", [data, around, one], [padded], options)
        return padded

    def _correct(self, node: Node, values: int, multiplier: np.ndarray) -> None:
        """What the engine makes of the results of a border of +1 where it is to be 0."""
        editor = self.editor
        signs = unpack_signs(editor.values(node.inputs[1]), node.options["channels_in"])
        sums = signs.sum(axis=-1)  # of each output channel, row and column: integers
        (rows, row_of), (columns, column_of) = (
            np.unique(axis.outside, axis=0, return_inverse=True) for axis in self._axes(node)
        )
        outside = rows[:, None, :, None] | columns[None, :, None, :]
        table = np.einsum("oyx,rcyx->rco", sums, outside.astype(np.float32))
        # Multiplied as the engine does. Where nothing is outside it adds nothing: -0.
        touched = outside.any(axis=(2, 3))[..., None]
        table = np.where(touched, -multiplier * table, np.float32(-0.0)).astype(np.float32)
        ways = row_of.reshape(-1, 1) * len(columns) + column_of.reshape(1, -1)
        kinds = self._constant(table.reshape(-1, len(multiplier)), "corrections")
        place = self._constant(ways[None].astype(np.int32), "ways over the border")
        correction = self._new(values, "correction")
        options = schema.GatherOptionsT()
        editor.add_node("GATHER", [kinds, place], [correction], options)
        options = schema.AddOptionsT()
        editor.add_node("ADD", [values, correction], [node.output], options)

    def _LceBconv2d(self, node: Node) -> None:
        editor, o = self.editor, node.options
        channels = o["channels_in"]
        if channels != self.channels[node.inputs[0]]:
            raise ConversionError("ops='builtin': convolutions of groups cannot be replaced.")
        weights = self._weights(node, channels)
        kernel = editor.shape(weights)
        options = schema.Conv2DOptionsT()
        options.padding = o["padding"]
        options.strideH, options.strideW = o["stride_height"], o["stride_width"]
        options.dilationHFactor = o["dilation_height_factor"]
        options.dilationWFactor = o["dilation_width_factor"]
        data = node.inputs[0]
        if o["padding"] != _VALID:
            data = self._padded(node)
            options.padding = _VALID
        if editor.dtype(node.output) == np.int32:
            self._unpack(node.output, kernel[0])
        products = int(np.prod(kernel[1:]))
        full = self._constant(np.full(kernel[0], products, np.float32), "products")
        doubled = self._new(node.output, "doubled")
        editor.add_node("CONV_2D", [data, weights, full], [doubled], options)
        threshold = node.inputs[4] if len(node.inputs) > 4 else ABSENT
        if threshold != ABSENT:
            # A bit is set, for -1, where more than `threshold` of the products are -1.
            most = (2 * editor.values(threshold)).astype(np.float32)
            self._sign(doubled, most, "LESS_EQUAL", node.output)
            return
        doubled = self._bounded(doubled, products, o["fused_activation_function"])
        multiplier, bias = (editor.values(tensor) for tensor in node.inputs[2:4])
        offset = bias.astype(np.float64) + products * multiplier.astype(np.float64)
        scaled = self._new(node.output, "scaled")
        gain = self._constant(-multiplier, "gain")
        shift = self._constant(offset.astype(np.float32), "offset")
        editor.add_node("MUL", [doubled, gain], [scaled], schema.MulOptionsT())
        axes = self._axes(node) if o["padding"] != _VALID else []
        pads_zeros = o["pad_values"] == 0 and any(axis.outside.any() for axis in axes)
        shifted = self._new(node.output, "shifted") if pads_zeros else node.output
        editor.add_node("ADD", [scaled, shift], [shifted], schema.AddOptionsT())
        if pads_zeros:
            self._correct(node, shifted, multiplier)

    def _bounded(self, doubled: int, products: int, activation: int) -> int:
        """The activation function of a binary convolution, which comes before its gain."""
        least, most = _BOUNDS[activation]
        for kind, bound in (("MINIMUM", least), ("MAXIMUM", most)):
            if bound is None:
                continue
            limit = self._constant(np.array(products - bound, np.float32), "bound")
            after = self._new(doubled, kind.lower())
            options = schema.MaximumMinimumOptionsT()
            self.editor.add_node(kind, [doubled, limit], [after], options)
            doubled = after
        return doubled


def with_builtin_operators(flatbuffer: Flatbuffer) -> Flatbuffer:
    """Replaces the operators of Larq Compute Engine by those of TensorFlow Lite.

    The weights take a byte each instead of a bit.

    Args:
        flatbuffer: to which the passes of packed words have not been applied.

    Raises:
        ConversionError: for a file that cannot be replaced.
    """
    return _Unpacker(flatbuffer).editor.finish()


__all__ = ["PASSES_OF_WORDS", "with_builtin_operators"]
