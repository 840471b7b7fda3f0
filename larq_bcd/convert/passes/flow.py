"""How a constant for each channel travels through the operators of a graph.

A plan collects what would have to change for a value to be scaled, or moved by an offset,
and carries it out only if all of it can be done. Every change adds to a constant or
multiplies one, so that the changes of one plan may meet in one constant.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from larq_bcd.tflite.graph import Graph, Node, Value
from larq_bcd.tflite.operators import BINARY_CONVOLUTION, SAME
from larq_bcd.tflite.windows import padding

# From a value and a number for each of its channels to whether it can be changed so.
Way = Callable[[Value, np.ndarray], bool]
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Positions of the activations among the inputs of a binary convolution and of float ones.
_MULTIPLIER, _BIAS = 2, 3
_WEIGHTS, _FLOAT_BIAS = 1, 2


def per_channel(constant: Value | None, channels: int) -> np.ndarray | None:
    """A constant as one float32 value for each channel of what it is added to.

    Returns:
        None if it is not a constant, or differs between the positions of the image.
    """
    values = None if constant is None else constant.constant
    if values is None or values.dtype != np.float32:
        return None
    if values.size == 1:
        return np.full(channels, values.item(), np.float32)
    return values.reshape(-1) if values.shape[-1:] == (channels,) == (values.size,) else None


def variable_and_constant(node: Node) -> tuple[int, int] | None:
    """Positions of the inputs of an operator with one computed and one constant input.

    The constant has one value for each channel of the output, which has the shape of the
    computed input: nothing is broadcast but the constant.
    """
    if len(node.operands) != 2 or node.is_activated:
        return None
    for variable, constant in ((0, 1), (1, 0)):
        value = node.operands[variable]
        if (
            value.constant is None
            and per_channel(node.inputs[constant], value.channels) is not None
            and value.shape == node.output.shape
        ):
            return variable, constant
    return None


def keeps_channels(node: Node) -> bool:
    """Whether an operator hands on channel c of its first input as channel c, and no more.

    A constant for each channel then passes through: a mean or a maximum of values that are
    all moved by a constant is moved by it. Windows that reach over the border leave it out.
    """
    if node.is_activated:
        return False
    rank, same = len(node.data.shape), node.data.shape[-1:] == node.output.shape[-1:]
    match node.type:
        case "AVERAGE_POOL_2D" | "MAX_POOL_2D":
            return True
        case "MEAN":
            axes = node.constant(1)
            return axes is not None and all(a % rank != rank - 1 for a in axes.reshape(-1))
        case "RESHAPE":
            return same
        case "SLICE":
            return same and all(value.constant is not None for value in node.operands[1:])
        case "STRIDED_SLICE":
            constants = [value.constant for value in node.operands[1:]]
            strides, o = constants[2], node.options
            return (
                same
                and strides is not None
                and all(constant is not None for constant in constants)
                and not (strides[-1] != 1 or o.newAxisMask or o.shrinkAxisMask)
            )
    return False


def concatenated(node: Node) -> list[slice] | None:
    """The channels of the output that each input of a concatenation fills."""
    rank = len(node.output.shape)
    if (
        node.type != "CONCATENATION"
        or node.is_activated
        or node.options.axis % rank != rank - 1
    ):
        return None
    ends = np.cumsum([value.channels for value in node.operands]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


class Plan:
    """Changes of constants, to be made together or not at all."""

    def __init__(self, graph: Graph):
        self._graph = graph
        self._changes: list[Callable[[], None]] = []

    def carry_out(self) -> None:
        """Makes the changes."""
        for change in self._changes:
            change()

    def _attempt(self, ways: Sequence[Callable[[], bool]]) -> bool:
        """Takes the first way that works, and forgets the changes of the others."""
        for way in ways:
            mark = len(self._changes)
            if way():
                return True
            del self._changes[mark:]
        return False

    def _change(self, node: Node, position: int, change: Callable) -> bool:
        """Plans a change of a constant that has one value for each channel of the output."""
        channels = node.output.channels

        def make() -> None:
            value = node.operands[position]
            old = per_channel(value, channels)
            assert old is not None
            new = np.asarray(change(old.astype(np.float64)), np.float32)
            node.set_input(position, Value.of(new, value.name))

        known = per_channel(node.input(position), channels) is not None
        if known:
            self._changes.append(make)
        return known

    def _change_bias(self, node: Node, offset: np.ndarray) -> bool:
        position = _BIAS if node.type == BINARY_CONVOLUTION else _FLOAT_BIAS
        if node.input(position) is not None:
            return self._change(node, position, lambda bias: bias + offset)
        if node.type == BINARY_CONVOLUTION or node.output.dtype != np.float32:
            return False

        def make() -> None:
            # Another part of the plan may have been here before.
            bias = node.constant(position)
            new = np.asarray(offset if bias is None else bias + offset, np.float32)
            node.set_input(position, Value.of(new, f"{node.output.name}/bias"))

        self._changes.append(make)
        return True

    def _alone(self, value: Value) -> Node | None:
        """The operator that writes a value that one other operator alone sees."""
        node = value.producer
        alone = node is not None and self._graph.is_private(value) and len(node.outputs) == 1
        return node if alone else None

    def raise_by(self, value: Value, offset: np.ndarray) -> bool:
        """Plans that a value is `offset` more, by changing what it is computed from.

        Args:
            value: is computed.
            offset: one number for each of its channels.

        Returns:
            Whether it can be done; nothing else sees the value then.
        """
        node = self._alone(value)
        if node is None:
            return False
        if node.type == BINARY_CONVOLUTION:
            # Its activation comes before the multiplier and the bias.
            return value.dtype == np.float32 and self._change_bias(node, offset)
        if node.is_activated:
            return False
        if node.type in WEIGHTED:
            return self._change_bias(node, offset)
        if node.type in ("ADD", "SUB", "ADD_N"):
            return self._raise_sum(node, offset)
        if keeps_channels(node):
            return self.raise_by(node.data, offset)
        return self._part_by_part(node, self.raise_by, offset)

    def _raise_sum(self, node: Node, offset: np.ndarray) -> bool:
        def term(position: int) -> bool:
            by = -offset if node.type == "SUB" and position == 1 else offset
            return self._term(node, position, np.add, self.raise_by, by)

        return self._attempt([partial(term, p) for p in range(len(node.inputs))])

    def _term(
        self, node: Node, position: int, change: np.ufunc, further: Way, by: np.ndarray
    ) -> bool:
        """Changes a constant input, or what a computed one is made of."""
        value = node.operands[position]
        if value.constant is not None:
            return self._change(node, position, lambda old: change(old, by))
        return value.channels == len(by) and further(value, by)

    def _part_by_part(self, node: Node, further: Way, by: np.ndarray) -> bool:
        parts = concatenated(node)
        return parts is not None and all(
            further(value, by[part]) for value, part in zip(node.operands, parts, strict=True)
        )

    def scale_by(self, value: Value, factor: np.ndarray) -> bool:
        """Plans that a value is `factor` times as large, as `raise_by` does."""
        node = self._alone(value)
        if node is None:
            return False
        if node.type == BINARY_CONVOLUTION:
            return value.dtype == np.float32 and all(
                self._change(node, position, lambda old: old * factor)
                for position in (_MULTIPLIER, _BIAS)
            )
        if node.is_activated:
            return False
        if node.type in WEIGHTED:
            return self._scale_weights(node, factor)
        if node.type in ("ADD", "SUB", "ADD_N", "MUL"):
            # Every term of a sum, one factor of a product.
            terms = [
                partial(self._term, node, p, np.multiply, self.scale_by, factor)
                for p in range(len(node.inputs))
            ]
            return self._attempt(terms) if node.type == "MUL" else all(t() for t in terms)
        if keeps_channels(node):
            positive = node.type != "MAX_POOL_2D" or bool(np.all(factor > 0))
            return positive and self.scale_by(node.data, factor)
        return self._part_by_part(node, self.scale_by, factor)

    def _scale_weights(self, node: Node, factor: np.ndarray) -> bool:
        weights = node.constant(_WEIGHTS)
        if weights is None or weights.dtype != np.float32:
            return False
        axis = -1 if node.type == "DEPTHWISE_CONV_2D" else 0
        factors = np.expand_dims(
            factor, [a for a in range(weights.ndim) if a != axis % weights.ndim]
        )

        def make() -> None:
            old = node.operands[_WEIGHTS]
            new = (old.values.astype(np.float64) * factors).astype(np.float32)
            node.set_input(_WEIGHTS, Value.of(new, old.name))

        self._changes.append(make)
        return node.input(_FLOAT_BIAS) is None or self._change(
            node, _FLOAT_BIAS, lambda bias: bias * factor
        )

    def make_up_for(self, value: Value, offset: np.ndarray) -> bool:
        """Plans that whatever reads a value makes up for an `offset` that it will lack.

        Args:
            value: is computed.
            offset: one number for each of its channels.

        Returns:
            Whether every reader can.
        """
        return value not in self._graph.outputs and all(
            self._reader_makes_up(node, position, offset) for node, position in value.uses
        )

    def _reader_makes_up(self, node: Node, position: int, offset: np.ndarray) -> bool:
        if node.type in WEIGHTED:
            return position == 0 and self._bias_makes_up(node, offset)
        if node.is_activated:
            return False
        if node.type in ("ADD", "ADD_N"):
            others = [p for p in range(len(node.inputs)) if p != position]
            ways = [partial(self._other_term, node, p, position, offset) for p in others]
            return self._attempt([*ways, partial(self._further, node, offset)])
        if node.type == "MUL":
            found = variable_and_constant(node)
            if found is None or found[0] != position:
                return False
            gain = per_channel(node.inputs[found[1]], node.output.channels)
            return self._further(node, offset * gain)
        if position == 0 and keeps_channels(node):
            return self._further(node, offset)
        parts = concatenated(node)
        if parts is None:
            return False
        padded = np.zeros(node.output.channels)
        padded[parts[position]] = offset
        return self._further(node, padded)

    def _further(self, node: Node, offset: np.ndarray) -> bool:
        same_channels = node.output.channels == len(offset)
        return same_channels and self.make_up_for(node.output, offset)

    def _other_term(self, node: Node, other: int, position: int, offset: np.ndarray) -> bool:
        same = node.inputs[other] is node.inputs[position]
        return not same and self._term(node, other, np.add, self.raise_by, offset)

    def _bias_makes_up(self, node: Node, offset: np.ndarray) -> bool:
        """W (x + c) + b = W x + (b + W c), where the convolution pads nothing."""
        weights = node.constant(_WEIGHTS)
        if weights is None or weights.dtype != np.float32 or node.type == "DEPTHWISE_CONV_2D":
            return False
        if weights.shape[-1] != len(offset):
            return False
        pads = node.type == "CONV_2D" and padding(node) == SAME
        if pads and math.prod(weights.shape[1:3]) > 1:
            return False
        sums = weights.astype(np.float64).sum(axis=tuple(range(1, weights.ndim - 1)))
        return self._change_bias(node, sums @ offset)
