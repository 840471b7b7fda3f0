"""Operators on more dimensions than their kernels broadcast."""

import math

import numpy as np

from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.ranks import MOST_DIMENSIONS, aborts


def lower_ranks(graph: Graph) -> Rewrite:
    """Lets operators broadcast in as few dimensions as their kernels know.

    Bit-exact: neighboring dimensions that an operand has or lacks together become one, by a
    RESHAPE before and after.

    What still has too many is left as it is, for the engines to refuse.
    """
    done = Rewrite()
    for node in graph.nodes_of(*MOST_DIMENSIONS):
        shapes = [value.shape for value in node.operands]
        if not aborts(node.type, shapes):
            continue
        lowered = _lowered(node)
        if aborts(node.type, lowered):
            done.skipped.append(f"{node.output.name}: {node.type} of shapes {shapes}")
            continue
        operands = zip(node.operands, lowered, strict=True)
        inputs = [_reshaped(graph, value, shape) for value, shape in operands]
        output = node.output
        flat = Value.new(np.broadcast_shapes(*lowered), output.dtype, f"{output.name}/flat")
        flat.quantization = output.quantization
        graph.copy_node(node, inputs, [flat])
        graph.remove(node)
        _reshape(graph, flat, output)
        done.changed.append(node.type)
    if done.changed:
        graph.tidy()
    return done


def _lowered(node: Node) -> list[tuple[int, ...]]:
    """The shapes of the operands with neighboring dimensions made one."""
    whole = node.output.shape
    shapes = [(1,) * (len(whole) - len(v.shape)) + v.shape for v in node.operands]
    groups: list[tuple[tuple[bool, ...], list[int]]] = []
    for axis, size in enumerate(whole):
        if size == 1:
            continue
        pattern = tuple(shape[axis] == size for shape in shapes)
        if not groups or groups[-1][0] != pattern:
            groups.append((pattern, []))
        groups[-1][1].append(size)
    return [
        tuple(math.prod(sizes) if pattern[position] else 1 for pattern, sizes in groups)
        for position in range(len(shapes))
    ]


def _reshaped(graph: Graph, value: Value, shape: tuple[int, ...]) -> Value:
    values = value.constant
    if values is not None:
        return Value.of(values.reshape(shape), value.name, value.quantization)
    flat = Value.new(shape, value.dtype, f"{value.name}/flat")
    flat.quantization = value.quantization
    _reshape(graph, value, flat)
    return flat


def _reshape(graph: Graph, value: Value, into: Value) -> None:
    shape = Value.of(np.array(into.shape, np.int32), "shape")
    graph.add_node("RESHAPE", [value, shape], [into], newShape=list(into.shape))
