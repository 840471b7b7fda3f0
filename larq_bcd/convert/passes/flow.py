"""How a constant for each channel travels through the operators of a flatbuffer.

A plan collects what would have to change for a tensor to be scaled, or moved by an offset,
and carries it out only if all of it can be done. Every change adds to a constant or
multiplies one, so that the changes of one plan may meet in one constant.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from larq_bcd.tflite.editor import ABSENT, Editor, Node

BINARY = "LceBconv2d"
WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Positions of the activations among the inputs of a binary convolution and of float ones.
_MULTIPLIER, _BIAS = 2, 3
_WEIGHTS, _FLOAT_BIAS = 1, 2
_SAME = 0


def channels(editor: Editor, tensor: int) -> int:
    """The size of the last axis."""
    shape = editor.shape(tensor)
    return shape[-1] if shape else 1


def per_channel(editor: Editor, constant: int, tensor: int) -> np.ndarray | None:
    """A constant as one float32 value for each channel of a tensor that it is added to.

    Returns:
        None if it is no constant, or differs between the positions of the image.
    """
    values = editor.constant(constant)
    count = channels(editor, tensor)
    if values is None or values.dtype != np.float32:
        return None
    if values.size == 1:
        return np.full(count, values.item(), np.float32)
    return values.reshape(-1) if values.shape[-1:] == (count,) == (values.size,) else None


def is_activated(node: Node) -> bool:
    """Whether an operator ends in an activation function of its own."""
    return bool(getattr(node.options, "fusedActivationFunction", 0))


def variable_and_constant(editor: Editor, node: Node) -> tuple[int, int] | None:
    """Positions of the inputs of an operator with one computed and one constant input.

    The constant has one value for each channel of the output, which has the shape of the
    computed input: nothing is broadcast but the constant.
    """
    if len(node.inputs) != 2 or is_activated(node):
        return None
    for variable, constant in ((0, 1), (1, 0)):
        tensor = node.inputs[variable]
        if (
            editor.constant(tensor) is None
            and per_channel(editor, node.inputs[constant], tensor) is not None
            and editor.shape(tensor) == editor.shape(node.output)
        ):
            return variable, constant
    return None


def keeps_channels(editor: Editor, node: Node) -> bool:
    """Whether an operator hands on channel c of its first input as channel c, and no more.

    A constant for each channel then passes through: a mean or a maximum of values that are
    all moved by a constant is moved by it. Windows that reach over the border leave it out.
    """
    if is_activated(node):
        return False
    source, rank = editor.shape(node.inputs[0]), len(editor.shape(node.inputs[0]))
    match node.type:
        case "AVERAGE_POOL_2D" | "MAX_POOL_2D":
            return True
        case "MEAN":
            axes = editor.constant(node.inputs[1])
            return axes is not None and all(a % rank != rank - 1 for a in axes.reshape(-1))
        case "RESHAPE":
            return source[-1:] == editor.shape(node.output)[-1:]
        case "SLICE" | "STRIDED_SLICE":
            constants = [editor.constant(i) for i in node.inputs[1:]]
            whole = source[-1:] == editor.shape(node.output)[-1:]
            reverses = node.type == "STRIDED_SLICE" and (
                constants[2] is None
                or constants[2][-1] != 1
                or node.options.newAxisMask
                or node.options.shrinkAxisMask
            )
            return all(c is not None for c in constants) and whole and not reverses
    return False


def concatenated(editor: Editor, node: Node) -> list[slice] | None:
    """The channels of the output that each input of a concatenation fills."""
    rank = len(editor.shape(node.output))
    if (
        node.type != "CONCATENATION"
        or is_activated(node)
        or node.options.axis % rank != rank - 1
    ):
        return None
    ends = np.cumsum([channels(editor, i) for i in node.inputs]).tolist()
    return [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]


class Plan:
    """Changes of constants, to be made together or not at all."""

    def __init__(self, editor: Editor):
        self.editor = editor
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

    def _change(self, node: Node, position: int, change: Callable, like: int) -> bool:
        """Plans a change of a constant that has one value for each channel of `like`."""

        def make() -> None:
            old = per_channel(self.editor, node.inputs[position], like)
            assert old is not None
            name = self.editor.name(node.inputs[position])
            new = np.asarray(change(old.astype(np.float64)), np.float32)
            self.editor.set_input(node, position, self.editor.add_constant(new, name))

        known = per_channel(self.editor, node.inputs[position], like) is not None
        if known:
            self._changes.append(make)
        return known

    def _change_bias(self, node: Node, offset: np.ndarray) -> bool:
        editor = self.editor
        position = _BIAS if node.type == BINARY else _FLOAT_BIAS
        absent = len(node.inputs) <= position or node.inputs[position] == ABSENT
        if not absent:
            return self._change(node, position, lambda bias: bias + offset, node.output)
        if node.type == BINARY or editor.dtype(node.output) != np.float32:
            return False

        def make() -> None:
            # Another part of the plan may have been here before.
            bias = np.zeros(len(offset), np.float32)
            if len(node.inputs) > position and node.inputs[position] != ABSENT:
                bias = editor.values(node.inputs[position])
            new = np.asarray(bias + offset, np.float32)
            name = f"{editor.name(node.output)}/bias"
            editor.set_input(node, position, editor.add_constant(new, name))

        self._changes.append(make)
        return True

    def raise_by(self, tensor: int, offset: np.ndarray) -> bool:
        """Plans that a tensor holds `offset` more, by changing what it is computed from.

        Args:
            tensor: the number of a computed tensor.
            offset: one value for each of its channels.

        Returns:
            Whether it can be done; nothing else sees the tensor then.
        """
        editor = self.editor
        node = editor.producer(tensor)
        if node is None or not editor.is_private(tensor) or len(node.outputs) > 1:
            return False
        if node.type == BINARY:
            # Its activation comes before the multiplier and the bias.
            return editor.dtype(tensor) == np.float32 and self._change_bias(node, offset)
        if is_activated(node):
            return False
        if node.type in WEIGHTED:
            return self._change_bias(node, offset)
        if node.type in ("ADD", "SUB", "ADD_N"):
            return self._raise_sum(node, offset)
        if keeps_channels(editor, node):
            return self.raise_by(node.inputs[0], offset)
        parts = concatenated(editor, node)
        return parts is not None and all(
            self.raise_by(i, offset[part]) for i, part in zip(node.inputs, parts, strict=True)
        )

    def _raise_sum(self, node: Node, offset: np.ndarray) -> bool:
        def term(position: int) -> bool:
            tensor = node.inputs[position]
            by = -offset if node.type == "SUB" and position == 1 else offset
            if self.editor.constant(tensor) is not None:
                return self._change(node, position, lambda old: old + by, node.output)
            same_channels = channels(self.editor, tensor) == len(offset)
            return same_channels and self.raise_by(tensor, by)

        return self._attempt([partial(term, p) for p in range(len(node.inputs))])

    def scale_by(self, tensor: int, factor: np.ndarray) -> bool:
        """Plans that a tensor holds `factor` times its values, as `raise_by` does."""
        editor = self.editor
        node = editor.producer(tensor)
        if node is None or not editor.is_private(tensor) or len(node.outputs) > 1:
            return False
        if node.type == BINARY:
            return editor.dtype(tensor) == np.float32 and all(
                self._change(node, position, lambda old: old * factor, tensor)
                for position in (_MULTIPLIER, _BIAS)
            )
        if is_activated(node):
            return False
        if node.type in WEIGHTED:
            return self._scale_weights(node, factor)
        if node.type in ("ADD", "SUB", "ADD_N", "MUL"):
            # Every term of a sum, one factor of a product.
            terms = [
                partial(self._scale_term, node, p, factor) for p in range(len(node.inputs))
            ]
            return self._attempt(terms) if node.type == "MUL" else all(t() for t in terms)
        if keeps_channels(editor, node):
            positive = node.type != "MAX_POOL_2D" or bool(np.all(factor > 0))
            return positive and self.scale_by(node.inputs[0], factor)
        parts = concatenated(editor, node)
        return parts is not None and all(
            self.scale_by(i, factor[part]) for i, part in zip(node.inputs, parts, strict=True)
        )

    def _scale_term(self, node: Node, position: int, factor: np.ndarray) -> bool:
        tensor = node.inputs[position]
        if self.editor.constant(tensor) is not None:
            return self._change(node, position, lambda old: old * factor, node.output)
        same_channels = channels(self.editor, tensor) == len(factor)
        return same_channels and self.scale_by(tensor, factor)

    def _scale_weights(self, node: Node, factor: np.ndarray) -> bool:
        editor = self.editor
        weights = editor.constant(node.inputs[_WEIGHTS])
        if weights is None or weights.dtype != np.float32:
            return False
        shape = (
            (1, 1, 1, -1)
            if node.type == "DEPTHWISE_CONV_2D"
            else (-1, *(1,) * (weights.ndim - 1))
        )

        def make() -> None:
            old = editor.values(node.inputs[_WEIGHTS])
            new = (old.astype(np.float64) * factor.reshape(shape)).astype(np.float32)
            name = editor.name(node.inputs[_WEIGHTS])
            editor.set_input(node, _WEIGHTS, editor.add_constant(new, name))

        self._changes.append(make)
        has_bias = len(node.inputs) > _FLOAT_BIAS and node.inputs[_FLOAT_BIAS] != ABSENT
        return not has_bias or self._change(
            node, _FLOAT_BIAS, lambda bias: bias * factor, node.output
        )

    def make_up_for(self, tensor: int, offset: np.ndarray) -> bool:
        """Plans that whatever reads a tensor makes up for an `offset` that it will lack.

        Args:
            tensor: the number of a computed tensor.
            offset: one value for each of its channels.

        Returns:
            Whether every reader can.
        """
        return tensor not in self.editor.outputs and all(
            self._reader_makes_up(node, position, offset)
            for node, position in self.editor.uses(tensor)
        )

    def _reader_makes_up(self, node: Node, position: int, offset: np.ndarray) -> bool:
        editor = self.editor
        if node.type in WEIGHTED:
            return position == 0 and self._bias_makes_up(node, offset)
        if is_activated(node):
            return False
        if node.type in ("ADD", "ADD_N"):
            others = [p for p in range(len(node.inputs)) if p != position]
            ways = [partial(self._other_term, node, p, position, offset) for p in others]
            return self._attempt([*ways, partial(self._further, node, offset)])
        if node.type == "MUL":
            places = variable_and_constant(editor, node)
            if places is None or places[0] != position:
                return False
            return self._further(
                node, offset * per_channel(editor, node.inputs[places[1]], node.output)
            )
        if position == 0 and keeps_channels(editor, node):
            return self._further(node, offset)
        parts = concatenated(editor, node)
        if parts is None:
            return False
        padded = np.zeros(channels(editor, node.output))
        padded[parts[position]] = offset
        return self._further(node, padded)

    def _further(self, node: Node, offset: np.ndarray) -> bool:
        same_channels = channels(self.editor, node.output) == len(offset)
        return same_channels and self.make_up_for(node.output, offset)

    def _other_term(self, node: Node, other: int, position: int, offset: np.ndarray) -> bool:
        tensor = node.inputs[other]
        if self.editor.constant(tensor) is not None:
            return self._change(node, other, lambda old: old + offset, node.output)
        if tensor == node.inputs[position] or channels(self.editor, tensor) != len(offset):
            return False
        return self.raise_by(tensor, offset)

    def _bias_makes_up(self, node: Node, offset: np.ndarray) -> bool:
        """W (x + c) + b = W x + (b + W c), where the convolution pads nothing."""
        weights = self.editor.constant(node.inputs[_WEIGHTS])
        if weights is None or weights.dtype != np.float32 or node.type == "DEPTHWISE_CONV_2D":
            return False
        if weights.shape[-1] != len(offset):
            return False
        pads = node.type == "CONV_2D" and node.options.padding == _SAME
        if pads and math.prod(weights.shape[1:3]) > 1:
            return False
        sums = weights.astype(np.float64).sum(axis=tuple(range(1, weights.ndim - 1)))
        return self._change_bias(node, sums @ offset)
