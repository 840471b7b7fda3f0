"""Learned constants that ship inside of other operators: gains, offsets and thresholds.

All of them are one value for each channel. The results are equal to rounding.
"""

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.passes.flow import (
    Plan,
    channels,
    is_activated,
    per_channel,
    variable_and_constant,
)
from larq_bcd.tflite.editor import Editor


def fold_gains(editor: Editor) -> tuple[int, list[str]]:
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
    folded, left = 0, []
    for node in [node for node in editor.nodes if node.type == "MUL"]:
        places = variable_and_constant(editor, node)
        if places is None or node.output in editor.outputs:
            continue
        variable, constant = (node.inputs[place] for place in places)
        gain = per_channel(editor, constant, variable)
        assert gain is not None
        plan = Plan(editor)
        usable = np.all(np.isfinite(gain)) and np.all(gain != 0)
        if not usable or not plan.scale_by(variable, gain.astype(np.float64)):
            left.append(f"{editor.name(node.output)}: its gains stay a multiplication")
            continue
        plan.carry_out()
        editor.redirect(node.output, variable)
        editor.remove(node)
        folded += 1
    return folded, left


def fold_differences(editor: Editor) -> tuple[int, list[str]]:
    """Turns subtractions into additions of what is computed with the other sign.

        a - f(x) = a + (-f)(x)                the threshold of a dynamic embedding

    The precondition: the subtrahend is a constant, or is computed with weights for this
    alone, as in `fold_gains`.
    """
    turned = 0
    for node in [node for node in editor.nodes if node.type == "SUB"]:
        subtrahend = node.inputs[1]
        if is_activated(node) or editor.dtype(subtrahend) != np.float32:
            continue
        values = editor.constant(subtrahend)
        if values is None:
            plan = Plan(editor)
            if not plan.scale_by(subtrahend, -np.ones(channels(editor, subtrahend))):
                continue
            plan.carry_out()
        else:
            editor.set_input(node, 1, editor.add_constant(-values, editor.name(subtrahend)))
        editor.add_node("ADD", node.inputs, node.outputs, schema.AddOptionsT())
        editor.remove(node)
        turned += 1
    return turned, []


def fold_offsets(editor: Editor) -> tuple[int, list[str]]:
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
    folded, left = 0, []
    for node in [node for node in editor.nodes if node.type == "ADD"]:
        places = variable_and_constant(editor, node)
        if places is None or node.output in editor.outputs:
            continue
        variable, constant = (node.inputs[place] for place in places)
        values = per_channel(editor, constant, variable)
        assert values is not None
        offset = values.astype(np.float64)
        up, down = Plan(editor), Plan(editor)
        if up.raise_by(variable, offset):
            up.carry_out()
        elif down.make_up_for(node.output, offset):
            down.carry_out()
        else:
            if not all(reader.type == "LceQuantize" for reader, _ in editor.uses(node.output)):
                left.append(f"{editor.name(node.output)}: its offsets stay an addition")
            continue
        editor.redirect(node.output, variable)
        editor.remove(node)
        folded += 1
    return folded, left


def drop_zeros(editor: Editor) -> tuple[int, list[str]]:
    """Drops additions of zero and multiplications by one. Bit-exact, but for -0 + 0 = 0."""
    dropped = 0
    for node in [node for node in editor.nodes if node.type in ("ADD", "SUB", "MUL")]:
        places = variable_and_constant(editor, node)
        if places is None or node.output in editor.outputs:
            continue
        variable, constant = (node.inputs[place] for place in places)
        neutral = 1.0 if node.type == "MUL" else 0.0
        if (node.type == "SUB" and places[1] == 0) or np.any(
            editor.constant(constant) != neutral
        ):
            continue
        editor.redirect(node.output, variable)
        editor.remove(node)
        dropped += 1
    return dropped, []
