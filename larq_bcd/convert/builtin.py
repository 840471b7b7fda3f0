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

import numpy as np

from larq_bcd.convert.errors import ConversionError
from larq_bcd.convert.passes.ranks import lower_ranks
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import (
    BINARY_CONVOLUTION,
    BINARY_MAX_POOL,
    DEQUANTIZE,
    LCE_OPERATORS,
    QUANTIZE,
    VALID,
)
from larq_bcd.tflite.quantization import quantization
from larq_bcd.tflite.signs import unpack_signs
from larq_bcd.tflite.windows import axes, margins

# Passes that move packed words have nothing to move here.
PASSES_OF_WORDS = ("movement", "padding")
_ZERO, _PLUS, _MINUS = (np.array(value, np.float32) for value in (0, 1, -1))
# Smallest and largest sum that an activation of the convolution itself lets through.
_BOUNDS = {0: (None, None), 1: (0, None), 2: (-1, 1), 3: (0, 6)}


class _Unpacker:
    """Replaces the custom operators of a graph, whose packed signs become float32."""

    def __init__(self, graph: Graph):
        self.graph = graph
        self.channels: dict[Value, int] = {}  # of packed signs
        replace = {
            QUANTIZE: self._quantize,
            DEQUANTIZE: self._dequantize,
            BINARY_MAX_POOL: self._max_pool,
            BINARY_CONVOLUTION: self._convolution,
        }
        nodes = graph.nodes_of(*replace)
        self._require_unmoved(nodes)
        # Packed values are written before they are read.
        for node in nodes:
            replace[node.type](node)
            graph.remove(node)

    def _require_unmoved(self, nodes: list[Node]) -> None:
        for packed in (node.output for node in nodes if node.output.dtype == np.int32):
            for reader, _ in packed.uses:
                if reader.type not in LCE_OPERATORS:
                    raise ConversionError(
                        f"ops='builtin': a {reader.type} moves packed signs; leave out the "
                        f"passes {' and '.join(PASSES_OF_WORDS)}."
                    )

    def _add(self, kind: str, inputs: list[Value], suffix: str, dtype=np.float32) -> Value:
        """What an operator computes that keeps the shape of its first input."""
        after = Value.new(inputs[0].shape, dtype, f"{inputs[0].name}/{suffix}")
        self.graph.add_node(kind, inputs, [after])
        return after

    def _unpack(self, value: Value, channels: int) -> None:
        """Lets a value of packed signs hold them as float32."""
        self.channels[value] = channels
        value.dtype, value.shape = np.dtype(np.float32), (*value.shape[:-1], channels)

    def _sign(self, values: Value, threshold: np.ndarray, kind: str, output: Value) -> None:
        """+1 where a comparison of values with a threshold holds, else -1."""
        limit = Value.of(threshold, "threshold")
        holds = self._add(kind, [values, limit], "comparison", np.bool_)
        choices = [Value.of(_PLUS, "plus"), Value.of(_MINUS, "minus")]
        self.graph.add_node("SELECT_V2", [holds, *choices], [output])

    def _quantize(self, node: Node) -> None:
        if node.data.dtype != np.float32:
            raise ConversionError("ops='builtin': only signs of float32 can be replaced.")
        self._unpack(node.output, node.data.channels)
        self._sign(node.data, _ZERO, "GREATER_EQUAL", node.output)

    def _dequantize(self, node: Node) -> None:
        if node.output.dtype != np.float32:
            raise ConversionError("ops='builtin': only signs of float32 can be replaced.")
        self.graph.replace(node.output, node.data)

    def _max_pool(self, node: Node) -> None:
        self._unpack(node.output, self.channels[node.data])
        o = node.options
        self.graph.add_node(
            "MAX_POOL_2D",
            node.operands,
            node.outputs,
            padding=o["padding"],
            strideH=o["stride_height"],
            strideW=o["stride_width"],
            filterHeight=o["filter_height"],
            filterWidth=o["filter_width"],
        )

    def _weights(self, node: Node, channels: int) -> Value:
        packed = node.operands[1]
        signs = -unpack_signs(packed.values, channels).astype(np.int8)
        ones = quantization(np.ones(1, np.float32))
        stored = Value.of(signs, packed.name, ones)
        wide = Value.new(signs.shape, np.float32, f"{packed.name}/float32")
        self.graph.add_node("DEQUANTIZE", [stored], [wide], version=2)
        return wide

    def _padded(self, node: Node) -> Value:
        """The input with the +1 around it that the convolution would pad."""
        data, around = node.data, margins(node)
        shape = [n + sum(margin) for n, margin in zip(data.shape, around, strict=True)]
        padded = Value.new(shape, np.float32, f"{data.name}/padded")
        constants = (
            Value.of(np.array(around, np.int32), "margins"),
            Value.of(_PLUS[None], "one"),
        )
        self.graph.add_node("PADV2", [data, *constants], [padded])
        return padded

    def _correct(self, node: Node, values: Value, multiplier: np.ndarray) -> None:
        """What the engine makes of the results of a border of +1 where it is to be 0."""
        signs = unpack_signs(node.operands[1].values, node.options["channels_in"])
        sums = signs.sum(axis=-1)  # of each output channel, row and column: integers
        (rows, row_of), (columns, column_of) = (
            np.unique(axis.outside, axis=0, return_inverse=True) for axis in axes(node)
        )
        outside = rows[:, None, :, None] | columns[None, :, None, :]
        table = np.einsum("oyx,rcyx->rco", sums, outside.astype(np.float32))
        # Multiplied as the engine does. Where nothing is outside it adds nothing: -0.
        touched = outside.any(axis=(2, 3))[..., None]
        table = np.where(touched, -multiplier * table, np.float32(-0.0)).astype(np.float32)
        ways = row_of.reshape(-1, 1) * len(columns) + column_of.reshape(1, -1)
        kinds = Value.of(table.reshape(-1, len(multiplier)), "corrections")
        position = Value.of(ways[None].astype(np.int32), "ways over the border")
        correction = Value.new(values.shape, np.float32, f"{values.name}/correction")
        self.graph.add_node("GATHER", [kinds, position], [correction])
        self.graph.add_node("ADD", [values, correction], node.outputs)

    def _convolution(self, node: Node) -> None:
        o, channels = node.options, node.options["channels_in"]
        if channels != self.channels[node.data]:
            raise ConversionError("ops='builtin': convolutions of groups cannot be replaced.")
        weights = self._weights(node, channels)
        filters, products = weights.shape[0], int(np.prod(weights.shape[1:]))
        data = node.data if o["padding"] == VALID else self._padded(node)
        threshold = node.constant(4)
        if threshold is not None:
            self._unpack(node.output, filters)
        full = Value.of(np.full(filters, products, np.float32), "products")
        name = f"{node.output.name}/doubled"
        doubled = Value.new(node.output.shape, np.float32, name)
        self.graph.add_node(
            "CONV_2D",
            [data, weights, full],
            [doubled],
            padding=VALID,
            strideH=o["stride_height"],
            strideW=o["stride_width"],
            dilationHFactor=o["dilation_height_factor"],
            dilationWFactor=o["dilation_width_factor"],
        )
        if threshold is not None:
            # A bit is set, for -1, where more than `threshold` of the products are -1.
            most = (2 * threshold).astype(np.float32)
            self._sign(doubled, most, "LESS_EQUAL", node.output)
            return
        doubled = self._bounded(doubled, products, o["fused_activation_function"])
        multiplier, bias = (value.values for value in node.operands[2:4])
        offset = bias.astype(np.float64) + products * multiplier.astype(np.float64)
        scaled = self._add("MUL", [doubled, Value.of(-multiplier, "gain")], "scaled")
        shift = Value.of(offset.astype(np.float32), "offset")
        outside = o["padding"] != VALID and any(axis.outside.any() for axis in axes(node))
        if o["pad_values"] == 0 and outside:
            self._correct(node, self._add("ADD", [scaled, shift], "shifted"), multiplier)
        else:
            self.graph.add_node("ADD", [scaled, shift], node.outputs)

    def _bounded(self, doubled: Value, products: int, activation: int) -> Value:
        """The activation function of a binary convolution, which comes before its gain."""
        least, most = _BOUNDS[activation]
        for kind, bound in (("MINIMUM", least), ("MAXIMUM", most)):
            if bound is not None:
                limit = Value.of(np.array(products - bound, np.float32), "bound")
                doubled = self._add(kind, [doubled, limit], kind.lower())
        return doubled


def with_builtin_operators(graph: Graph) -> Rewrite:
    """Replaces the operators of Larq Compute Engine by those of TensorFlow Lite.

    The weights take a byte each instead of a bit.

    Args:
        graph: to which the passes of packed words have not been applied; it is changed.

    Returns:
        The names of what the replaced operators write.

    Raises:
        ConversionError: for a file whose operators cannot be replaced.
    """
    replaced = [node.outputs[0].name for node in graph.nodes_of(*LCE_OPERATORS)]
    _Unpacker(graph)
    lower_ranks(graph)
    graph.tidy()
    return Rewrite(replaced)
