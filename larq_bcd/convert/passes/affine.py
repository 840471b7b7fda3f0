"""Learned constants that ship inside of other operators: gains, offsets and thresholds.

All of them are one value for each channel. The results are equal to rounding.
"""

from collections.abc import Iterator

import numpy as np

from larq_bcd.convert.passes.flow import Plan, per_channel, variable_and_constant
from larq_bcd.tflite.graph import Graph, Node, Rewrite, Value
from larq_bcd.tflite.operators import QUANTIZE


def _with_constant(graph: Graph, *types: str) -> Iterator[tuple[Node, Value, np.ndarray]]:
    """Operators of a computed input and a constant one, which has a value for each channel.

    Those whose output the file shows are left out.
    """
    for node in graph.nodes_of(*types):
        positions = variable_and_constant(node)
        if positions is not None and node.output not in graph.outputs:
            variable, constant = (node.operands[position] for position in positions)
            values = per_channel(constant, variable.channels)
            assert values is not None
            yield node, variable, values.astype(np.float64)


def _drop(graph: Graph, node: Node, value: Value, done: Rewrite) -> None:
    """Hands on a value in place of what an operator made of it."""
    graph.replace(node.output, value)
    graph.remove(node)
    done.changed.append(node.output.name)


def fold_gains(graph: Graph) -> Rewrite:
    """Folds multiplications by a constant into what computes their operand.

    A sum is scaled term by term, a cut image before it is cut:

        g (P + S + L) = gP + gS + gL          BN after a QuantShiftMLP
        g (conv + beta) = g conv + g beta     BN after a dynamic embedding
        g crop(conv) = crop(g conv)           BN after a strided convolution

    and at the end of each way g goes into the multiplier and bias of an LceBconv2d, into the
    weights and bias of a float operator, or into another constant.

    The precondition: nothing else reads the values on the way, no activation function
    stands there, and no gain is 0 or infinite, after which a kernel could not be told.
    """
    done = Rewrite()
    for node, variable, gain in _with_constant(graph, "MUL"):
        plan = Plan(graph)
        usable = np.all(np.isfinite(gain)) and np.all(gain != 0)
        if usable and plan.scale_by(variable, gain):
            plan.carry_out()
            _drop(graph, node, variable, done)
        else:
            done.skipped.append(f"{node.output.name}: its gains stay a multiplication")
    return done


def fold_differences(graph: Graph) -> Rewrite:
    """Turns subtractions into additions of what is computed with the other sign.

        a - f(x) = a + (-f)(x)                the threshold of a dynamic embedding

    The precondition: the subtrahend is a constant, or is computed with weights for this
    alone, as in `fold_gains`.
    """
    done = Rewrite()
    for node in graph.nodes_of("SUB"):
        subtrahend = node.operands[1]
        if node.is_activated or subtrahend.dtype != np.float32:
            continue
        values = subtrahend.constant
        if values is None:
            plan = Plan(graph)
            if not plan.scale_by(subtrahend, -np.ones(subtrahend.channels)):
                continue
            plan.carry_out()
        else:
            node.set_input(1, Value.of(-values, subtrahend.name))
        graph.add_node("ADD", node.inputs, node.outputs)
        graph.remove(node)
        done.changed.append(node.output.name)
    return done


def fold_offsets(graph: Graph) -> Rewrite:
    """Folds additions of a constant into constants before or after them.

    Before: `(conv + shortcut) + b` = `(conv + b) + shortcut`, so that the bias before a PReLU
    and the offset of a batch norm go into the bias of the convolution.

    After: x + b is not formed; what reads it makes up for the b that it lacks.

        (x + b) + t = x + (b + t)                                    the next threshold
        pool(x + b) = pool(x) + b,  concat(x + b, y + c) = concat(x, y) + (b, c)
        conv + (x + b) = (conv + b) + x                              the shortcut
        W (x + b) + d = W x + (d + W b)                              a float layer

    So the bias after a PReLU goes into the next threshold and, through the shortcut, into the
    bias of the convolution beside it.

    The precondition: nothing else reads the values that change on the way, or everything
    that does makes up for it. What goes into a sign, over a border that is padded with zeros,
    through an activation function or out of the file stays, and with it the addition.
    """
    done = Rewrite()
    for node, variable, offset in _with_constant(graph, "ADD"):
        up, down = Plan(graph), Plan(graph)
        if up.raise_by(variable, offset):
            up.carry_out()
        elif down.make_up_for(node.output, offset):
            down.carry_out()
        else:
            if not all(reader.type == QUANTIZE for reader, _ in node.output.uses):
                done.skipped.append(f"{node.output.name}: its offsets stay an addition")
            continue
        _drop(graph, node, variable, done)
    return done


def drop_zeros(graph: Graph) -> Rewrite:
    """Drops additions of zero and multiplications by one. Bit-exact, but for -0 + 0 = 0."""
    done = Rewrite()
    for node, variable, values in _with_constant(graph, "ADD", "SUB", "MUL"):
        neutral = 1.0 if node.type == "MUL" else 0.0
        negated = node.type == "SUB" and variable is node.operands[1]
        if not negated and np.all(values == neutral):
            _drop(graph, node, variable, done)
    return done
