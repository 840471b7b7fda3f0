"""Operators that end the process that runs them."""

import numpy as np

from larq_bcd.tflite.graph import Graph, Rewrite, Value

_LOGICAL = ("LOGICAL_AND", "LOGICAL_OR")
_MOST_DIMENSIONS = 4


def broadcast_logical(graph: Graph) -> Rewrite:
    """Broadcasts what logical operators of five and more dimensions read, as all others' is.

    TensorFlow Lite's kernels abort on operands of different shapes there. The converter knows
    that of comparisons, and writes a BROADCAST_TO before them.

    The precondition: a LOGICAL_AND or LOGICAL_OR of more than four dimensions, and an operand
    of another shape than its result.

    Args:
        graph: is changed.

    Returns:
        The names of the results.
    """
    done = Rewrite()
    for node in graph.nodes_of(*_LOGICAL):
        shape = node.output.shape
        others = [n for n, operand in enumerate(node.operands) if operand.shape != shape]
        if len(shape) <= _MOST_DIMENSIONS or not others:
            continue
        for position in others:
            operand = node.operands[position]
            broadcast = Value.new(shape, operand.dtype, f"{operand.name}/broadcast")
            sizes = Value.of(np.array(shape, np.int32), f"{operand.name}/shape")
            graph.add_node("BROADCAST_TO", [operand, sizes], [broadcast], version=2)
            node.set_input(position, broadcast)
        done.changed.append(node.output.name)
    return done
