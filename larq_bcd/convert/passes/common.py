"""What is computed twice, and sums of more than two."""

import math

import numpy as np

from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value


def _identity(value: Value | None):
    # Weights are told by their tensor: to compare all their bytes would take longer.
    if value is None or math.prod(value.shape) > 64 or (values := value.constant) is None:
        return value
    return values.shape, values.dtype.str, values.tobytes()


def _key(node: Node) -> tuple:
    options = node.options if isinstance(node.options, dict) else vars(node.options or object)
    listed = sorted((k, str(v)) for k, v in options.items() if not k.startswith("__"))
    inputs = tuple(_identity(value) for value in node.inputs)
    return node.type, inputs, tuple(value.dtype for value in node.outputs), tuple(listed)


def share_common(graph: Graph) -> Rewrite:
    """Computes once what several operators compute alike: signs, slices, thresholds.

    Bit-exact. The precondition: same operator, same options, same inputs, and no output of
    the later one is an output of the file.
    """
    done = Rewrite()
    first: dict[tuple, Node] = {}
    for node in list(graph.nodes):
        if node.has_effects or any(value in graph.outputs for value in node.outputs):
            continue
        same = first.setdefault(_key(node), node)
        if same is not node:
            for value, other in zip(node.outputs, same.outputs, strict=True):
                graph.replace(value, other)
            graph.remove(node)
            done.changed.append(node.outputs[0].name)
    return done


def _is_sum(node: Node | None) -> bool:
    return (
        node is not None
        and node.type in ("ADD", "ADD_N")
        and not node.is_activated
        and node.output.dtype == np.float32
        and all(value.shape == node.output.shape for value in node.operands)
    )


def sum_at_once(graph: Graph) -> Rewrite:
    """Adds up three or more tensors of one shape in one ADD_N.

    The order stays, from left to right, so that one thread gives the same bits; the kernel
    shares the terms out among several threads.

    The precondition: float32 terms of equal shape, intermediate sums that nothing else reads,
    no activation function on the way.
    """
    done = Rewrite()
    for node in filter(_is_sum, graph.nodes_of("ADD")):
        for position, value in enumerate(node.operands):
            inner = value.producer
            if inner is None or not _is_sum(inner) or not graph.is_private(value):
                continue
            # a + b = b + a to the last bit, so the inner sum may come first.
            terms = [*inner.inputs, node.inputs[1 - position]]
            graph.remove(inner)
            graph.remove(node)
            graph.add_node("ADD_N", terms, node.outputs)
            done.changed.append(node.output.name)
            break
    return done


def drop_reshapes(graph: Graph) -> Rewrite:
    """Drops reshapes that only put axes of size 1 in front of an operand that is broadcast.

    Bit-exact: a sum aligns the shapes of its operands at their last axes.

    The precondition: all readers are sums or products whose other operand has at least as
    many axes.
    """
    done = Rewrite()
    for node in graph.nodes_of("RESHAPE"):
        source, target = node.data.shape, node.output.shape
        added = len(target) - len(source)
        if added < 0 or target != (1,) * added + source or node.output in graph.outputs:
            continue
        broadcast = len(target) <= 4 and all(
            reader.type in ("ADD", "SUB", "MUL")
            and len(reader.operands[1 - position].shape) >= len(target)
            for reader, position in node.output.uses
        )
        if node.output.uses and broadcast:
            graph.replace(node.output, node.data)
            graph.remove(node)
            done.changed.append(node.output.name)
    return done
