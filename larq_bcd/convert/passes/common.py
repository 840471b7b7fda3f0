"""What is computed twice, and sums of more than two."""

import numpy as np
from larq_compute_engine.mlir.python import tflite_schema as schema

from larq_bcd.convert.passes.flow import is_activated
from larq_bcd.tflite.editor import ABSENT, Editor, Node

# Operators without a state: equal inputs give equal outputs.
_STATEFUL = frozenset(
    {
        "CALL_ONCE",
        "READ_VARIABLE",
        "ASSIGN_VARIABLE",
        "VAR_HANDLE",
        "WHILE",
        "IF",
        "RANDOM_UNIFORM",
    }
)


def _value(editor: Editor, tensor: int):
    values = editor.constant(tensor)
    return tensor if values is None else (values.shape, values.dtype.str, values.tobytes())


def _key(editor: Editor, node: Node) -> tuple:
    options = node.options if isinstance(node.options, dict) else vars(node.options or object)
    listed = sorted((k, str(v)) for k, v in options.items() if not k.startswith("__"))
    # Weights are told by their tensor: to compare all their bytes would take longer.
    inputs = tuple(
        i if i == ABSENT or np.prod(editor.shape(i)) > 64 else _value(editor, i)
        for i in node.inputs
    )
    outputs = tuple(editor.tensors[i].type for i in node.outputs)
    return node.type, inputs, outputs, tuple(listed)


def share_common(editor: Editor) -> tuple[int, list[str]]:
    """Computes once what several operators compute alike: signs, slices, thresholds.

    Bit-exact. The precondition: same operator, same options, same inputs, and no output of
    the later one is an output of the file.
    """
    shared = 0
    first: dict[tuple, Node] = {}
    for node in list(editor.nodes):
        if node.type in _STATEFUL or any(i in editor.outputs for i in node.outputs):
            continue
        same = first.setdefault(_key(editor, node), node)
        if same is not node:
            for output, other in zip(node.outputs, same.outputs, strict=True):
                editor.redirect(output, other)
            editor.remove(node)
            shared += 1
    return shared, []


def sum_at_once(editor: Editor) -> tuple[int, list[str]]:
    """Adds up three or more tensors of one shape in one ADD_N.

    The order stays, from left to right, so that one thread gives the same bits; the kernel
    shares the terms out among several threads.

    The precondition: float32 terms of equal shape, intermediate sums that nothing else reads,
    no activation function on the way.
    """
    joined = 0

    def is_sum(node: Node | None) -> bool:
        return (
            node is not None
            and node.type in ("ADD", "ADD_N")
            and not is_activated(node)
            and editor.dtype(node.output) == np.float32
            and all(editor.shape(i) == editor.shape(node.output) for i in node.inputs)
        )

    for node in [node for node in editor.nodes if node.type == "ADD"]:
        if not is_sum(node):
            continue
        for position in (0, 1):
            inner = editor.producer(node.inputs[position])
            if inner is None or not is_sum(inner) or not editor.is_private(inner.output):
                continue
            # a + b = b + a to the last bit, so the inner sum may come first.
            terms = [*inner.inputs, node.inputs[1 - position]]
            editor.remove(inner)
            editor.remove(node)
            editor.add_node("ADD_N", terms, node.outputs, schema.AddNOptionsT())
            joined += 1
            break
    return joined, []


def drop_reshapes(editor: Editor) -> tuple[int, list[str]]:
    """Drops reshapes that only put axes of size 1 in front of an operand that is broadcast.

    Bit-exact: a sum aligns the shapes of its operands at their last axes.

    The precondition: all readers are sums or products whose other operand has at least as
    many axes.
    """
    dropped = 0
    for node in [node for node in editor.nodes if node.type == "RESHAPE"]:
        source, target = editor.shape(node.inputs[0]), editor.shape(node.output)
        added = len(target) - len(source)
        if added < 0 or target != (1,) * added + source or node.output in editor.outputs:
            continue
        uses = editor.uses(node.output)
        broadcast = all(
            user.type in ("ADD", "SUB", "MUL")
            and len(editor.shape(user.inputs[1 - position])) >= len(target)
            and len(target) <= 4
            for user, position in uses
        )
        if uses and broadcast:
            editor.redirect(node.output, node.inputs[0])
            editor.remove(node)
            dropped += 1
    return dropped, []
