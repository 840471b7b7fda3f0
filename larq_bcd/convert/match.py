"""Finds each layer of the Keras model in the file, by the values of its weights.

Names are not evidence: the converter joins and drops them. A binary layer is an LceBconv2d
operator whose filter holds exactly the signs of the layer's kernel, turned around for some
channels where it writes signs; a float layer is an operator whose weights are the kernel, apart
from one factor for each output channel, into which the converter folds batch norms, and from
the rounding of int8 weights. Of several operators with such weights that one is the layer's
which comes after the operators of the layers before it.
"""

from collections.abc import Callable, Collection, Hashable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
import tensorflow as tf

from larq_bcd._binary import are_scaled_signs
from larq_bcd.convert.fake_quant import Grid
from larq_bcd.convert.graph import (
    CALLS,
    MOVING,
    InferenceGraph,
    Step,
    WeightedOp,
    source_of,
    through,
)
from larq_bcd.tflite.graph import Graph, Node, Value
from larq_bcd.tflite.operators import (
    BINARY_CONVOLUTION,
    BINARY_MAX_POOL,
    DEQUANTIZE,
    QUANTIZE,
)
from larq_bcd.tflite.quantization import real_values, scales_of
from larq_bcd.tflite.signs import pack_signs, words

_FLOAT_OPERATORS = (
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED",
    "TRANSPOSE_CONV",
    "CONV_3D",
    "CONV_3D_TRANSPOSE",
    "BATCH_MATMUL",
)
# The converter may put a rounding on the other side of these; the shapes alone do not always
# tell then which rounding is which.
_EXCHANGED = {"Transpose": "TRANSPOSE", "MaxPool": "MAX_POOL_2D"}
# What may stand between as well, or be fused.
_ACTIVATIONS = ("Relu", "Relu6", "RELU", "RELU6")
# Operators of the file that only move values, or unpack them.
_MOVING = frozenset(
    [
        "BATCH_TO_SPACE_ND",
        "BROADCAST_TO",
        "CONCATENATION",
        "DEPTH_TO_SPACE",
        "EXPAND_DIMS",
        "GATHER",
        DEQUANTIZE,
        BINARY_MAX_POOL,
        "MAX_POOL_2D",
        "MIRROR_PAD",
        "PACK",
        "PAD",
        "PADV2",
        "RESHAPE",
        "REVERSE_V2",
        "SLICE",
        "SPACE_TO_BATCH_ND",
        "SPACE_TO_DEPTH",
        "SPLIT",
        "SPLIT_V",
        "SQUEEZE",
        "STRIDED_SLICE",
        "TILE",
        "TRANSPOSE",
        "UNPACK",
    ]
)
# Float weights are rounded once when a factor is folded into them.
_ROUNDED = 1e-5
# The converter cuts names there, and puts a number behind those that are then equal.
_NAME_LENGTH = 50

# Positions among the inputs of a binary convolution.
_FILTER, _MULTIPLIER, _THRESHOLD = 1, 2, 4

_BUILTIN_STEPS = {"Sign": "SIGN", "Round": "ROUND", "Rint": "ROUND", "Floor": "FLOOR"}
_ORDERS = {
    "Greater": "GREATER",
    "GreaterEqual": "GREATER_EQUAL",
    "Less": "LESS",
    "LessEqual": "LESS_EQUAL",
}
_STEPS = (QUANTIZE, *dict.fromkeys(_BUILTIN_STEPS.values()))


T = TypeVar("T", bound=Hashable)


@dataclass(frozen=True)
class Match:
    """A layer of the model and the operator that computes it, if there is one."""

    layer: WeightedOp
    node: Node | None

    @property
    def is_binary(self) -> bool:
        """Whether the layer ships as a binary convolution."""
        return self.node is not None and self.node.type == BINARY_CONVOLUTION


@dataclass(frozen=True)
class StepMatch:
    """A sign or rounding of the model and the value of the file that holds it.

    Attributes:
        step: the operation of the Keras graph.
        before: the float value it is taken of; None where a binary convolution writes
            signs without ever holding their float values, and of signs that are repeated.
        after: its result, bit-packed if the step is a sign of Larq Compute Engine.
        name: the layers that use it, or the operation.
    """

    step: Step
    before: Value | None
    after: Value
    name: str


def rows_of(layer: WeightedOp) -> np.ndarray:
    """The kernel of a layer as (output channels, everything else)."""
    return layer.rows(layer.kernel)


def node_rows(weights: np.ndarray, node: Node) -> np.ndarray:
    """The weights of an operator as (output channels, everything else)."""
    if node.type == "DEPTHWISE_CONV_2D":
        return weights.reshape(-1, weights.shape[-1]).T
    if node.type in ("CONV_3D", "CONV_3D_TRANSPOSE"):
        return np.moveaxis(weights, -1, 0).reshape(weights.shape[-1], -1)
    return weights.reshape(weights.shape[0], -1)


def factors_of(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """The factor of each row by which ours come closest to theirs, of the same shape."""
    products, squares = (np.sum(ours * rows, axis=1) for rows in (theirs, ours))
    return np.divide(products, squares, out=np.zeros(len(ours)), where=squares > 0)


def _are_scaled(ours: np.ndarray, theirs: np.ndarray, step: np.ndarray | float = 0.0) -> bool:
    """Whether rows are those of a kernel, each times a factor of its own.

    A batch norm gives the factors; they may be negative, and some of them 0.

    Args:
        ours: the kernel's rows.
        theirs: an operator's rows.
        step: by which theirs are rounded to int8, in all or for each row.
    """
    if ours.shape != theirs.shape:
        return False
    ours, theirs = ours.astype(np.float64), theirs.astype(np.float64)
    factors = factors_of(ours, theirs)
    distance = np.abs(theirs - factors[:, None] * ours).max(axis=1, initial=0.0)
    tolerance = _ROUNDED * np.linalg.norm(theirs, axis=1) + step
    return bool(np.all(distance <= tolerance) and np.any(theirs))


def _holds(node: Node, rows: np.ndarray) -> bool:
    """Whether the constant weights of a float operator are rows, each times a factor."""
    for value in node.operands:
        weights = real_values(value)
        if weights is not None and weights.ndim > 1:
            step = 0.0 if value.dtype == np.float32 else scales_of(value)
            return _are_scaled(rows, node_rows(weights, node), step) or (
                weights.ndim == 2 and _are_scaled(rows, weights.T, np.max(step))
            )
    return False


def _hold_signs_of(kernel: np.ndarray, node: Node) -> bool:
    """Whether the filter of a binary convolution is the signs of a kernel.

    A convolution that writes signs compares sums with thresholds, which is the same for a
    channel of negative multiplier only if the channel's filter is turned around. So is that of
    a dense layer whose gain is negative: its convolution is made of what both give. The filter
    of a channel of multiplier 0 may be any.
    """
    filters = node.constant(_FILTER)
    by_channel = np.moveaxis(kernel, -1, 0)
    if by_channel.ndim == 2:  # a dense layer as a 1x1 convolution
        by_channel = by_channel[:, None, None]
    packed = pack_signs(by_channel)
    if filters is None or filters.shape != packed.shape:
        return False
    axes = tuple(range(1, packed.ndim))
    same = np.all(filters == packed, axis=axes)
    if node.input(_THRESHOLD) is not None or kernel.ndim == 2:
        same |= np.all(filters == pack_signs(-by_channel), axis=axes)
    multiplier = node.constant(_MULTIPLIER)
    is_unused = False if multiplier is None else multiplier == 0
    return bool(np.all(same | is_unused) and same.any())


def _sources(
    start: T | None, before: Callable[[T], Iterable[T | None]], wanted: Collection[T]
) -> set[T]:
    """The nearest of the wanted parts of a graph that a part of it is computed from."""
    found: set[T] = set()
    pending, seen = [start], set()
    while pending:
        current = pending.pop()
        if current is None or current in seen:
            continue
        seen.add(current)
        if current in wanted:
            found.add(current)
        else:
            pending += before(current)
    return found


def _operands_of(op: tf.Operation) -> list[tf.Operation]:
    return [operand.op for operand in op.inputs]


def _consumers_of(op: tf.Operation) -> list[tf.Operation]:
    return [reader for result in op.outputs for reader in result.consumers()]


def _producers_of(node: Node) -> list[Node | None]:
    return [value.producer for value in node.operands]


def _readers_of(node: Node) -> list[Node | None]:
    return [reader for value in node.outputs for reader, _ in value.uses]


def match_layers(graph: InferenceGraph, file: Graph) -> list[Match]:
    """Pairs every convolution and dense layer with its operator.

    Args:
        graph: the inference graph of the Keras model.
        file: what it was converted to.

    Returns:
        One match for each layer, in the order of execution.
    """
    binary = file.nodes_of(BINARY_CONVOLUTION)
    floats = file.nodes_of(*_FLOAT_OPERATORS)
    weighted = {*binary, *floats}
    used: set[Node] = set()
    known: dict[tf.Operation, Node | None] = {}

    def choose(layer: WeightedOp, fitting: list[Node]) -> Node | None:
        # The converter computes only once what two layers compute alike.
        free = [node for node in fitting if node not in used] or fitting
        if len(free) > 1:
            layers = _sources(layer.data.op, _operands_of, known)
            before = {known[op] for op in layers} - {None}

            def likeness(node: Node) -> tuple[bool, ...]:
                # What speaks for it, the stronger first.
                follows = _sources(node.data.producer, _producers_of, weighted) == before
                scaled = node.type == BINARY_CONVOLUTION and _has_scales_of(node, layer)
                return follows, scaled, _carries(node, layer.op.name)

            free.sort(key=likeness, reverse=True)
        used.update(free[:1])
        return free[0] if free else None

    matches = []
    for layer in graph.weighted_ops:
        found: Node | None = None
        # Zeros, of which a new layer may be made, are signs of nothing.
        is_binary = layer.kernel.any() and are_scaled_signs(layer.kernel)
        if layer.op.type in ("Conv2D", "MatMul", *CALLS) and is_binary:
            found = choose(layer, [n for n in binary if _hold_signs_of(layer.kernel, n)])
        if found is None:
            rows = rows_of(layer)
            found = choose(layer, [n for n in floats if _holds(n, rows)])
        known[layer.op] = found
        matches.append(Match(layer, found))
    return matches


def _has_scales_of(node: Node, layer: WeightedOp) -> bool:
    multiplier = node.constant(_MULTIPLIER)
    if multiplier is None:
        return False  # it writes signs
    return _are_scaled(
        np.abs(layer.kernel.reshape(-1, layer.kernel.shape[-1])[:1]), multiplier[None]
    )


def _carries(node: Node, name: str) -> bool:
    return any(
        name in value.name.split(";")
        or (len(name) > _NAME_LENGTH and value.name.startswith(name[:_NAME_LENGTH]))
        for value in node.outputs
    )


def has_one_scale(layer: WeightedOp) -> bool:
    """Whether every output channel of a kernel is plus or minus one scale."""
    return are_scaled_signs(rows_of(layer).T)


def _packed_shape(step: Step) -> tuple[int, ...]:
    *outer, channels = step.after.shape.as_list()
    return (*outer, words(channels))


def _packed_sources(value: Value) -> list[Value]:
    """The bit-packed values that a value is made of, the nearest first."""
    found, pending, seen = [], [value], set()
    while pending:
        current = pending.pop(0)
        if current in seen or current.producer is None:
            continue
        seen.add(current)
        if _holds_signs(current):
            found.append(current)
        producer = current.producer
        if producer.type in _MOVING or (
            producer.type == QUANTIZE and _is_unpacked(producer.data)
        ):
            pending += producer.operands
    return found


def _is_unpacked(value: Value) -> bool:
    """Whether a value is unpacked signs, moved since or not."""
    producer = value.producer
    if producer is None or producer.type == DEQUANTIZE:
        return producer is not None
    return producer.type in _MOVING and any(map(_is_unpacked, producer.operands))


def _holds_signs(value: Value) -> bool:
    """Whether a value is bit-packed, as it comes from a sign or moved since."""
    producer = value.producer
    if producer is None or value.dtype != np.int32:
        return False
    if producer.type in (QUANTIZE, BINARY_CONVOLUTION, BINARY_MAX_POOL):
        return True
    return producer.type in _MOVING and _holds_signs(producer.data)


def _grid(value: Value) -> Grid | None:
    """What the int8 values of a file stand for, with one scale for all of them."""
    scales = scales_of(value)
    if scales.size != 1 or value.dtype != np.int8:
        return None
    zero = int(value.quantization.zeroPoint[0])
    return Grid(scales.item(), -128 - zero, 127 - zero)


def _rounded_values(file: Graph) -> list[tuple[Value, Grid]]:
    """What is rounded to int8 in a file, less what only moves such values.

    Both sides of what the converter may put a rounding on the other side of count.
    """
    values = [*file.inputs, *(value for node in file.nodes for value in node.outputs)]
    return [(v, grid) for v in values if (grid := _grid(v)) and not _is_moved(v, grid)]


def _is_moved(value: Value, grid: Grid) -> bool:
    node = value.producer
    if node is None or node.type not in _MOVING - {*_EXCHANGED.values()}:
        return False
    grids = [found for one in node.operands if (found := _grid(one)) is not None]
    return bool(grids) and all(found == grid for found in grids)


class _Neighbors:
    """The layers that stand next to steps of a model and to values of its file."""

    def __init__(self, matches: list[Match]):
        self._known = {match.layer.op: match.node for match in matches}
        self._nodes = {match.node for match in matches if match.node is not None}

    def _of_step(self, step: Step) -> tuple[frozenset, frozenset]:
        op = step.after.op
        before, after = (
            frozenset(self._known[one] for one in _sources(op, way, self._known)) - {None}
            for way in (_operands_of, _consumers_of)
        )
        return before, after

    def _of_value(self, value: Value) -> tuple[frozenset, frozenset]:
        before = _sources(value.producer, _producers_of, self._nodes)
        after = [_sources(reader, _readers_of, self._nodes) for reader, _ in value.uses]
        return frozenset(before), frozenset().union(*after)

    def pairs(self, steps: list[Step], values: list[Value]) -> Iterator[tuple[Step, Value]]:
        """Pairs steps and values that may be the same."""
        alike: dict[tuple, tuple[list[Step], list[Value]]] = {}
        for step in steps:
            alike.setdefault(self._of_step(step), ([], []))[0].append(step)
        for value in values:
            alike.setdefault(self._of_value(value), ([], []))[1].append(value)
        left: tuple[list[Step], list[Value]] = [], []
        for some, others in alike.values():
            if len(some) == len(others):
                yield from zip(some, others, strict=True)
            else:
                left[0].extend(some)
                left[1].extend(others)
        if len(left[0]) == len(left[1]):
            yield from zip(*left, strict=True)


def _exchanged_before_step(step: Step) -> tuple[int, ...]:
    """How many of `_EXCHANGED` lie between what is rounded and what computes it."""
    op, found = step.before.op, []
    while op.type in (*MOVING, *_ACTIVATIONS):
        found.append(op.type)
        op = through(op.inputs[0]).op
    return tuple(found.count(kind) for kind in _EXCHANGED)


def _exchanged_before_value(value: Value) -> tuple[int, ...]:
    """The same in the file."""
    node, found = value.producer, []
    while node is not None and node.type in (*_MOVING, *_ACTIVATIONS, "QUANTIZE"):
        found.append(node.type)
        node = node.data.producer
    return tuple(found.count(kind) for kind in _EXCHANGED.values())


def match_steps(graph: InferenceGraph, file: Graph, matches: list[Match]) -> list[StepMatch]:
    """Pairs the signs and roundings of the model with values of the file.

    A sign is found through the layers that it feeds, which are known by their weights, or
    through the outputs. What is left over is paired in the order of execution, where both sides
    have equally many of a kind and shape between the same layers, or else of a kind and shape.

    Args:
        graph: the inference graph of the Keras model.
        file: what it was converted to.
        matches: the pairs of `match_layers`.

    Returns:
        The pairs, in the order of execution.
    """
    pairs: dict[tuple[str, Value], StepMatch] = {}

    def add(step: Step, after: Value, name: str) -> None:
        producer = after.producer
        before = None
        if (
            producer is not None
            and not step.is_repeated
            and producer.type in (*_STEPS, "QUANTIZE")
            and not _is_unpacked(producer.data)
            and producer.data.dtype in (np.float32, np.int8)
        ):
            before = producer.data
        key = (step.after.op.name, after)
        if key in pairs:
            name = f"{pairs[key].name}, {name}"
        pairs[key] = StepMatch(step, before, after, name)

    ends = [(m.layer.data, m.node.data, m.layer.name) for m in matches if m.node is not None]
    ends += zip(graph.outputs, file.outputs, graph.output_names, strict=True)
    for data, value, name in ends:
        signs = source_of(data).signs
        values = _packed_sources(value)
        for step in signs:
            fitting = [value for value in values if value.shape == _packed_shape(step)]
            position = [s for s in signs if _packed_shape(s) == _packed_shape(step)].index(step)
            if position < len(fitting):
                add(step, fitting[position], name)

    known_steps = {name for name, _ in pairs}
    known_values = {value for _, value in pairs}
    left_steps: dict[tuple, list[Step]] = {}
    for step in graph.steps:
        if step.after.op.name not in known_steps:
            kind: str | tuple = (_BUILTIN_STEPS | _ORDERS).get(step.kind, "")
            shape = tuple(step.after.shape)
            if step.is_plain_sign:
                kind, shape = QUANTIZE, _packed_shape(step)
            elif step.grid is not None:
                kind = "int8", step.grid.step, _exchanged_before_step(step)
            left_steps.setdefault((kind, shape), []).append(step)
    left_values: dict[tuple, list[Value]] = {}
    packing = (BINARY_CONVOLUTION, BINARY_MAX_POOL)
    for node in file.nodes_of(*_STEPS, *_ORDERS.values(), *packing):
        value = node.output
        kind = QUANTIZE if value.dtype == np.int32 else node.type
        # What a pool alone reads is no sign of the model's: that has been pooled.
        readers = {reader.type for reader, _ in value.uses}
        if value not in known_values and readers != {BINARY_MAX_POOL}:
            left_values.setdefault((kind, value.shape), []).append(value)
    grids = dict(_rounded_values(file))
    for value, grid in grids.items():
        kind = "int8", grid.step, _exchanged_before_value(value)
        left_values.setdefault((kind, value.shape), []).append(value)
    neighbors = _Neighbors(matches)
    for key, steps in left_steps.items():
        for step, after in neighbors.pairs(steps, left_values.get(key, [])):
            if step.grid is not None:
                step = replace(step, grid=step.grid.within(grids[after]))
            add(step, after, graph.scope(step.after.op) or step.after.op.name)
    order = {op.name: position for position, op in enumerate(graph.operations)}
    return sorted(pairs.values(), key=lambda pair: order[pair.step.after.op.name])
